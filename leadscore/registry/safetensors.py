"""Arrays as a file in the safetensors layout, which any safetensors reader opens and whose loading can run no code.

The layout is the length of a header (8 bytes, little-endian), the header as JSON (name, type, shape and place of each
array), then the arrays' bytes. A file whose name ends with .gz is compressed; `gunzip` gives the layout.
"""

from __future__ import annotations

import gzip
import math
import zlib
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from leadscore.errors import Damaged
from leadscore.formats import FORMAT, UNDECODABLE

_TYPES = {
    "BOOL": np.bool_,
    "U8": np.uint8,
    "I16": np.int16,
    "U16": np.uint16,
    "I32": np.int32,
    "I64": np.int64,
    "U64": np.uint64,
    "F32": np.float32,
    "F64": np.float64,
}
_CODES = {np.dtype(kind): code for code, kind in _TYPES.items()}
_LENGTH_BYTES = 8
_ALIGNMENT = 8
COMPRESSED = ".gz"
# half the size of the file costs 10 ms an org; the next fifth would cost 30 ms more
_COMPRESSION_LEVEL = 1


def encode_arrays(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    """Return `arrays` in the safetensors layout; the same arrays give the same bytes."""
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    offset = 0
    for name, array in sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])):
        content = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": _CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(content)],
        }
        parts.append(content)
        offset += len(content)
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + b"".join(parts)


def compressed(content: bytes) -> bytes:
    """Return `content` compressed; with the same release of zlib, the same content gives the same bytes."""
    return gzip.compress(content, _COMPRESSION_LEVEL, mtime=0)


def decompressed(content: bytes | memoryview) -> bytes:
    """Return what was compressed. Raises ValueError when the content is not what `compressed` gives."""
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"not compressed by gzip: {error}") from error


def decode_arrays(content: bytes | memoryview, name: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays in the content of the file `name`, read-only. Raises Damaged when it is not in the layout."""
    try:
        content = decompressed(content) if name.endswith(COMPRESSED) else content
        start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
        header = msgspec.json.decode(content[_LENGTH_BYTES:start])
        return {array: _view(content, start, entry) for array, entry in header.items()}
    except (*UNDECODABLE, AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise Damaged(f"{name} is not in the layout of format {FORMAT}; train again") from error


def _view(content: bytes | memoryview, start: int, entry: dict[str, Any]) -> npt.NDArray[Any]:
    kind = np.dtype(_TYPES[entry["dtype"]])
    first, last = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if (last - first) != math.prod(shape) * kind.itemsize:
        raise ValueError("an array's place does not fit its shape")
    return np.frombuffer(content, dtype=kind, count=math.prod(shape), offset=start + first).reshape(shape)
