"""The check of commit subjects looks at new commits only, and passes where there is no history to look at."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

from leadscore.settings import PROJECT_ROOT

_spec = importlib.util.spec_from_file_location("commit_subjects", PROJECT_ROOT / ".ci/commit_subjects.py")
commit_subjects = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(commit_subjects)

LONG = "serving: " + "x" * 57


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, subject: str) -> str:
    """Commit nothing under this subject; return the commit's hash."""
    git(folder, "commit", "--allow-empty", "-m", subject, "-m", "x" * 100)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    git(tmp_path, "init")
    return tmp_path


def test_a_subject_of_66_characters_is_refused_and_named(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = commit(clone, "start")
    assert len(LONG) == 66
    commit(clone, LONG)

    assert commit_subjects.main(clone, before) == 1
    assert f"66 characters, of which 65 are allowed: {LONG}" in capsys.readouterr().out


def test_a_subject_of_65_characters_is_allowed_whatever_its_letters(clone: Path) -> None:
    before = commit(clone, "start")
    commit(clone, "é" * 65)

    assert commit_subjects.main(clone, before) == 0


def test_subjects_from_before_the_rule_are_left_alone(clone: Path) -> None:
    before = commit(clone, LONG)
    commit(clone, "serving: cap batch size")

    assert commit_subjects.main(clone, before) == 0


def test_a_shallow_clone_without_the_rules_first_commit_is_checked(clone: Path, tmp_path: Path) -> None:
    before = commit(clone, "start")
    commit(clone, "serving: cap batch size")
    commit(clone, LONG)
    git(tmp_path, "clone", "--depth=1", f"file://{clone}", "shallow")

    assert commit_subjects.main(tmp_path / "shallow", before) == 1


def test_an_archive_without_git_passes_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commit_subjects.main(tmp_path) == 0
    assert "not checked" in capsys.readouterr().out


def test_the_rule_is_the_one_that_is_written_down() -> None:
    assert f"at most {commit_subjects.LONGEST} characters" in (PROJECT_ROOT / "CONTRIBUTING.md").read_text()
    assert f"at most {commit_subjects.LONGEST} characters" in (PROJECT_ROOT / ".gitmessage").read_text()
