"""The folder that a server's processes share is private, and goes with the last of them, however they end."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from leadscore.errors import CannotRun
from leadscore.settings import PROJECT_ROOT
from serving import shared_folder
from serving.shared_folder import LOCK_FILE, MAKING_SECONDS, private_folder

HOLD = """
import sys
from serving.shared_folder import private_folder
print(private_folder(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder in which folders are made."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def _started(code: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_a_private_folder_goes_with_its_process(temporary: Path) -> None:
    with _started(HOLD) as process:
        folder = Path(_first_line(process))
        assert folder.parent == temporary
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        process.communicate("")
    assert not folder.exists()


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_is_in_use_is_not(temporary: Path) -> None:
    with _started(HOLD) as killed, _started(HOLD) as living:
        left, used = Path(_first_line(killed)), Path(_first_line(living))
        (left / "copies").mkdir()
        killed.send_signal(signal.SIGKILL)
        killed.wait(30)
        assert left.exists()
        with _started(HOLD) as following:
            mine = Path(_first_line(following))
            assert {entry for entry in temporary.iterdir() if entry.is_dir()} == {used, mine}
            following.communicate("")
        living.communicate("")


def test_a_forked_child_keeps_the_folder_in_use_when_its_parent_is_killed(temporary: Path) -> None:
    forking = "import os\npid = os.fork()\npid and print(pid, flush=True)\n"
    fork = HOLD.replace("sys.stdin.read()", f"{forking}sys.stdin.read()")
    with _started(fork) as parent:
        folder, child = Path(_first_line(parent)), int(_first_line(parent))
        parent.send_signal(signal.SIGKILL)
        parent.wait(30)
        shared_folder._remove_if_left(folder)
        assert folder.exists()
        os.kill(child, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while folder.exists() and time.monotonic() < deadline:
            shared_folder._remove_if_left(folder)
        assert not folder.exists()


def test_a_folder_without_a_lock_is_being_made_unless_it_is_old(temporary: Path) -> None:
    making = temporary / f"leadscore-{os.getuid()}-x"
    making.mkdir()
    shared_folder._remove_if_left(making)
    assert making.exists()
    old = making.stat().st_mtime - MAKING_SECONDS - 1
    os.utime(making, (old, old))
    shared_folder._remove_if_left(making)
    assert not making.exists()


def test_a_link_in_a_folders_place_is_left_alone(temporary: Path) -> None:
    target = temporary / "target"
    target.mkdir()
    (target / LOCK_FILE).touch()
    link = temporary / f"leadscore-{os.getuid()}-link"
    link.symlink_to(target)
    shared_folder._remove_if_left(link)
    assert (target / LOCK_FILE).exists()


def test_where_no_folder_can_be_made_the_refusal_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(CannotRun, match="set TMPDIR to a folder with free space"):
        private_folder()
