"""A log stays below its size, and has every line whole and in order, whoever of the writers and their parent dies."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leadscore.settings import PROJECT_ROOT
from standalone.log_files import LogLimits, LogWriter, RotatedFile
from standalone.processes import Child

COUNTS = "for n in range({lines}): print(f'{{n:06d}} ' + 'x' * 93, flush=n % 100 == 0)"
COUNTS_FOR_EVER = "import itertools\nfor n in itertools.count(): print(f'{n:06d} ' + 'x' * 93, flush=True)"


def contents(path: Path) -> list[bytes]:
    """Return what the files of the log hold, the oldest first."""
    numbered = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:]))
    return [file.read_bytes() for file in (*numbered, path)]


def test_a_full_file_makes_room_and_the_last_one_goes(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    log = RotatedFile(path, LogLimits(100, 3))
    for number in range(9):
        log.write(f"{number} {'x' * 47}\n".encode())
    log.close()
    assert [content[:1] + content[50:51] for content in contents(path)] == [b"45", b"67", b"8"]


def test_a_line_is_in_one_file_as_a_whole_also_when_it_comes_in_parts_or_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    log = RotatedFile(path, LogLimits(100, 10))
    for part in (b"a" * 60, b"a" * 60, b"\n" + b"b" * 30 + b"\nccc", b"\n", b"d" * 300 + b"\n", b"e"):
        log.write(part)
    log.close()
    assert contents(path) == [
        b"a" * 120 + b"\n",
        b"b" * 30 + b"\nccc\n",
        b"d" * 300 + b"\n",
        b"e",
    ]


def test_one_file_begins_anew(tmp_path: Path) -> None:
    log = RotatedFile(tmp_path / "part.log", LogLimits(100, 1))
    for number in range(3):
        log.write(f"{number} {'x' * 60}\n".encode())
    log.close()
    assert contents(tmp_path / "part.log") == [f"2 {'x' * 60}\n".encode()]


def test_a_log_goes_on_where_the_last_start_ended(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    path.write_bytes(b"x" * 89 + b"\n")
    log = RotatedFile(path, LogLimits(100, 2))
    log.write(b"short\n")
    log.write(b"and one more\n")
    log.close()
    assert contents(path) == [b"x" * 89 + b"\nshort\n", b"and one more\n"]


def test_what_a_full_disk_does_not_take_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "part.log"
    log, write = RotatedFile(path, LogLimits()), os.write

    def refuse(_descriptor: int, _content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    log.write(b"before\n")
    monkeypatch.setattr(os, "write", refuse)
    log.write(b"lost\nlost, too\n")
    monkeypatch.setattr(os, "write", write)
    log.write(b"after\n")
    log.close()
    assert path.read_bytes() == b"before\n... 15 bytes of this log could not be written\nafter\n"


def test_every_line_of_a_part_is_there_in_order(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    child = Child("part", [sys.executable, "-c", COUNTS.format(lines=20_000)], os.environ, path, LogLimits(100_000, 50))
    child.wait_for_success(60)
    files = contents(path)
    assert [int(line[:6]) for line in b"".join(files).splitlines()] == list(range(20_000))
    assert len(files) > 15
    assert all(len(content) <= 100_000 for content in files)


def test_a_part_that_is_killed_has_every_line_that_it_printed(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    child = Child("part", [sys.executable, "-c", COUNTS_FOR_EVER], os.environ, path, LogLimits(10_000, 3))
    deadline = time.monotonic() + 30
    while len(contents(path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    child.kill()
    numbers = [int(line[:6]) for line in b"".join(contents(path)).splitlines()]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert sum(map(len, contents(path))) <= 30_000


def test_the_log_is_written_to_the_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    says = (
        "import signal, time; signal.signal(2, lambda *_: (print('told to end', flush=True), exit()));"
        " print('up', flush=True); time.sleep(60)"
    )
    parent = f"""
import os, sys, time
from pathlib import Path
from standalone.processes import Child
Child("part", [sys.executable, "-c", {says!r}], os.environ, Path({str(path)!r}))
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", parent], cwd=PROJECT_ROOT) as process:
        deadline = time.monotonic() + 30
        while not (path.exists() and path.read_bytes()) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        while b"end" not in path.read_bytes() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert path.read_bytes() == b"up\ntold to end\n"


def test_a_signal_to_end_does_not_end_the_writer_before_the_others(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "part.log", LogLimits())
    with writer.pipe() as pipe:
        os.write(pipe, b"first\n")
        deadline = time.monotonic() + 30
        while not (tmp_path / "part.log").read_bytes() and time.monotonic() < deadline:
            time.sleep(0.01)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            writer._process.send_signal(number)
        os.write(pipe, b"last\n")
    writer.finish()
    assert (tmp_path / "part.log").read_bytes() == b"first\nlast\n"
