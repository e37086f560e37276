"""Arrays in the safetensors layout: read back as written, refused when one byte differs, and reading runs no code."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leadscore.errors import Damaged
from leadscore.registry.durable_files import read_verified
from leadscore.registry.safetensors import compressed, decode_arrays, decompressed, encode_arrays
from tests.leadscore.registry.stored_files import Boom, flipped, stored


def _read(path: Path, expected_sha256: str) -> dict[str, Any]:
    return decode_arrays(read_verified(path, expected_sha256), path.name)


def _in_layout(header: object) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(64)


def test_arrays_read_back_as_they_were_and_cannot_be_written(tmp_path: Path, arrays: dict[str, Any]) -> None:
    found = _read(*stored(tmp_path, encode_arrays(arrays)))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].tolist()) == (array.dtype, array.tolist())
        assert found[name].flags.aligned
        assert not found[name].flags.writeable


def test_the_file_is_in_the_layout_that_any_safetensors_reader_opens(arrays: dict[str, Any]) -> None:
    """The length of the header, the header, then the arrays without a gap: read here without our reader."""
    content = encode_arrays(arrays)
    length = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    types = {"BOOL": "?", "I16": "<i2", "I32": "<i4", "F32": "<f4", "F64": "<f8"}
    places = sorted(entry["data_offsets"] for entry in header.values())
    assert [first for first, _ in places] == [0, *(last for _, last in places[:-1])]
    assert places[-1][1] == len(body)
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        read = np.frombuffer(body[first:last], types[entry["dtype"]]).reshape(entry["shape"])
        assert read.tolist() == arrays[name].tolist()


def test_the_same_arrays_give_the_same_bytes_in_whatever_order_they_come(arrays: dict[str, Any]) -> None:
    assert encode_arrays(dict(reversed(arrays.items()))) == encode_arrays(arrays)


def test_every_changed_byte_of_the_forest_is_noticed(tmp_path: Path, arrays: dict[str, Any]) -> None:
    content = encode_arrays(arrays)
    path, recorded = stored(tmp_path, content)
    for index in range(len(content)):
        with flipped(path, index, 0x01), pytest.raises(Damaged, match="its SHA-256 is not the recorded one"):
            _read(path, recorded)


def test_a_pickle_with_the_right_hash_is_refused_and_not_executed(tmp_path: Path) -> None:
    evidence, content = tmp_path / "executed", pickle.dumps(Boom(tmp_path / "executed"))
    with pytest.raises(Damaged, match="is not in the layout of format"):
        _read(*stored(tmp_path, content))
    assert not evidence.exists()
    pickle.loads(content)
    assert evidence.exists()


def test_a_compressed_file_reads_back_and_unpacks_to_the_layout(arrays: dict[str, Any]) -> None:
    content = encode_arrays(arrays)
    assert gzip.decompress(compressed(content)) == decompressed(compressed(content)) == content
    assert compressed(content) == compressed(content)
    found = decode_arrays(compressed(content), "forest.safetensors.gz")
    assert {name: array.tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in arrays.items()
    }
    assert not any(array.flags.writeable for array in found.values())


def test_what_is_not_compressed_or_cut_short_is_damaged(arrays: dict[str, Any]) -> None:
    content = compressed(encode_arrays(arrays))
    for harmed in (b"", b"no gzip", encode_arrays(arrays), content[:-1], content[:20], content[:-8] + bytes(8)):
        with pytest.raises(Damaged, match=r"forest\.safetensors\.gz is not in the layout of format"):
            decode_arrays(harmed, "forest.safetensors.gz")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        (2**63).to_bytes(8, "little"),
        _in_layout(b"[" * 100_000),
        _in_layout(b"\xff\xff"),
        _in_layout([]),
        _in_layout("text"),
        _in_layout({"value": 1}),
        _in_layout({"value": {}}),
        _in_layout({"value": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}),
        _in_layout({"value": {"dtype": [], "shape": [1], "data_offsets": [0, 8]}}),
        _in_layout({"value": {"dtype": "F64", "shape": [2], "data_offsets": [0, 8]}}),
        _in_layout({"value": {"dtype": "F64", "shape": ["1"], "data_offsets": [0, 8]}}),
        _in_layout({"value": {"dtype": "F64", "shape": [1], "data_offsets": [0]}}),
        _in_layout({"value": {"dtype": "F64", "shape": [1], "data_offsets": [64, 72]}}),
        _in_layout({"value": {"dtype": "F64", "shape": [1], "data_offsets": [-800, -792]}}),
        _in_layout({"value": {"dtype": "F64", "shape": [10**30], "data_offsets": [0, 8 * 10**30]}}),
    ],
    ids=range(17),
)
def test_whatever_is_not_in_the_layout_is_damaged_even_with_the_right_hash(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(Damaged):
        _read(*stored(tmp_path, content))
