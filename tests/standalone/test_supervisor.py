"""`python -m standalone run` from nothing: it comes up, refuses a twin, and outlives every part but its HTTP server.

However it ends, it leaves no process behind.
"""

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
import urllib3
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


def output_until(process: subprocess.Popen[str], *texts: str) -> str:
    """Return what the run says until it has said each of the texts."""
    assert process.stdout is not None
    deadline, lines = time.monotonic() + UP_SECONDS, list[str]()
    for line in process.stdout:
        lines.append(line)
        assert time.monotonic() < deadline, "".join(lines)
        if all(text in "".join(lines) for text in texts):
            return "".join(lines)
    raise AssertionError(f"it ended without saying {texts!r}:\n{''.join(lines)}")


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


def part_of(process: subprocess.Popen[str], environment: dict[str, str], words: str) -> int:
    """Return the process id of the run's own child whose command line has these words."""
    of_this_run = (pid for pid, line in processes_of(environment).items() if words in line)
    (found,) = (pid for pid in of_this_run if f"PPid:\t{process.pid}\n" in Path(f"/proc/{pid}/status").read_text())
    return found


def answer_of(environment: dict[str, str], path: str) -> tuple[int, dict[str, object]]:
    answer = urllib3.request("GET", f"http://127.0.0.1:{environment['PORT']}{path}", retries=False, timeout=30)
    return answer.status, answer.json()


def wait_until_healthy(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + UP_SECONDS
    while answer_of(environment, "/health")[1]["status"] != "healthy":
        assert time.monotonic() < deadline
        time.sleep(0.5)


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


def test_run_comes_up_stops_at_ctrl_c_and_comes_up_again_as_a_run_that_only_its_server_ends(
    environment: dict[str, str],
) -> None:
    """One test for both starts, because the second needs what the first left."""
    state = Path(environment["STATE_DIR"])
    with running(environment) as process:
        said = output_until(process, "Ctrl-C stops everything")
        assert "CRM: 30 leads with " in said
        assert "Org tiny: not trained: " in said
        assert f"http://127.0.0.1:{environment['PORT']}/docs" in said
        assert_a_twin_is_refused(environment)
        assert (state / "models").is_dir()
        with dagster_of(environment) as dagster:
            interrupted = create_run_for_test(dagster, job_name="train", status=dg.DagsterRunStatus.STARTED)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0

    with running(environment) as process:
        assert ", unchanged" in output_until(process, "Ctrl-C stops everything")
        with dagster_of(environment) as dagster:
            (run,) = dagster.get_runs()
        assert (run.run_id, run.status) == (interrupted.run_id, dg.DagsterRunStatus.FAILURE)
        assert_killed_parts_of_dagster_come_back(process, environment, state)
        assert_a_killed_database_comes_back(process, environment, state)
        os.kill(part_of(process, environment, "serving"), signal.SIGKILL)
        said = output_until(process, "Stopping ...")
        assert "✗ The HTTP server was ended by signal 9. " in said
        assert process.wait(60) == 1

    subprocess.run([str(PROJECT_ROOT / "standalone" / "clean"), str(state)], check=True)
    assert not state.exists()


def assert_a_twin_is_refused(environment: dict[str, str]) -> None:
    twin = subprocess.run(
        [sys.executable, "-m", "standalone", "run"],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert twin.returncode == 1
    assert "Another run already uses" in twin.stdout


def assert_killed_parts_of_dagster_come_back(
    process: subprocess.Popen[str], environment: dict[str, str], state: Path
) -> None:
    """Kill all parts at once; a run that was under way meanwhile has failed."""
    with dagster_of(environment) as dagster:
        begun = create_run_for_test(dagster, job_name="train", status=dg.DagsterRunStatus.STARTED)
    parts = {
        "Dagster webserver": "leadscore_assets.webserver",
        "Dagster daemon": "_daemon",
        "code server": "api grpc",
    }
    for words in parts.values():
        os.kill(part_of(process, environment, words), signal.SIGKILL)
    said = output_until(process, *(f"The {name} is running again." for name in parts))
    for name in parts:
        log = state / "logs" / f"{name.replace(' ', '-')}.log"
        assert f"The {name} was ended by signal 9. It will be started again in 1 s. Its log is {log}.\n" in said
    assert answer_of(environment, "/health/ready")[0] == 200
    wait_until_healthy(environment)
    with dagster_of(environment) as dagster:
        after = dagster.get_run_by_id(begun.run_id)
    assert after is not None
    assert after.status is dg.DagsterRunStatus.FAILURE


def assert_a_killed_database_comes_back(
    process: subprocess.Popen[str], environment: dict[str, str], state: Path
) -> None:
    """Kill the database; the server goes on answering meanwhile."""
    os.kill(int((state / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    output_until(process, "The embedded PostgreSQL was ended by signal 9. ")
    assert answer_of(environment, "/health/live")[0] == 200
    output_until(process, "The embedded PostgreSQL is running again.")
    wait_until_healthy(environment)


def test_part_that_dies_during_the_start_ends_it(environment: dict[str, str]) -> None:
    with running(environment) as process:
        output_until(process, "CRM: 30 leads")
        deadline = time.monotonic() + UP_SECONDS
        while not any("api grpc" in line for line in processes_of(environment).values()):
            assert time.monotonic() < deadline
        os.kill(part_of(process, environment, "api grpc"), signal.SIGKILL)
        assert "✗ The code server was ended by signal 9. " in output_until(process, "Stopping ...")
        assert process.wait(60) == 1
