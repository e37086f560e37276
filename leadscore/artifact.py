"""A version's files: the manifest that says where it came from, the forest as arrays, and the same for the engine.

The arrays are stored in the safetensors layout: the length of a header (8 bytes, little-endian), the header as
JSON (name, type, shape, place of each array), then the arrays' bytes. Loading it can run no code, and any
safetensors reader opens it. The bytes whose hash was verified are the very bytes that are served: the file is read
once, hashed, and the arrays are views of what was read, or of a copy of it that nobody writes to: see `copies`.

How the layout may change is written in `formats`, whose number the manifest carries.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt

from leadscore.engine.scorer import Scorer
from leadscore.errors import Damaged
from leadscore.features import Contract
from leadscore.forest import Forest
from leadscore.formats import ENGINE_SINCE_FORMAT, FORMAT, UNDECODABLE, decode_document
from leadscore.pooling import POOLED, BaseValues
from leadscore.records import RecordCounts, Window

FOREST_FILE = "forest.safetensors"
ENGINE_FILE = "engine.safetensors"
ESTIMATOR_FILE = "model.joblib"
BASE_VALUES_FILE = "base_values.json"
MANIFEST_FILE = "manifest.json"

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


class Split(msgspec.Struct, frozen=True):
    """How the records were divided: the share meant for the holdout, and what each side got."""

    holdout_share: float
    training_records: int
    training_rows: int
    holdout_records: int
    holdout_rows: int


class Importance(msgspec.Struct, frozen=True):
    """A feature's mean absolute contribution, in probability, over a sample of holdout rows."""

    feature: str
    importance: float


class Manifest(msgspec.Struct, frozen=True):
    """Everything that made a version: contract, window, records, parameters, code, libraries, and its files' hashes."""

    format: int
    org_id: str
    version: str
    created_at: str
    run_id: str | None
    contract: Contract
    contract_fingerprint: str
    window: Window
    counts: RecordCounts
    split: Split
    parameters: dict[str, Any]
    importance: tuple[Importance, ...]
    code_version: str
    libraries: dict[str, str]
    files: dict[str, str]


class Artifact(msgspec.Struct, frozen=True):
    """A verified version in memory. Only the pooled model has `base_values`."""

    manifest: Manifest
    scorer: Scorer
    base_values: BaseValues | None = None


class Served(msgspec.Struct, frozen=True):
    """A version as the server holds it: `sha256` is that of the file whose copy it is mapped from, None without one."""

    manifest: Manifest
    scorer: Scorer
    base_values: BaseValues | None
    sha256: str | None


def sha256_of(content: bytes | memoryview) -> str:
    """Return the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


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


def read_arrays(path: Path, expected_sha256: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays stored at `path`, read-only.

    Raises Damaged when the file is missing, has another hash, or is not in the safetensors layout.
    """
    return decode_arrays(read_verified(path, expected_sha256), path.name)


def decode_arrays(content: bytes | memoryview, name: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays in the content of the file `name`, read-only. Raises Damaged when it is not in the layout."""
    try:
        start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
        header = msgspec.json.decode(content[_LENGTH_BYTES:start])
        return {array: _view(content, start, entry) for array, entry in header.items()}
    except (*UNDECODABLE, AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise Damaged(f"{name} is not in the layout of format {FORMAT}; train again") from error


def read_verified(path: Path, expected_sha256: str) -> bytes:
    """Return what is stored at `path`. Raises Damaged when it is no plain file with that hash."""
    with open_plain(path) as file:
        try:
            content = file.read()
        except OSError as error:
            raise _unreadable(path) from error
    verify(content, expected_sha256, path.name)
    return content


def open_plain(path: Path) -> BinaryIO:
    """Open a file to be read, which must be a plain one. Raises Damaged.

    A link out of the registry is refused, and a pipe in a file's place must not make the reader wait.
    """
    try:
        file: BinaryIO = open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")  # noqa: PTH123, SIM115 (a descriptor is no path, and who asks closes it)
    except OSError as error:
        raise _unreadable(path) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise _unreadable(path)
    return file


def _unreadable(path: Path) -> Damaged:
    return Damaged(f"{path.name} cannot be read; roll back to another version or train again")


def verify(content: bytes | memoryview, expected_sha256: str, name: str) -> None:
    """Raise Damaged when the content of the file `name` has another hash."""
    if sha256_of(content) != expected_sha256:
        raise Damaged(f"{name} is not what was written: its SHA-256 differs; roll back or train again")


def _view(content: bytes | memoryview, start: int, entry: dict[str, Any]) -> npt.NDArray[Any]:
    kind = np.dtype(_TYPES[entry["dtype"]])
    first, last = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if (last - first) != math.prod(shape) * kind.itemsize:
        raise ValueError("an array's place does not fit its shape")
    return np.frombuffer(content, dtype=kind, count=math.prod(shape), offset=start + first).reshape(shape)


def decode_manifest(content: bytes) -> Manifest:
    """Return the manifest in `content`. Raises UnsupportedFormat for a newer format, Damaged for anything else."""
    return decode_document(content, Manifest, MANIFEST_FILE, "roll back to another version or train again")


def load_artifact(folder: Path, manifest: Manifest) -> Artifact:
    """Return the verified version stored in `folder`. Raises Damaged when any of its files is not as recorded."""
    scored_by = scoring_file(manifest)
    for name, recorded in manifest.files.items():
        if name not in (scored_by, BASE_VALUES_FILE):
            read_verified(folder / name, recorded)
    content = read_verified(folder / scored_by, manifest.files[scored_by])
    scorer = decode_scorer(content, scored_by, len(manifest.contract.features))
    return Artifact(manifest, scorer, load_base_values(folder, manifest.org_id, manifest.files))


def scoring_file(manifest: Manifest) -> str:
    """Return which of a version's files it is scored by: what the engine reads, where that is as it is written now.

    Raises Damaged when there is none.
    """
    name = FOREST_FILE if manifest.format < ENGINE_SINCE_FORMAT else ENGINE_FILE
    if name not in manifest.files:
        raise Damaged(f"the manifest records no {name}; roll back to another version or train again")
    return name


def decode_scorer(content: bytes | memoryview, name: str, feature_count: int) -> Scorer:
    """Return the scorer in the content of the file `name`, a version's scoring file. Raises Damaged.

    The engine's arrays are views of the content, a forest's are packed for the engine first.
    """
    arrays = decode_arrays(content, name)
    if name == ENGINE_FILE:
        return Scorer.from_arrays(arrays, feature_count)
    return Forest.from_arrays(arrays, feature_count).scorer


def load_base_values(folder: Path, org_id: str, files: dict[str, str]) -> BaseValues | None:
    """Return the base values stored in `folder`, which only the pooled model has. Raises Damaged."""
    if BASE_VALUES_FILE in files:
        content = read_verified(folder / BASE_VALUES_FILE, files[BASE_VALUES_FILE])
        return decode_document(content, BaseValues, BASE_VALUES_FILE, "train again")
    if org_id == POOLED:
        raise Damaged(f"the manifest records no {BASE_VALUES_FILE}, which the pooled model needs; train again")
    return None
