"""The lock of an org's folder: writers take turns by it. The kernel frees it with the process that holds it.

It is waited for until a deadline, and by one thread of a process for each org, so that an org whose lock is held for
long, by whichever process, does not take the threads of a server one after the other. A folder that is moved takes its
lock along: whoever waited for it then waits for the lock of the folder that is in its place.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leadscore.errors import RegistryBusy

LOCK_FILE = ".lock"
RETRY_SECONDS = 0.02


class OrgLocks:
    """The locks as one process takes them, each for `wait_seconds` at most."""

    def __init__(self, wait_seconds: float) -> None:
        self._wait_seconds = wait_seconds
        self._guard = threading.Lock()
        self._waiting: set[Path] = set()

    @contextmanager
    def hold(self, folder: Path) -> Iterator[None]:
        """Hold the lock of an org's folder. Raises RegistryBusy, or OSError when the lock is not a file of our own."""
        descriptor = _open(folder / LOCK_FILE)
        try:
            self._lock(descriptor, folder)
            _check_in_place(descriptor, folder / LOCK_FILE)
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int, folder: Path) -> None:
        if _is_taken(descriptor):
            return
        with self._guard:
            if folder in self._waiting:
                raise _busy()
            self._waiting.add(folder)
        try:
            deadline = time.monotonic() + self._wait_seconds
            while not _is_taken(descriptor):
                if time.monotonic() > deadline:
                    raise _busy()
                time.sleep(RETRY_SECONDS)
        finally:
            with self._guard:
                self._waiting.discard(folder)


def _open(path: Path) -> int:
    """Open the lock file, made when absent; nobody else may open it, and what is not a plain file is refused."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{LOCK_FILE} is not a plain file")
    return descriptor


def _is_taken(descriptor: int) -> bool:
    """Take the lock if it is free, and return whether it is ours."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_in_place(descriptor: int, path: Path) -> None:
    """Raise RegistryBusy when the folder was removed, moved or replaced while its lock was waited for."""
    try:
        is_in_place = os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        is_in_place = False
    if not is_in_place:
        raise _busy()


def _busy() -> RegistryBusy:
    return RegistryBusy("another change of the org's versions is under way and takes long; try again in a minute")
