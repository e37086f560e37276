"""A group of processes: a server that was started in a session of its own, and everything that it started there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

WATCH_SECONDS = 0.5
STOP_SECONDS = 30.0
# so long may what a server started go on after it: a run that was stopped needs this time to record that it was
RUNS_SECONDS = 15.0
POLL_SECONDS = 0.1
SIGNALS = (signal.SIGTERM, signal.SIGINT)
SIGNALLED = 128  # a shell's exit code for a process that a signal ended begins here


def signal_group(group: int, number: signal.Signals) -> None:
    """Send the signal to every process of the group; do nothing when none is left."""
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def is_any_running(session: int) -> bool:
    """Return whether a process of the session runs, in whatever group; one that has ended, collected or not, does not.

    Without /proc, which only Linux has, return False.
    """
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended just now
            # bytes: a long name of a process may be cut within a character
            state, _, _, its_session = path.read_bytes().rpartition(b")")[2].split()[:4]
            if state != b"Z" and int(its_session) == session:
                return True
    return False


def end_by_signals() -> None:
    """Let SIGTERM and SIGINT end this process as an exception does, so that what it holds is freed."""
    for number in SIGNALS:
        signal.signal(number, _exit)


def run_until(is_over: Callable[[], bool], command: Sequence[str]) -> int:
    """Run a server until it ends, by itself or by a signal to this process, or `is_over`; return its exit code.

    It has a session of its own, so that a signal reaches it and what it started once each. All of it has ended, or was
    killed, when this returns.
    """
    server = subprocess.Popen(command, start_new_session=True)
    told: list[int] = []

    def tell_to_end(*_: object) -> None:
        if not told:  # a second signal would interrupt the work of ending
            told.append(server.pid)
            signal_group(server.pid, signal.SIGTERM)

    for number in SIGNALS:
        signal.signal(number, tell_to_end)
    try:
        while server.poll() is None and not is_over():
            with suppress(subprocess.TimeoutExpired):
                server.wait(WATCH_SECONDS)
        tell_to_end()
        with suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
    finally:
        _end_group(server.pid)
    code = server.wait()
    return code if code >= 0 else SIGNALLED - code


def _end_group(group: int) -> None:
    deadline = time.monotonic() + RUNS_SECONDS
    while is_any_running(group) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    signal_group(group, signal.SIGKILL)


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(SIGNALLED + number)
