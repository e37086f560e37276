"""A group of processes is signalled as a whole, and runs as long as one of it does."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from leadscore_assets.process_group import is_any_running, signal_group

LEAVES_A_CHILD = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"


def test_a_group_runs_until_its_last_process_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", LEAVES_A_CHILD], start_new_session=True) as leader:
        leader.wait(30)
        assert is_any_running(leader.pid)
        signal_group(leader.pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while is_any_running(leader.pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        signal_group(leader.pid, signal.SIGTERM)


def test_a_process_that_ended_and_was_not_collected_does_not_run() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], start_new_session=True, stdout=subprocess.PIPE) as ended:
        assert ended.stdout is not None
        ended.stdout.read()
        deadline = time.monotonic() + 10
        while is_any_running(ended.pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)
