"""An archive is checked whole before anything is unpacked: what is damaged, forged or unknown makes nothing."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leadscore.errors import CannotRun
from leadscore.registry.durable_files import PARTIAL_PREFIX
from leadscore_assets.backups import archive
from leadscore_assets.backups.archive import BACKUP_FORMAT, Description, inspect, new_file, unpack, written

ROOM_BYTES = 10_000_000
POINTER = "models/acme/active.json"


def description(**changed: Any) -> Description:
    known: dict[str, Any] = {"created_at": archive.now(), "database": None, "postgres": None, "has_tokens": False}
    return Description(**(known | changed))


def packed(members: dict[str, bytes], **described: Any) -> io.BytesIO:
    """Return an archive as `save` writes it."""
    file = io.BytesIO()
    with written(file, description(**described)) as writer:
        for name, content in members.items():
            writer.add(name, content)
    return file


def forged(*members: tarfile.TarInfo, first: bytes | None = None) -> io.BytesIO:
    """Return an archive that somebody else made: a description, and then these members, without content."""
    file = io.BytesIO()
    text = msgspec.json.encode(description()) if first is None else first
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        begin = tarfile.TarInfo("backup.json")
        begin.size = len(text)
        tar.addfile(begin, io.BytesIO(text))
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return file


def member(name: str, kind: bytes = tarfile.REGTYPE, **changed: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    for attribute, value in changed.items():
        setattr(made, attribute, value)
    return made


def test_what_is_written_is_unpacked_for_the_owner_alone(tmp_path: Path) -> None:
    members = {POINTER: b"{}", "models/registry.id": b"id", "tokens.json": b"[]", "database.dump": b"PGDMP"}
    long = f"models/{'a' * 80}/20260101000000/{'b' * 90}"
    file = packed(members | {long: b"long"}, has_tokens=True, database="whole", postgres=18)

    assert inspect(file, ROOM_BYTES).database == "whole"
    unpack(file, tmp_path)

    assert {name: (tmp_path / name).read_bytes() for name in [*members, long]} == members | {long: b"long"}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_dir()} == {0o700}


def test_a_backup_begins_with_what_it_holds() -> None:
    with tarfile.open(fileobj=io.BytesIO(packed({POINTER: b"{}"}).getvalue()), mode="r:gz") as tar:
        assert tar.getnames() == ["backup.json", POINTER]


HOSTILE = {
    "link": member(POINTER, tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": member(POINTER, tarfile.LNKTYPE, linkname="backup.json"),
    "device": member(POINTER, tarfile.CHRTYPE, devmajor=1, devminor=5),
    "pipe": member(POINTER, tarfile.FIFOTYPE),
    "folder": member("models/acme", tarfile.DIRTYPE),
    "upwards": member("models/../../passwd"),
    "upwards from an org": member("models/acme/../../../active.json"),
    "absolute": member("/models/acme/active.json"),
    "unknown": member("readme.txt"),
    "unannounced tokens": member("tokens.json"),
    "unannounced dump": member("database.dump"),
    "lock": member("models/acme/.lock"),
    "description again": member("backup.json"),
    "huge and unknown": member("zeros", size=5_000_000),
    "header that is read whole": member("x", tarfile.XHDTYPE, size=5_000_000),
    "huge and known": member("models/acme/20260101000000/report.html", size=ROOM_BYTES),
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_member_that_no_backup_has_is_refused(hostile: tarfile.TarInfo) -> None:
    with pytest.raises(CannotRun, match=r"cannot be restored|make room"):
        inspect(forged(hostile), ROOM_BYTES)


@pytest.mark.parametrize(
    "hostile", [HOSTILE[name] for name in ("link", "upwards", "absolute", "unknown")], ids=lambda it: it.name
)
def test_such_a_member_is_not_unpacked_either_if_the_file_is_changed_in_between(
    hostile: tarfile.TarInfo, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(CannotRun):
        unpack(forged(hostile), tmp_path / "in")
    assert {path.name for path in tmp_path.rglob("*")} == {"in", "backup.json"}


def test_a_member_that_comes_twice_is_refused() -> None:
    with pytest.raises(CannotRun, match="does not belong"):
        inspect(forged(member(POINTER), member(POINTER)), ROOM_BYTES)


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (b"", "does not have the fields"),
        (b"[]", "does not have the fields"),
        (b'{"format": 1}', "does not have the fields"),
        (b'{"format": 2}', "has format 2, and this release reads format 1"),
        (b"{}", "has format None"),
        (b" " * 20_000, "does not begin with backup.json"),
    ],
)
def test_a_description_that_this_release_does_not_read_is_refused(first: bytes, says: str) -> None:
    assert BACKUP_FORMAT == 1
    with pytest.raises(CannotRun, match=says):
        inspect(forged(first=first), ROOM_BYTES)


def test_what_the_description_names_must_be_there() -> None:
    with pytest.raises(CannotRun, match=r"lacks tokens\.json"):
        inspect(packed({}, has_tokens=True), ROOM_BYTES)
    with pytest.raises(CannotRun, match=r"lacks database\.dump"):
        inspect(packed({}, database="schemas", postgres=18), ROOM_BYTES)


def test_what_is_no_archive_is_refused() -> None:
    for content in (b"", b"text", gzip.compress(b""), gzip.compress(b"text" * 1_000)):
        with pytest.raises(CannotRun, match="cannot be restored"):
            inspect(io.BytesIO(content), ROOM_BYTES)


def test_an_archive_that_ends_early_or_has_a_changed_byte_is_refused() -> None:
    whole = packed({POINTER: os.urandom(3_000), "models/registry.id": b"id"}).getvalue()
    assert inspect(io.BytesIO(whole), ROOM_BYTES)
    for size in range(0, len(whole), 97):
        with pytest.raises(CannotRun):
            inspect(io.BytesIO(whole[:size]), ROOM_BYTES)
    for place in range(20, 3_000, 97):  # behind it are zeros, which some changed bytes give as well
        with pytest.raises(CannotRun):
            inspect(io.BytesIO(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]), ROOM_BYTES)


def test_a_file_has_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar.gz"
    with new_file(path) as file:
        file.write(b"begun")
        assert not path.exists()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"begun", 0o600)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("failure", [CannotRun("no"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_failure_leaves_no_file(tmp_path: Path, failure: BaseException) -> None:
    def fail() -> None:
        with new_file(tmp_path / "backup.tar.gz") as file:
            file.write(b"begun")
            raise failure

    with pytest.raises((CannotRun, KeyboardInterrupt), match="No space left" if isinstance(failure, OSError) else None):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar.gz"
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(CannotRun, match="exists already"), new_file(path):
        pass
    path.unlink()
    with pytest.raises(CannotRun, match="exists already"), new_file(path):
        path.write_bytes(b"another's")  # made meanwhile
    assert path.read_bytes() == b"another's"
    assert not list(tmp_path.glob(f"{PARTIAL_PREFIX}*"))


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="name a file in a folder that exists"), new_file(tmp_path / "no" / "file"):
        pass
