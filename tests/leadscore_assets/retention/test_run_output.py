"""Of what runs printed, only what is old goes, and nothing that Dagster did not write."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from leadscore_assets.retention.removed import Removed
from leadscore_assets.retention.run_output import remove_old_output

NOW = datetime(2026, 7, 1, tzinfo=UTC)
BEFORE = NOW - timedelta(days=30)


def written(path: Path, days_ago: float, content: bytes = b"some") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    at = (NOW - timedelta(days=days_ago)).timestamp()
    os.utime(path, (at, at))
    return path


def test_files_of_old_runs_and_ticks_go(tmp_path: Path) -> None:
    old = [
        written(tmp_path / "run-1" / "compute_logs" / f"a.{suffix}", 31)
        for suffix in ("out", "err", "complete", "partial")
    ]
    old.append(written(tmp_path / "repository" / "follow_orgs" / "17.err", 400))
    new = written(tmp_path / "run-2" / "compute_logs" / "a.err", 29)
    other = written(tmp_path / "run-1" / "a value", 31)
    assert remove_old_output(tmp_path, BEFORE) == Removed("files of output", 5, 20)
    assert [path.exists() for path in (*old, new, other)] == [False] * 5 + [True] * 2
    assert remove_old_output(tmp_path, BEFORE) == Removed("files of output")


def test_a_folder_goes_once_it_has_been_empty_for_as_long(tmp_path: Path) -> None:
    written(tmp_path / "run-1" / "compute_logs" / "a.out", 31)
    remove_old_output(tmp_path, BEFORE)
    assert (tmp_path / "run-1" / "compute_logs").is_dir()
    for folder in ("run-1/compute_logs", "run-1"):
        at = (NOW - timedelta(days=31)).timestamp()
        os.utime(tmp_path / folder, (at, at))
    remove_old_output(tmp_path, BEFORE)
    assert not (tmp_path / "run-1" / "compute_logs").exists()
    assert tmp_path.is_dir()


def test_without_a_folder_there_is_nothing_to_remove(tmp_path: Path) -> None:
    assert remove_old_output(tmp_path / "none", BEFORE).items == 0
