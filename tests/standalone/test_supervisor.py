"""`python -m standalone run` from nothing: it comes up, refuses a twin, and however it ends leaves no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from leadscore.settings import PROJECT_ROOT, read_settings
from standalone.orgs import Org
from standalone.simulator import into_folder, simulate
from standalone.state_dir import child_environment, kept_password, with_embedded_database

UP_SECONDS = 150


@pytest.fixture
def environment(tmp_path: Path, free_port: Callable[[], int]) -> dict[str, str]:
    """Give the settings of a run on its own ports and folders, over a CRM too small for any training."""
    now = datetime(2026, 3, 15, tzinfo=UTC)
    into_folder(tmp_path / "crm", simulate([Org("tiny", leads=30)], seed=1, now=now))
    ports = ("PORT", "DAGSTER_PORT", "CODE_SERVER_PORT", "EMBEDDED_DB_PORT")
    return {
        **os.environ,
        "DB_HOST": "",
        "MODEL_PATH": "",
        **{name: str(free_port()) for name in ports},
        "STATE_DIR": str(tmp_path / "state"),
        "CRM_DATA": str(tmp_path / "crm"),
        "AS_OF": now.isoformat(),
        "COLUMNS": "200",
    }


@contextmanager
def running(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Start a run, and end it when it has not ended by itself. A process that it leaves behind fails the test."""
    command = [sys.executable, "-m", "standalone", "run"]
    process = subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process
        assert processes_of(environment) == {}
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


def output_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    deadline, lines = time.monotonic() + UP_SECONDS, list[str]()
    for line in process.stdout:
        lines.append(line)
        assert time.monotonic() < deadline, "".join(lines)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"it ended without saying {text!r}:\n{''.join(lines)}")


def processes_of(environment: dict[str, str]) -> dict[int, str]:
    """Return the command lines of all processes that were started with this run's folder."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            belongs = f"STATE_DIR={environment['STATE_DIR']}".encode() in (path / "environ").read_bytes().split(b"\0")
            if belongs:
                found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it ended just now, or is another user's
            continue
    return found


@contextmanager
def dagster_of(environment: dict[str, str]) -> Iterator[dg.DagsterInstance]:
    """Give the Dagster instance of the run that is up in this environment."""
    settings = read_settings(environment)
    settings = with_embedded_database(settings, kept_password(settings.state_dir))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in child_environment(settings, environment).items():
            patch.setenv(name, value)
        with dg.DagsterInstance.get() as instance:
            yield instance


def test_run_comes_up_stops_at_ctrl_c_comes_up_again_and_ends_when_a_part_dies(environment: dict[str, str]) -> None:
    state = Path(environment["STATE_DIR"])
    with running(environment) as process:
        said = output_until(process, "Ctrl-C stops everything")
        assert "CRM: 30 leads with " in said
        assert "Org tiny: not trained: " in said
        assert f"http://127.0.0.1:{environment['PORT']}/docs" in said
        twin = subprocess.run(
            [sys.executable, "-m", "standalone", "run"],
            cwd=PROJECT_ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert twin.returncode == 1
        assert "Another run uses" in twin.stdout
        assert (state / "models").is_dir()
        with dagster_of(environment) as dagster:
            interrupted = create_run_for_test(dagster, job_name="train", status=dg.DagsterRunStatus.STARTED)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0

    # What follows belongs to the same test: it needs what the first start left.
    with running(environment) as process:
        assert "as they were" in output_until(process, "Ctrl-C stops everything")
        with dagster_of(environment) as dagster:
            (run,) = dagster.get_runs()
        assert (run.run_id, run.status) == (interrupted.run_id, dg.DagsterRunStatus.FAILURE)
        webserver = next(pid for pid, line in processes_of(environment).items() if "dagster_webserver" in line)
        os.kill(webserver, signal.SIGKILL)
        assert "The Dagster webserver was ended by signal 9" in output_until(process, "ended by signal")
        assert process.wait(60) == 1

    subprocess.run([str(PROJECT_ROOT / "standalone" / "clean"), str(state)], check=True)
    assert not state.exists()
