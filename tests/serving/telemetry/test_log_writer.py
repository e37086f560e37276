"""The spool: lines come out whole and in order, and nobody ever waits for who reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

import pytest

from serving.telemetry import log_writer as spool_module
from serving.telemetry.log_writer import Spool

LINE = b"x" * 99 + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[IO[bytes], int]]:
    """Give a pipe's reading end, and the descriptor of its writing end."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader:
        yield reader, writing
        # a thread that still waits to write is let go
        reader.close()
        with suppress(OSError):
            os.close(writing)


def fill(writing: int) -> int:
    """Write to the pipe until it is full, and return how many bytes that took."""
    os.set_blocking(writing, False)
    byte_count = 0
    with suppress(BlockingIOError):
        while True:
            byte_count += os.write(writing, b"f" * 4_096)
    os.set_blocking(writing, True)
    return byte_count


def words(count: int) -> bytes:
    return b"dropped %d\n" % count


def test_lines_are_written_in_order(pipe):
    reader, writing = pipe
    spool = Spool(writing, words)
    for number in range(1_000):
        spool.put([b"%d\n" % number, b"and\n"])
    spool.flush(30)
    found = [reader.readline() for _ in range(2_000)]
    assert found == [line for number in range(1_000) for line in (b"%d\n" % number, b"and\n")]
    assert spool.take_dropped() == 0


def test_whoever_logs_never_waits_and_what_has_no_room_is_counted_and_told(pipe, monkeypatch):
    """Nobody reads at first, and the pipe is full."""
    reader, writing = pipe
    filled_bytes = fill(writing)
    monkeypatch.setattr(spool_module, "MAX_WAITING_BYTES", 100 * len(LINE))
    spool = Spool(writing, words)
    for _ in range(15):
        spool.put([LINE] * 10)
    spool.flush(0.01)
    assert spool.take_dropped() == 50
    reader.read(filled_bytes)
    assert [reader.readline() for _ in range(100)] == [LINE] * 100
    assert reader.readline() == words(50)
    spool.put([b"again\n"])
    assert reader.readline() == b"again\n"
    assert spool.take_dropped() == 0


def test_a_pipe_that_somebody_made_one_that_never_waits_is_waited_for(pipe):
    reader, writing = pipe
    filled_bytes = fill(writing)
    os.set_blocking(writing, False)
    spool = Spool(writing, words)
    spool.put([LINE] * 5_000)
    assert len(reader.read(filled_bytes)) == filled_bytes
    assert [reader.readline() for _ in range(5_000)] == [LINE] * 5_000
    assert spool.take_dropped() == 0


def test_lines_that_cannot_be_written_are_counted_and_told_once_lines_can(tmp_path):
    """The descriptor is read-only at first, as a disk may be full; then it leads to another file."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    spool = Spool(descriptor, words)
    spool.put([LINE, LINE])
    spool.flush(30)
    assert spool.take_dropped() == 2
    log = tmp_path / "log"
    with log.open("wb") as file:
        os.dup2(file.fileno(), descriptor)
    spool.put([b"again\n"])
    spool.flush(30)
    assert log.read_bytes() == b"again\n" + words(2)
    assert spool.take_dropped() == 0
    os.close(descriptor)


def test_a_process_that_was_forked_writes_what_it_logs_itself(pipe):
    reader, writing = pipe
    spool = Spool(writing, words)
    spool.put([b"parent\n"])
    spool.flush(30)
    child = os.fork()
    if child == 0:
        spool.put([b"child\n"])
        spool.flush(30)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert [reader.readline(), reader.readline()] == [b"parent\n", b"child\n"]
