"""Verified copies of versions' files in a private folder, which all processes of the server map.

The registry's files are not mapped themselves: a later change to such a file would be served without a check, and a
truncated file would kill the process. Each file is therefore read and hashed once, and copied to a folder that only our
user may enter. All processes that use this folder map the verified copy, and share its pages. Copies are never changed.
A process keeps its mapping when the copy is removed.
"""

from __future__ import annotations

import ctypes
import logging
import mmap
import os
import re
import secrets
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from leadscore.errors import CannotRun, Damaged
from leadscore.registry.durable_files import verify
from leadscore.registry.storage import StoredFile, read_into_memory

# the first score reads all pages: it takes less to have them at once, where that can be asked for
_FLAGS = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

_log = logging.getLogger(__name__)


class MappedFiles:
    """The copies in one folder, each named after its SHA-256. The folder is created when it is first needed."""

    def __init__(self, find_folder: Callable[[], Path]) -> None:
        self._find_folder = find_folder
        self._has_warned = False

    def map(self, file: StoredFile, sha256: str) -> memoryview:
        """Return the content of `file`, mapped from its copy, which is made when there is none; read-only.

        If no copy can be written, for example because the disk is full, return the content in memory. An existing copy
        is used without reading the file. Raises Damaged when the file is missing or has another hash, and
        RegistryUnavailable.
        """
        if not _SHA256.fullmatch(sha256):
            raise Damaged(
                f"the manifest does not record the SHA-256 of {file.name}; roll back to another version or train again"
            )
        with suppress(OSError, CannotRun):
            return _mapped(self._find_folder() / sha256)
        try:
            return self._copied(file, sha256)
        except (OSError, CannotRun) as error:
            content = read_into_memory(file, sha256)
            if not self._has_warned:
                self._has_warned = True
                _log.warning(
                    "each process holds versions in its own memory, because no shared copy can be written (%s)", error
                )
            return content

    def _copied(self, file: StoredFile, sha256: str) -> memoryview:
        """Return the content of `file`, mapped from a copy that is made beside its place, verified, and linked there.

        The first of several processes that do so wins. Raises OSError, CannotRun, or Damaged.
        """
        folder = self._find_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = folder / f"partial-{secrets.token_hex(8)}"
        try:
            with partial.open("xb") as target:
                file.copy_to(target)
            content = _mapped(partial)
            verify(content, sha256, file.name)
            try:
                (folder / sha256).hardlink_to(partial)
            except FileExistsError:
                return _mapped(folder / sha256)
            return content
        finally:
            partial.unlink(missing_ok=True)

    def forget(self, sha256: str) -> None:
        """Remove the copy, if there is one. Processes that have mapped it keep their mapping."""
        with suppress(OSError, CannotRun):
            (self._find_folder() / sha256).unlink()


class _Mapping:
    """A file's pages as an array can hold them: they are given back when the last array over them is gone.

    `mmap.mmap` would hold a descriptor for each file, and a process may have only so many.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        address = _libc().mmap(None, size, mmap.PROT_READ, _FLAGS, descriptor, 0)
        if address == ctypes.c_void_p(-1).value:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self.__array_interface__ = {"data": (address, True), "shape": (size,), "typestr": "|u1", "version": 3}
        # a thread may still score when the process ends
        weakref.finalize(self, _libc().munmap, address, size).atexit = False


@cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc


def _mapped(path: Path) -> memoryview:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return np.asarray(_Mapping(descriptor, os.fstat(descriptor).st_size)).data
    finally:
        os.close(descriptor)
