"""`python -m leadscore_assets.commands.hold_control_plane ARGUMENTS`: run the database's control plane.

Python starts the code server with ARGUMENTS. The server and its runs are stopped when this process loses the lease.
Runs that an earlier code server left unfinished are ended first: while this process holds the lease, none of them can
be running.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import dagster as dg

from leadscore.errors import LeadscoreError
from leadscore.settings import read_settings
from leadscore_assets.commands.end_interrupted_runs import end_interrupted_runs
from leadscore_assets.process_group import is_any_running, signal_group
from leadscore_assets.source.control_plane import LEASE_SECONDS, RENEWAL_SECONDS, Lease, held

WATCH_SECONDS = 0.5
STOP_SECONDS = 30.0
RUNS_SECONDS = 15.0
POLL_SECONDS = 0.1
SIGNALS = (signal.SIGTERM, signal.SIGINT)
SIGNALLED = 128  # a shell's exit code for a process that a signal ended begins here


def main(arguments: Sequence[str]) -> int:
    """Hold the lease while Python runs with `arguments`; return its exit code, 1 when the lease cannot be taken."""
    for number in SIGNALS:
        signal.signal(number, _exit)
    try:
        settings = read_settings()
        # the lease of a killed code server expires in the meantime
        with held(settings, wait_seconds=LEASE_SECONDS + RENEWAL_SECONDS) as lease:
            with dg.DagsterInstance.get() as instance:
                count = end_interrupted_runs(instance)
            print(f"{count} interrupted runs were ended.", flush=True)
            return _serve(lease, [sys.executable, *arguments])
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1


def _serve(lease: Lease, command: Sequence[str]) -> int:
    """Run the code server until it ends by itself, by a signal to this process, or because the lease is lost.

    It has a session of its own, so that a signal reaches it and its runs once each.
    """
    server = subprocess.Popen(command, start_new_session=True)
    for number in SIGNALS:
        signal.signal(number, lambda *_: _stop(server))
    try:
        while server.poll() is None and not lease.is_lost:
            with suppress(subprocess.TimeoutExpired):
                server.wait(WATCH_SECONDS)
        if lease.is_lost:
            _stop(server)
            with suppress(subprocess.TimeoutExpired):
                server.wait(STOP_SECONDS)
        lease.raise_if_lost()
        return server.returncode if server.returncode >= 0 else SIGNALLED - server.returncode
    finally:
        _end_runs(server)


def _end_runs(server: subprocess.Popen[bytes]) -> None:
    """Wait until all processes that the server started have ended; kill those left after RUNS_SECONDS.

    A run that was stopped needs this time to record that it was.
    """
    deadline = time.monotonic() + RUNS_SECONDS
    while is_any_running(server.pid) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    signal_group(server.pid, signal.SIGKILL)


def _stop(server: subprocess.Popen[bytes]) -> None:
    signal_group(server.pid, signal.SIGTERM)


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(SIGNALLED + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
