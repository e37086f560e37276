"""The number that every stored document carries, and the one place that reads such a document.

`FORMAT` is the number of what this release writes: manifest, evaluation, pointer and history. To change one of them:
raise the number, keep a reader of the older number here, and add a stored version of the older number to the tests.

1  the first.
2  an evaluation has the comparison and its files' hashes, a version the rows that it was trained on; the pooled model
   came, with its base values. What is new has a default, so the reader of 2 reads 1.
3  a version has its forest once more, as the engine of that release read it.
4  as the engine reads it now. For older versions the engine's arrays are derived from the forest, so the reader of 4
   reads 1 to 3.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from leadscore.errors import Damaged, UnsupportedFormat

FORMAT = 4
COMPARED_SINCE_FORMAT = 2
ENGINE_SINCE_FORMAT = 4
READABLE = (1, 2, 3, 4)
UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

Document = TypeVar("Document", bound=msgspec.Struct)


def decode_document(content: bytes, kind: type[Document], name: str, remedy: str) -> Document:
    """Return the document in `content`, which `name` calls and `remedy` helps when it cannot be read.

    Raises UnsupportedFormat when another release wrote it, Damaged when it does not hold what its format needs.
    """
    try:
        document = msgspec.json.decode(content)
    except UNDECODABLE as error:
        raise Damaged(f"{name} is not JSON; {remedy}") from error
    number = document.get("format") if isinstance(document, dict) else None
    if not isinstance(number, int):
        raise Damaged(f"{name} carries no format number; {remedy}")
    if number not in READABLE:
        raise UnsupportedFormat(
            f"{name} has format {number}, this release reads up to format {FORMAT}; update it, or {remedy}"
        )
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise Damaged(f"{name} does not hold what format {number} needs: {error}; {remedy}") from error
