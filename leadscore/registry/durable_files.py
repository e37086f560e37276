"""Writes files that survive a crash complete, and verifies them when they are read.

A file is written under a temporary name, flushed to the disk and renamed, so that a reader sees either the old file or
the new one. Readers compare a file with the SHA-256 that was recorded when it was written.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from leadscore.errors import Damaged

PARTIAL_PREFIX = ".partial-"
OWNER_ONLY = 0o600
_CHUNK_BYTES = 2**24


def sha256_of(content: bytes | memoryview) -> str:
    """Return the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read_verified(path: Path, expected_sha256: str) -> bytes:
    """Return the content of `path`. Raises Damaged unless it is a regular file with that hash."""
    content = PlainFile(path).read()
    verify(content, expected_sha256, path.name)
    return content


class PlainFile(NamedTuple):
    """A regular file, which is opened when it is read: see `open_plain`."""

    path: Path

    @property
    def name(self) -> str:
        """Its name, without a folder."""
        return self.path.name

    def read(self) -> bytes:
        """Return its content. Raises Damaged."""
        with open_plain(self.path) as file:
            try:
                return file.read()
            except OSError as error:
                raise _unreadable(self.path) from error

    def copy_to(self, target: BinaryIO) -> None:
        """Copy it, without the detour through this process's memory where the system can do so.

        Raises Damaged, or OSError when `target` cannot be written.
        """
        with open_plain(self.path) as source:
            with suppress(OSError):
                while os.sendfile(target.fileno(), source.fileno(), None, _CHUNK_BYTES):
                    pass
            # where it can, nothing is left
            shutil.copyfileobj(source, target)


def open_plain(path: Path) -> BinaryIO:
    """Open a regular file for reading. Raises Damaged.

    It refuses links, which might lead out of the registry, and never waits for a pipe.
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
        raise Damaged(
            f"{name} is damaged: its SHA-256 is not the recorded one; roll back to another version or train again"
        )


def read_if_there(path: Path) -> bytes | None:
    """Return the content of `path`, None if it does not exist. Raises Damaged when it cannot be read."""
    try:
        # a pipe in a file's place must not make the reader wait
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123 (a descriptor is no path)
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Damaged(
            f"{path.name} cannot be read ({error.strerror}); make it a file that this user may read"
        ) from error


def write_durably(path: Path, content: bytes, mode: int = OWNER_ONLY) -> None:
    """Create the file, which must not exist yet, and return once its content and its mode are on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        if mode != OWNER_ONLY:
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)


def replace_durably(contents: Mapping[Path, bytes], mode: int = OWNER_ONLY) -> None:
    """Replace the files in order; all are in one folder. A full disk fails before the first is replaced."""
    mark = secrets.token_hex(4)
    beside = {path: path.with_name(f"{PARTIAL_PREFIX}{path.name}-{mark}") for path in contents}
    try:
        for path, content in contents.items():
            write_durably(beside[path], content, mode)
        for path, partial in beside.items():
            partial.replace(path)
    finally:
        for partial in beside.values():
            partial.unlink(missing_ok=True)
    sync_folder(next(iter(contents)).parent)


def sync_folder(folder: Path) -> None:
    """Return once the folder's entries (new, renamed or removed files) are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
