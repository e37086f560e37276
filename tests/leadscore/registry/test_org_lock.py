"""An org's lock is waited for until a deadline, by one thread of a process, and cannot be held by a stranger."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leadscore.errors import RegistryBusy, RegistryUnavailable
from leadscore.registry import org_lock
from leadscore.registry.org_lock import LOCK_FILE, OrgLocks
from leadscore.registry.store import Registry
from leadscore.settings import PROJECT_ROOT

HOLD = """
import sys
from pathlib import Path
from leadscore.registry.org_lock import OrgLocks
with OrgLocks(5).hold(Path({folder!r})):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """Give another process that holds the lock of the folder until it is killed or its input ends."""
    command = [sys.executable, "-c", HOLD.format(folder=str(tmp_path))]
    with subprocess.Popen(
        command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_that_another_process_holds_is_waited_for_until_the_deadline(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    began = time.monotonic()
    with pytest.raises(RegistryBusy, match="try again"), OrgLocks(0.3).hold(tmp_path):
        raise AssertionError("the lock is held")
    assert 0.3 <= time.monotonic() - began < 5


def test_a_lock_is_free_when_its_holder_is_killed(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    threading.Timer(0.2, holder.kill).start()
    with OrgLocks(30).hold(tmp_path):
        pass


def test_one_thread_waits_and_the_next_is_refused_at_once(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    locks, entered = OrgLocks(30), threading.Event()

    def wait() -> None:
        with locks.hold(tmp_path):
            entered.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    deadline = time.monotonic() + 10
    while not locks._waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    began = time.monotonic()
    with pytest.raises(RegistryBusy), locks.hold(tmp_path):
        raise AssertionError("another thread waits")
    assert time.monotonic() - began < 1
    holder.kill()
    waiting.join(30)
    assert entered.is_set()


def test_another_org_is_not_waited_for(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    (tmp_path / "other").mkdir()
    with OrgLocks(0.1).hold(tmp_path / "other"):
        pass


def test_only_the_owner_may_open_the_lock_and_what_is_written_beside_it(
    tmp_path: Path, publish: Callable[..., str]
) -> None:
    """Also where the process makes files that everybody may read."""
    before = os.umask(0)
    try:
        registry = Registry(tmp_path / "models")
        version = publish(registry)
    finally:
        os.umask(before)
    folder = registry.root / "acme"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / version)} == {0o700}
    files = [folder / LOCK_FILE, *(folder / version).iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/null")])
def test_a_lock_that_is_not_a_plain_file_is_refused_and_never_waited_for(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    registry = Registry(tmp_path)
    (tmp_path / "acme").mkdir()
    make(tmp_path / "acme" / LOCK_FILE)
    with pytest.raises(RegistryUnavailable), registry.exclusive("acme"):
        raise AssertionError("this is not a lock")


def test_a_lock_that_only_reads_is_no_way_around(tmp_path: Path) -> None:
    """A reader's shared lock, which needs no right to write, holds a writer up no longer than the deadline."""
    with (tmp_path / LOCK_FILE).open("w"):
        pass
    with (tmp_path / LOCK_FILE).open() as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        with pytest.raises(RegistryBusy), OrgLocks(0.1).hold(tmp_path):
            raise AssertionError("the lock is shared")


def test_whoever_waited_for_the_lock_of_a_moved_folder_is_told_to_come_again(tmp_path: Path) -> None:
    folder, locks = tmp_path / "acme", OrgLocks(5)
    folder.mkdir()
    really_taken = moved = 0

    def move() -> None:
        nonlocal moved
        moved += 1
        folder.rename(tmp_path / "moved")
        folder.mkdir()

    taken = org_lock._is_taken

    def taken_after_a_move(descriptor: int) -> bool:
        nonlocal really_taken
        really_taken += 1
        if really_taken == 1:
            move()
        return taken(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(org_lock, "_is_taken", taken_after_a_move)
        with pytest.raises(RegistryBusy), locks.hold(folder):
            raise AssertionError("the folder is another org's now")
    assert (moved, really_taken) == (1, 1)
