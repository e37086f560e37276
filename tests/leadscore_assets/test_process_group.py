"""A group of processes is signalled as a whole, and runs as long as one of it does."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leadscore_assets.process_group import RUNS_SECONDS, is_any_running, run_until, signal_group

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


def test_a_process_that_made_a_group_of_its_own_runs_on_in_the_session(tmp_path: Path) -> None:
    """As the HTTP server's workers do: when their supervisor was killed, they answer for some more seconds."""
    over = tmp_path / "over"
    works = (
        f"import os, pathlib, time; os.setpgid(0, 0)\nwhile not pathlib.Path({str(over)!r}).exists(): time.sleep(0.05)"
    )
    leaves = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {works!r}])"
    with subprocess.Popen([sys.executable, "-c", leaves], start_new_session=True) as leader:
        leader.wait(30)
        assert is_any_running(leader.pid)
        over.touch()
        deadline = time.monotonic() + 10
        while is_any_running(leader.pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_process_that_ended_and_was_not_collected_does_not_run() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], start_new_session=True, stdout=subprocess.PIPE) as ended:
        assert ended.stdout is not None
        ended.stdout.read()
        deadline = time.monotonic() + 10
        while is_any_running(ended.pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)


NAMED = """
import ctypes, sys, time
ctypes.CDLL(None).prctl(15, "aaaaaaaaaaaaaa\u00e9".encode(), 0, 0, 0)
print("on", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a process has such a name on Linux alone")
def test_a_name_that_the_kernel_cut_within_a_character_is_in_nobodys_way() -> None:
    with subprocess.Popen([sys.executable, "-c", NAMED], start_new_session=True, stdout=subprocess.PIPE) as named:
        assert named.stdout is not None
        named.stdout.readline()
        assert is_any_running(named.pid)
        named.kill()


def test_what_a_server_leaves_behind_is_told_to_end_and_may_finish(tmp_path: Path) -> None:
    done = tmp_path / "done"
    finishes = f"""
import pathlib, signal, sys, time
def finish(*_):
    time.sleep(0.3)
    pathlib.Path({str(done)!r}).touch()
    sys.exit()
signal.signal(signal.SIGTERM, finish)
print("on", flush=True)
time.sleep(60)"""
    leaves = f"""
import subprocess, sys
left = subprocess.Popen([sys.executable, "-c", {finishes!r}], stdout=subprocess.PIPE)
left.stdout.readline()
sys.exit(5)"""
    began = time.monotonic()
    assert run_until(lambda: False, [sys.executable, "-c", leaves]) == 5
    assert done.exists()
    assert time.monotonic() - began < RUNS_SECONDS
