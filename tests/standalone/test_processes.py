"""Children with a log: their end is told with it, and stopping one ends all that it started."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leadscore.errors import CannotRun
from standalone import processes
from standalone.processes import Child, stop_all, wait_until

SAYS = "print('all is well', flush=True)"
ENDS_BADLY = "print('out of luck', flush=True); raise SystemExit(3)"
SLEEPS = "import time; time.sleep(60)"
HAS_A_CHILD = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEPS!r}]).pid, flush=True)"

Start = Callable[[str], Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Give a function that starts a program as the part `part`, and stops it in the end."""
    children: list[Child] = []

    def start_one(program: str) -> Child:
        children.append(Child("part", [sys.executable, "-c", program], os.environ, tmp_path / "part.log"))
        return children[-1]

    yield start_one
    for child in children:
        child.stop()


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


def test_work_that_is_done_is_a_success_and_its_words_are_in_the_log(start: Start) -> None:
    child = start(SAYS)
    child.wait_for_success(30)
    assert child.log_path.read_text() == "all is well\n"
    assert child.ending() == "ended with code 0"


def test_work_that_failed_is_told_with_the_end_of_the_log(start: Start) -> None:
    with pytest.raises(CannotRun, match=r"(?s)The part ended with code 3\. The end of .*part\.log:\n    out of luck"):
        start(ENDS_BADLY).wait_for_success(30)


def test_work_that_takes_too_long_names_its_log(start: Start) -> None:
    child = start(SLEEPS)
    with pytest.raises(CannotRun, match=r"The part took longer than 0\.1 seconds\. Read .*part\.log"):
        child.wait_for_success(0.1)
    assert child.ending() is None
    child.raise_if_ended()


def test_what_a_child_started_is_stopped_with_it(start: Start) -> None:
    child = start(f"{HAS_A_CHILD}; {SLEEPS}")
    wait_until(lambda: child.log_path.read_text().endswith("\n"), [child], "child", 30)
    grandchild = int(child.log_path.read_text())
    child.stop()
    assert child.ending() == "was ended by signal 15"
    deadline = time.monotonic() + 10
    while not is_gone(grandchild):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.stop()


def test_what_a_child_started_is_told_to_end_and_may_finish(start: Start, tmp_path: Path) -> None:
    """As a training run of the code server does, which writes down that it was interrupted."""
    done = tmp_path / "done"
    finishes = f"""
import pathlib, signal, sys, time
def finish(*_):
    time.sleep(0.5)
    pathlib.Path({str(done)!r}).touch()
    sys.exit()
signal.signal(signal.SIGTERM, finish)
print("ready", flush=True)
time.sleep(60)"""
    child = start(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {finishes!r}]); {SLEEPS}")
    wait_until(lambda: "ready" in child.log_path.read_text(), [child], "child", 30)
    child.stop()
    assert done.exists()


def test_children_that_do_not_end_are_named_and_killed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.6)
    monkeypatch.setattr(processes, "QUIET_SECONDS", 0.2)
    stubborn = start(f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); {SLEEPS}")
    wait_until(lambda: "on" in stubborn.log_path.read_text(), [stubborn], "child", 30)
    said: list[str] = []
    began = time.monotonic()
    stop_all([stubborn, start(SLEEPS)], said.append)
    assert time.monotonic() - began < 5
    assert said == ["Waiting for: part. What has not ended after 0.6 s is killed."]
    assert stubborn.ending() == "was ended by signal 9"


def test_a_wait_ends_with_the_first_part_that_dies_or_with_its_time(start: Start) -> None:
    with pytest.raises(CannotRun, match="out of luck"):
        wait_until(lambda: False, [start(SLEEPS), start(ENDS_BADLY)], "webserver", 30)
    with pytest.raises(CannotRun, match=r"The webserver did not answer within 0\.1 seconds\. Read .*part\.log"):
        wait_until(lambda: False, [start(SLEEPS)], "webserver", 0.1)
