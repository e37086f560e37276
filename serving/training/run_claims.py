"""Claims on the start of trainings, which the processes of one server share.

A lock on one byte of a file, at a place that depends on the org's id, guards a start; the kernel frees it with the
process.
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

# the file has no bytes; a lock needs none
_PLACES = 2**62


class RunClaims:
    """Orgs for which a training is being started. `folder` gives the shared folder."""

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


def _place(org_id: str) -> int:
    return int.from_bytes(hashlib.sha256(org_id.encode()).digest()[:8], "big") % _PLACES
