"""The format number that every stored document carries, and the one place that reads such a document.

`FORMAT` is the number that this release writes into manifest, evaluation, pointer, history and the record of an org. To
change one of them: raise the number, keep a reader of the older number here, and add a stored version of the older
number to the tests.

1  the first.
2  adds the comparison and the files' hashes to an evaluation, the training rows to a version, and the pooled model with
   its base values. New fields have defaults, so the reader of 2 reads 1.
3  adds the forest in the layout that the engine of that release read.
4  stores the forest in the engine's present layout. For older versions the engine's arrays are derived from the forest,
   so the reader of 4 reads 1 to 3.
5  lets a pointer and an entry of the history be a withdrawal, and gives an org's folder a record of the org. Both are
   documents of kinds of their own, so the reader of 5 reads 1 to 4.
6  lets a judgement withhold a version from activation, which an older release would not heed. In older formats nothing
   is withheld, so the reader of 6 reads 1 to 5.
7  compresses the forest and the records of a version, whose names then end with .gz. Older versions have the plain
   files, so the reader of 7 reads 1 to 6.
8  lets a version stand on a pooled version, which its manifest and a pointer to it name, and adds to a comparison the
   level that the baseline had when it was judged. Older versions stand on none, and older comparisons have no such
   level, so the reader of 8 reads 1 to 7.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from leadscore.errors import Damaged, UnsupportedFormat

FORMAT = 8
COMPARED_SINCE_FORMAT = 2
ENGINE_SINCE_FORMAT = 4
READABLE = (1, 2, 3, 4, 5, 6, 7, 8)
UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

Document = TypeVar("Document", bound=msgspec.Struct)


def decode_document(content: bytes, kind: type[Document], name: str, remedy: str) -> Document:
    """Return the document in `content`; an error's text has its `name` and the `remedy`.

    Raises UnsupportedFormat when a newer release wrote it, Damaged when it lacks the fields of its format.
    """
    try:
        document = msgspec.json.decode(content)
    except UNDECODABLE as error:
        raise Damaged(f"{name} is not JSON; {remedy}") from error
    number = document.get("format") if isinstance(document, dict) else None
    if not isinstance(number, int):
        raise Damaged(f"{name} has no format number; {remedy}")
    if number not in READABLE:
        raise UnsupportedFormat(
            f"{name} has format {number}, but this release reads only up to format {FORMAT};"
            f" update Leadscore, or {remedy}"
        )
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise Damaged(f"{name} does not have the fields of format {number}: {error}; {remedy}") from error
