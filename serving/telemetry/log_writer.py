"""Writes log lines in a thread of its own, so that requests never wait for the reader of the log.

When the reader stalls, its pipe is soon full. Up to some megabytes of lines then wait here; further lines are dropped
and counted, and a line gives their number when the log is read again.
"""

from __future__ import annotations

import os
import select
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator

MAX_WAITING_BYTES = 4_000_000
# what several processes write to one pipe is not mixed up as long as a write is no longer (PIPE_BUF)
_BYTES_AT_A_TIME = 4_096


class Spool:
    """Writes lines to `descriptor`. `line_of_dropped` words how many were dropped."""

    def __init__(self, descriptor: int, line_of_dropped: Callable[[int], bytes]) -> None:
        self._descriptor, self._line_of_dropped = descriptor, line_of_dropped
        self.begin()
        _spools.add(self)

    def begin(self) -> None:
        """Begin with nothing to write."""
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = self._dropped = self._unsaid = 0
        self._is_started = False

    def put(self, lines: Iterable[bytes]) -> None:
        """Queue the lines for writing, in order; drop the lines for which there is no room."""
        with self._changed:
            for line in lines:
                self._add(line)
            if not self._is_started:
                threading.Thread(target=self._write_for_ever, name="log", daemon=True).start()
                self._is_started = True
            self._changed.notify_all()

    def flush(self, seconds: float) -> None:
        """Wait until everything is written, but no longer than so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_bytes, seconds)

    def take_dropped(self) -> int:
        """Return how many lines were dropped since this was asked last."""
        with self._changed:
            dropped, self._dropped = self._dropped, 0
        return dropped

    def _add(self, line: bytes) -> None:
        if self._waiting_bytes + len(line) > MAX_WAITING_BYTES:
            self._drop(1)
            return
        self._lines.append(line)
        self._waiting_bytes += len(line)

    def _drop(self, count: int) -> None:
        self._dropped += count
        self._unsaid += count

    def _write_for_ever(self) -> None:
        while True:
            lines = self._taken()
            is_written = self._write(lines)
            with self._changed:
                self._waiting_bytes -= sum(map(len, lines))
                # not while nothing can be written, or there would be a line about that line
                if self._unsaid and is_written:
                    self._lines.append(self._line_of_dropped(self._unsaid))
                    self._waiting_bytes += len(self._lines[-1])
                    self._unsaid = 0
                self._changed.notify_all()

    def _taken(self) -> list[bytes]:
        with self._changed:
            self._changed.wait_for(lambda: self._lines)
            lines = list(self._lines)
            self._lines.clear()
        return lines

    def _write(self, lines: list[bytes]) -> bool:
        """Write the lines, and return whether that went well; what cannot be written is dropped."""
        is_written = True
        for part in _in_parts(lines):
            left = memoryview(part)
            try:
                while left:
                    left = left[self._written(left) :]
            except OSError:
                # a log that cannot be written, as on a full disk, must not stop the server
                is_written = False
                with self._changed:
                    self._drop(bytes(left).count(b"\n"))
        return is_written

    def _written(self, left: memoryview) -> int:
        """Return how many bytes were written; wait first if another process made the file non-blocking."""
        try:
            return os.write(self._descriptor, left)
        except BlockingIOError:
            select.select([], [self._descriptor], [])
            return 0


_spools: weakref.WeakSet[Spool] = weakref.WeakSet()


def _begin_in_child() -> None:
    """Start all spools anew, because their threads stayed in the parent and may have held their locks."""
    for spool in _spools:
        spool.begin()


os.register_at_fork(after_in_child=_begin_in_child)


def _in_parts(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield whole lines joined, none longer than what is written undivided, unless a single line is."""
    part: list[bytes] = []
    size = 0
    for line in lines:
        if size + len(line) > _BYTES_AT_A_TIME and part:
            yield b"".join(part)
            part, size = [], 0
        part.append(line)
        size += len(line)
    if part:
        yield b"".join(part)
