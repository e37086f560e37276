"""Lines on their way to a file that somebody may not read: a thread of its own writes them, and nobody waits for it.

Whoever reads a server's log may stall, and then a pipe is soon full. Lines wait here for some megabytes; beyond that
they are dropped and counted, and once they are read again, a line tells how many there were.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

MAX_WAITING_BYTES = 4_000_000
# what several processes write to one pipe is not mixed up as long as a write is no longer (PIPE_BUF)
_BYTES_AT_A_TIME = 4_096


class Spool:
    """Writes lines to `descriptor`. `line_of_dropped` words how many were dropped."""

    def __init__(self, descriptor: int, line_of_dropped: Callable[[int], bytes]) -> None:
        self._descriptor, self._line_of_dropped = descriptor, line_of_dropped
        self._begin()

    def _begin(self) -> None:
        self._owner, self._changed = os.getpid(), threading.Condition()
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = self._dropped = self._unsaid = 0
        self._is_started = False

    def put(self, lines: Iterable[bytes]) -> None:
        """Have the lines written soon, in order, or drop those for which there is no room."""
        with self._mine():
            for line in lines:
                self._add(line)
            if not self._is_started:
                self._is_started = True
                threading.Thread(target=self._write_for_ever, name="log", daemon=True).start()
            self._changed.notify_all()

    def flush(self, seconds: float) -> None:
        """Wait until everything is written, but no longer than so many seconds."""
        with self._mine():
            self._changed.wait_for(lambda: not self._waiting_bytes, seconds)

    def take_dropped(self) -> int:
        """Return how many lines were dropped since this was asked last."""
        with self._mine():
            dropped, self._dropped = self._dropped, 0
        return dropped

    def _mine(self) -> threading.Condition:
        """Return the lock; after a fork begin anew, since the thread stayed behind and may have held it."""
        if self._owner != os.getpid():
            self._begin()
        return self._changed

    def _add(self, line: bytes) -> None:
        if self._waiting_bytes + len(line) > MAX_WAITING_BYTES:
            self._dropped += 1
            self._unsaid += 1
            return
        self._lines.append(line)
        self._waiting_bytes += len(line)

    def _write_for_ever(self) -> None:
        while True:
            lines = self._taken()
            written = sum(map(len, lines))
            self._write(lines)
            with self._changed:
                self._waiting_bytes -= written
                if self._unsaid:
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

    def _write(self, lines: list[bytes]) -> None:
        for part in _in_parts(lines):
            left = memoryview(part)
            try:
                while left:
                    left = left[os.write(self._descriptor, left) :]
            except OSError:
                # a log that cannot be written, as on a full disk, must not stop the server
                with self._changed:
                    self._dropped += part.count(b"\n")


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
