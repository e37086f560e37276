"""The code server of a deployment holds the database's control plane as long as it serves, and no longer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.commands import hold_control_plane
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.control_plane import held
from standalone.state_dir import child_environment

COMMAND = [sys.executable, "-m", "leadscore_assets.commands.hold_control_plane"]
HOLDER = "SELECT process_id FROM leadscore.control_plane"
SERVE = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
run = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("serving", os.getpid(), run.pid, flush=True)
run.wait()
sys.exit(8)
"""


@pytest.fixture
def environment(database: Settings) -> dict[str, str]:
    set_up(database)
    database.state_dir.mkdir()
    return child_environment(database, {**os.environ, "DB_HOST": database.db_host})


@contextmanager
def holding(environment: dict[str, str], program: str) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, "-c", program]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, **output) as process:
        try:
            yield process
        finally:
            process.terminate()


def said_until(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            return line
    raise AssertionError(f"it ended without saying {word}")


def holder_of(database: Settings) -> list[tuple[int]]:
    with psycopg.connect(**database.database_arguments()) as connection:
        return connection.execute(HOLDER).fetchall()


def wait_until(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    path = Path(f"/proc/{pid}/stat")
    return not path.exists() or path.read_text().split()[2] == "Z"


def test_it_holds_while_the_server_runs_and_passes_on_how_that_ended(
    database: Settings, environment: dict[str, str]
) -> None:
    with holding(environment, SERVE) as process:
        assert said_until(process, "interrupted") == "0 interrupted runs were ended.\n"
        run = int(said_until(process, "serving").split()[2])
        assert holder_of(database) == [(process.pid,)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 7
        assert holder_of(database) == []
        wait_until(lambda: is_gone(run))


def test_the_server_and_its_runs_stop_when_the_lease_is_lost(database: Settings, environment: dict[str, str]) -> None:
    with holding(environment, SERVE) as process:
        run = int(said_until(process, "serving").split()[2])
        with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
            connection.execute("UPDATE leadscore.control_plane SET holder = 'another'")
        assert process.wait(30) == 1
        wait_until(lambda: is_gone(run))
        assert holder_of(database) != []


def test_a_second_one_is_refused_and_starts_nothing(
    database: Settings,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in ("LEASE_SECONDS", "RENEWAL_SECONDS"):  # nothing is waited for
        monkeypatch.setattr(hold_control_plane, name, 0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with held(replace(database, model_path=database.state_dir / "other")):
        assert hold_control_plane.main(["-c", "print('serving')"]) == 1
    said, errors = capfd.readouterr()
    assert "serving" not in said
    assert "already has a control plane" in errors
    with psycopg.connect(**database.database_arguments()) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'dagster'").fetchone()
    assert tables == (0,)


def test_the_lease_of_a_server_that_was_killed_is_waited_for(database: Settings, environment: dict[str, str]) -> None:
    with holding(environment, SERVE) as process:
        server = int(said_until(process, "serving").split()[1])
        process.kill()
    os.killpg(server, signal.SIGKILL)  # as the end of its container would
    with holding(environment, SERVE) as process:
        assert "already has a control plane" in said_until(process, "waits up to")
        with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
            connection.execute("UPDATE leadscore.control_plane SET heartbeat_at = '2026-01-01'")  # as time would
        said_until(process, "serving")
        assert holder_of(database) == [(process.pid,)]
