"""Files that survive a crash whole, and are verified when they are read.

A file is written beside its place, forced to the disk and renamed into it, so that a reader sees the old one or the
new one. What is read is compared with the SHA-256 that was recorded when it was written.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from leadscore.errors import Damaged

PARTIAL_PREFIX = ".partial-"


def sha256_of(content: bytes | memoryview) -> str:
    """Return the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


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


def read_if_there(path: Path) -> bytes | None:
    """Return what is stored at `path`, None when nothing is. Raises Damaged when it cannot be read."""
    try:
        # a pipe in a file's place must not make the reader wait
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123 (a descriptor is no path)
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read ({error.strerror}); make it a readable file") from error


def write_durably(path: Path, content: bytes) -> None:
    """Make the file, which must not exist yet, and return once its content is on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(contents: Mapping[Path, bytes]) -> None:
    """Put each content at its path, in order; all lie in one folder. A disk that is full is met before the first."""
    mark = secrets.token_hex(4)
    beside = {path: path.with_name(f"{PARTIAL_PREFIX}{path.name}-{mark}") for path in contents}
    try:
        for path, content in contents.items():
            write_durably(beside[path], content)
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
