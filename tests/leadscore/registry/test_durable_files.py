"""Durable files: what is read is what was written, and what is written is there whole or not at all."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leadscore.errors import Damaged
from leadscore.registry.durable_files import (
    open_plain,
    read_if_there,
    read_verified,
    replace_durably,
    sha256_of,
    write_durably,
)


def _link(path: Path) -> None:
    path.with_name("original").write_bytes(b"written")
    path.symlink_to(path.with_name("original"))


def test_what_was_written_is_read_and_anything_else_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_durably(path, b"written")
    assert read_verified(path, sha256_of(b"written")) == b"written"
    with pytest.raises(Damaged, match=r"report\.html is damaged: its SHA-256 is not the recorded one"):
        read_verified(path, sha256_of(b"other"))


def test_a_file_that_exists_is_never_written_over(tmp_path: Path) -> None:
    write_durably(tmp_path / "file", b"first")
    with pytest.raises(FileExistsError):
        write_durably(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_file_has_the_mode_that_was_asked_for_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        replace_durably({tmp_path / "file": b"written"}, mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


@pytest.mark.parametrize("put", [None, os.mkfifo, os.mkdir, _link], ids=["nothing", "pipe", "folder", "link"])
def test_only_a_plain_file_is_opened_and_no_reader_waits(put: Callable[[Path], None] | None, tmp_path: Path) -> None:
    if put:
        put(tmp_path / "file")
    started_at = time.monotonic()
    with pytest.raises(Damaged, match="file cannot be read; roll back"):
        open_plain(tmp_path / "file")
    assert time.monotonic() - started_at < 5


def test_a_file_that_is_not_there_is_none_and_one_that_cannot_be_read_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"there")
    assert read_if_there(tmp_path / "file") == b"there"
    assert read_if_there(tmp_path / "none") is None
    assert read_if_there(tmp_path / "file" / "below") is None
    with pytest.raises(Damaged, match=r"Is a directory.*make it a file that this user may read"):
        read_if_there(tmp_path)


def test_files_are_replaced_together_or_stay_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second has no room on the disk: the first is not put in place either, and nothing is left beside them."""
    old, new = dict.fromkeys((tmp_path / "a", tmp_path / "b"), b"old"), {tmp_path / "a": b"1", tmp_path / "b": b"2"}
    replace_durably(old)
    sync, synced = os.fsync, list[int]()

    def full_at_the_second(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_at_the_second)
        with pytest.raises(OSError, match="No space left"):
            replace_durably(new)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == old
    replace_durably(new)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == new
