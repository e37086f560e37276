"""`make clean` removes what a run keeps in its folder, and nothing that is not a run's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from leadscore.settings import PROJECT_ROOT
from standalone.state_dir import kept_password, locked


def clean(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(PROJECT_ROOT / "standalone" / "clean"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Give the folder of a run that has ended."""
    folder = tmp_path / "the state"
    with locked(folder):
        kept_password(folder)
        for name in ("models/a/20260101000000", "postgres", "dagster"):
            (folder / name).mkdir(parents=True)
    return folder


def test_folder_of_a_run_is_removed_with_all_that_it_kept(state: Path) -> None:
    done = clean(state)
    assert (done.returncode, done.stderr) == (0, "")
    assert not state.exists()


def test_files_of_others_in_the_folder_stay(state: Path, tmp_path: Path) -> None:
    (state / "thesis.tex").touch()
    (state / "logs").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    (state / "logs").symlink_to(tmp_path / "elsewhere")
    assert clean(state).returncode == 0
    assert [path.name for path in state.iterdir()] == ["thesis.tex"]
    assert (tmp_path / "elsewhere" / "kept").exists()


def test_folder_in_use_is_refused(state: Path) -> None:
    with locked(state):
        done = clean(state)
        assert done.returncode == 1
        assert "stop it with Ctrl-C first" in done.stderr
        assert (state / "postgres").is_dir()


@pytest.mark.parametrize("lock", [None, "", "somebody else's\n"], ids=["no lock", "empty lock", "another's lock"])
def test_folder_that_no_run_made_is_refused(lock: str | None, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    if lock is not None:
        (tmp_path / "lock").write_text(lock)
    done = clean(tmp_path)
    assert done.returncode == 1
    assert "is not removed" in done.stderr
    assert (tmp_path / "models").is_dir()


def test_nothing_is_to_be_removed_where_nothing_ran(tmp_path: Path) -> None:
    assert clean(tmp_path / "none").returncode == 0
    assert clean(tmp_path / "none").stdout.endswith("does not exist, so there is nothing to remove.\n")


def test_make_names_the_runs_folder_to_it() -> None:
    command = ["make", "--no-print-directory", "--dry-run", "clean"]
    shown = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == './standalone/clean "${STATE_DIR:-.leadscore}"'
