"""What the processes of one server agree on about trainings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from serving.training.run_claims import RunClaims

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
