"""Log files of bounded size: `python -m standalone.log_files FILE BYTES FILES` writes what it reads to them.

FILE is the newest; when a line would make it larger than BYTES, it becomes FILE.1, FILE.1 becomes FILE.2, and the last
of FILES goes. A part writes to a pipe that this process reads, which goes on until the last writer has ended: not a
line is lost when the part dies, or whoever started both. What cannot be written is dropped, so that nobody waits for a
full disk, and a line says how much it was.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from leadscore.settings import PROJECT_ROOT

CHUNK_BYTES = 1 << 16
# a part that died has closed the pipe; what it started may hold it open for longer
FINISH_SECONDS = 5.0


class LogLimits(NamedTuple):
    """How large a log file becomes, and how many there are of a part."""

    file_bytes: int = 20_000_000
    files: int = 5


DEFAULT_LIMITS = LogLimits()
# those that are not known to have ended: what a part started may hold its pipe open after the part was stopped
_running: list[subprocess.Popen[bytes]] = []


class LogWriter:
    """The process that writes a part's log."""

    def __init__(self, path: Path, limits: LogLimits) -> None:
        path.touch()
        arguments = [str(path.absolute()), str(limits.file_bytes), str(limits.files)]
        # its own session: it outlives whoever is told to end, to write down how they did
        self._process = subprocess.Popen(
            [sys.executable, "-E", "-S", "-m", "standalone.log_files", *arguments],
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        _running[:] = [process for process in (*_running, self._process) if process.poll() is None]

    @contextmanager
    def pipe(self) -> Iterator[int]:
        """Give the end of the pipe that the part writes to; here it is closed after the block."""
        if self._process.stdin is None:
            raise ValueError("the process has no pipe; it is started with one")
        with self._process.stdin as pipe:
            yield pipe.fileno()

    def finish(self) -> None:
        """Return once all is written that the part printed, or after FINISH_SECONDS."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(FINISH_SECONDS)


class RotatedFile:
    """A log file that makes room for itself; a line is in one file as a whole."""

    def __init__(self, path: Path, limits: LogLimits) -> None:
        self._path, self._limits = path, limits
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._bytes = os.fstat(self._file).st_size
        self._is_at_line_start = True
        self._dropped_bytes = 0

    def write(self, content: bytes) -> None:
        """Write the content, of which the first and the last line may be parts of one."""
        for line in content.splitlines(keepends=True):
            try:
                self._write_line(line)
            except OSError:
                self._dropped_bytes += len(line)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write_line(self, line: bytes) -> None:
        if self._is_at_line_start:
            if self._bytes and self._bytes + len(line) > self._limits.file_bytes:
                self._rotate()
            if self._dropped_bytes:
                self._write(f"... {self._dropped_bytes:,} bytes of this log could not be written\n".encode())
                self._dropped_bytes = 0
        self._write(line)
        self._is_at_line_start = line.endswith(b"\n")

    def _write(self, content: bytes) -> None:
        while content:
            written = os.write(self._file, content)
            self._bytes += written
            content = content[written:]

    def _rotate(self) -> None:
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._limits.files))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            with suppress(FileNotFoundError):
                newer.replace(older)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if len(names) == 1 else 0)
        fresh = os.open(self._path, flags, 0o644)
        os.close(self._file)
        self._file, self._bytes = fresh, 0


def main(arguments: Sequence[str]) -> None:
    """Write standard input to the file that the arguments name, until it ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # those who write are told to end, and may have something to say
    path, file_bytes, files = arguments
    log = RotatedFile(Path(path), LogLimits(int(file_bytes), int(files)))
    while content := os.read(0, CHUNK_BYTES):
        log.write(content)
    log.close()


if __name__ == "__main__":
    main(sys.argv[1:])
