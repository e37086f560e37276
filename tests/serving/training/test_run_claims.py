"""What the processes of one server agree on about trainings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from serving.training.run_claims import MAX_REMEMBERED, RunClaims

ROOT = Path(__file__).parents[3]
ASK = """
import sys
from pathlib import Path
from serving.training.run_claims import RunClaims
with RunClaims(lambda: Path(sys.argv[1])).only(sys.argv[2]) as is_only:
    print(is_only)
"""


def asked_elsewhere(folder: Path, org_id: str) -> str:
    command = [sys.executable, "-c", ASK, str(folder), org_id]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def test_one_process_at_a_time_starts_a_training_of_an_org(tmp_path):
    started = RunClaims(lambda: tmp_path)
    with started.only("acme") as is_only:
        assert is_only
        assert asked_elsewhere(tmp_path, "acme") == "False"
        assert asked_elsewhere(tmp_path, "other") == "True"
        with started.only("acme") as is_only_again:
            assert not is_only_again
        assert asked_elsewhere(tmp_path, "acme") == "False"
    assert asked_elsewhere(tmp_path, "acme") == "True"


def test_a_run_is_taken_once_by_whichever_process_sees_its_end(tmp_path):
    one, other = RunClaims(lambda: tmp_path), RunClaims(lambda: tmp_path)
    one.remember("run-1")
    assert [other.take("run-1"), one.take("run-1"), one.take("run-2")] == [True, False, False]


def test_of_too_many_runs_the_oldest_are_forgotten(tmp_path):
    started = RunClaims(lambda: tmp_path)
    for index in range(MAX_REMEMBERED):
        (tmp_path / "runs").mkdir(exist_ok=True)
        (tmp_path / "runs" / f"run-{index}").touch()
    started.remember("newest")
    assert len(list((tmp_path / "runs").iterdir())) == MAX_REMEMBERED
    assert started.take("newest")
