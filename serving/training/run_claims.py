"""Claims on trainings, which the processes of one server share as files.

A lock on one byte of a file, at a place that depends on the org's id, guards a start; the kernel frees it with the
process. An empty file stands for a run whose end is not counted yet; the process that removes the file counts the run.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

MAX_REMEMBERED = 1_000
# the file has no bytes; a lock needs none
_PLACES = 2**62


class RunClaims:
    """Orgs for which a training is being started, and runs that were started here. `folder` gives the shared folder."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._orgs: set[str] = set()

    @contextmanager
    def only(self, org_id: str) -> Iterator[bool]:
        """Yield True unless another thread or process is in this block for the same org."""
        with self._guard:
            is_only = org_id not in self._orgs and self._lock(org_id)
            if is_only:
                self._orgs.add(org_id)
        try:
            yield is_only
        finally:
            if is_only:
                with self._guard:
                    self._orgs.discard(org_id)
                    fcntl.lockf(self._places, fcntl.LOCK_UN, 1, _place(org_id))

    def remember(self, run_id: str) -> None:
        """Note a run whose end is to be counted; of too many, the oldest are forgotten."""
        (self._runs / run_id).touch()
        noted = sorted(self._runs.iterdir(), key=_noted_at)
        for path in noted[:-MAX_REMEMBERED]:
            path.unlink(missing_ok=True)

    def take(self, run_id: str) -> bool:
        """Return whether the run was remembered and not taken yet."""
        try:
            (self._runs / run_id).unlink()
        except FileNotFoundError:
            return False
        return True

    def _lock(self, org_id: str) -> bool:
        try:
            fcntl.lockf(self._places, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(org_id))
        except BlockingIOError:
            return False
        return True

    @cached_property
    def _places(self) -> int:
        # closing it would free every lock of this process, so it stays open
        return os.open(self._folder() / "starts", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @cached_property
    def _runs(self) -> Path:
        folder = self._folder() / "runs"
        folder.mkdir(exist_ok=True)
        return folder


def _noted_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        # another process took it just now
        return 0


def _place(org_id: str) -> int:
    return int.from_bytes(hashlib.sha256(org_id.encode()).digest()[:8], "big") % _PLACES
