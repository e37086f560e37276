"""Processes of one machine share a verified copy of a version's file; what becomes of the file changes nothing."""

from __future__ import annotations

import errno
import gc
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from leadscore.errors import CannotRun, Damaged
from leadscore.registry.durable_files import PlainFile, sha256_of
from leadscore.settings import PROJECT_ROOT
from serving.models.mapped_files import MappedFiles

CONTENT = bytes(range(256)) * 40
SHA256 = sha256_of(CONTENT)
MAP = """
import sys
from pathlib import Path
from leadscore.registry.durable_files import PlainFile
from serving.models.mapped_files import MappedFiles
found = MappedFiles(lambda: Path({folder!r})).map(PlainFile(Path({path!r})), {sha256!r})
print(bytes(found) == bytes(range(256)) * 40, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "copies"


@pytest.fixture
def copies(folder: Path) -> MappedFiles:
    return MappedFiles(lambda: folder)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def _started(code: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def _mapped_inodes(pid: int | str, folder: Path) -> set[int]:
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    return {int(line.split()[4]) for line in lines if str(folder) in line}


def test_processes_map_one_copy_and_so_share_its_pages(copies: MappedFiles, folder: Path, path: Path) -> None:
    held = copies.map(PlainFile(path), SHA256)
    assert held == CONTENT
    with _started(MAP.format(folder=str(folder), path=str(path), sha256=SHA256)) as other:
        assert _first_line(other) == "True"
        assert _mapped_inodes("self", folder) == _mapped_inodes(other.pid, folder) == {(folder / SHA256).stat().st_ino}
        other.communicate("")
    assert list(folder.iterdir()) == [folder / SHA256]


def test_only_the_owner_may_enter_the_folder(copies: MappedFiles, folder: Path, path: Path) -> None:
    copies.map(PlainFile(path), SHA256)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_becomes_of_the_file_changes_nothing_that_is_mapped(copies: MappedFiles, path: Path) -> None:
    held = copies.map(PlainFile(path), SHA256)
    with path.open("r+b") as file:
        file.write(b"harm")
    assert held == CONTENT
    os.truncate(path, 0)
    assert held == copies.map(PlainFile(path), SHA256) == CONTENT
    path.unlink()
    assert copies.map(PlainFile(path), SHA256) == CONTENT


def test_a_file_of_another_content_is_damaged_and_leaves_no_copy(copies: MappedFiles, folder: Path, path: Path) -> None:
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(Damaged, match="its SHA-256 is not the recorded one"):
        copies.map(PlainFile(path), SHA256)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("recorded", ["", "../file", SHA256.upper(), f"{SHA256}\n"])
def test_a_hash_that_is_none_names_no_copy(copies: MappedFiles, path: Path, recorded: str) -> None:
    with pytest.raises(Damaged, match="does not record the SHA-256 of file"):
        copies.map(PlainFile(path), recorded)


def test_a_copy_cannot_be_written_through_what_is_mapped(copies: MappedFiles, path: Path) -> None:
    with pytest.raises(TypeError, match="read-only"):
        copies.map(PlainFile(path), SHA256)[0] = 1


def test_a_forgotten_copy_stays_valid_where_it_is_mapped_and_its_pages_go_with_the_last_who_holds_it(
    copies: MappedFiles, folder: Path, path: Path
) -> None:
    held = copies.map(PlainFile(path), SHA256)
    copies.forget(SHA256)
    copies.forget(SHA256)
    assert list(folder.iterdir()) == []
    assert held == CONTENT
    part = held[10:20]
    del held
    assert part == CONTENT[10:20]
    assert _mapped_inodes("self", folder)
    del part
    gc.collect()
    assert not _mapped_inodes("self", folder)


def test_a_mapped_file_holds_no_descriptor(copies: MappedFiles, path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (counts, and needs no paths)
    held = [copies.map(PlainFile(path), SHA256) for _ in range(10)]
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 (likewise)
    assert len(held) == 10


def test_on_a_full_disk_the_bytes_that_were_read_are_served_and_the_log_says_so_once(
    copies: MappedFiles,
    folder: Path,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(_: PlainFile, target: BinaryIO) -> None:
        target.write(CONTENT[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(PlainFile, "copy_to", full)
    with caplog.at_level(logging.WARNING):
        assert copies.map(PlainFile(path), SHA256) == copies.map(PlainFile(path), SHA256) == CONTENT
    assert [record.message.count("No space left on device") for record in caplog.records] == [1]
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_done_without(path: Path) -> None:
    def nowhere() -> Path:
        raise CannotRun("no folder")

    copies = MappedFiles(nowhere)
    assert copies.map(PlainFile(path), SHA256) == CONTENT
    copies.forget(SHA256)


def test_a_copy_that_another_process_made_meanwhile_is_taken(
    copies: MappedFiles, folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, made = PlainFile.copy_to, []

    def while_another_is_quicker(file: PlainFile, target: BinaryIO) -> None:
        if not made:
            made.append(1)
            MappedFiles(lambda: folder).map(PlainFile(path), SHA256)
            made.append((folder / SHA256).stat().st_ino)
        copy(file, target)

    monkeypatch.setattr(PlainFile, "copy_to", while_another_is_quicker)
    assert copies.map(PlainFile(path), SHA256) == CONTENT
    assert [path.stat().st_ino for path in folder.iterdir()] == made[1:]


def test_where_the_system_cannot_copy_by_itself_the_content_is_read_and_written(
    copies: MappedFiles, folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))

    monkeypatch.setattr(os, "sendfile", refuse)
    assert copies.map(PlainFile(path), SHA256) == CONTENT
    assert [path.read_bytes() for path in folder.iterdir()] == [CONTENT]
