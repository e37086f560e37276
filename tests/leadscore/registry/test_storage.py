"""A file of a version is used only when it has the hash that was recorded for it, wherever it is stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadscore.errors import Damaged
from leadscore.registry.durable_files import PlainFile, sha256_of
from leadscore.registry.storage import read_into_memory, read_verified_file


def test_a_file_with_the_recorded_hash_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    assert read_verified_file(PlainFile(tmp_path / "file"), sha256_of(b"content")) == b"content"
    assert read_into_memory(PlainFile(tmp_path / "file"), sha256_of(b"content")) == b"content"


def test_a_file_with_another_hash_or_none_at_all_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    for read in (read_verified_file, read_into_memory):
        with pytest.raises(Damaged, match="file is damaged"):
            read(PlainFile(tmp_path / "file"), sha256_of(b"another"))
        with pytest.raises(Damaged, match="missing cannot be read"):
            read(PlainFile(tmp_path / "missing"), sha256_of(b"content"))
