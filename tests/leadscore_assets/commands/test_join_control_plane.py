"""Dagster's daemon works only while no other deployment has the database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import psycopg
import pytest

from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.control_plane import held
from standalone.state_dir import child_environment

COMMAND = [sys.executable, "-m", "leadscore_assets.commands.join_control_plane"]
RUNS = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(7)); print('on', flush=True); time.sleep(60)"


def started(database: Settings) -> subprocess.Popen[str]:
    database.state_dir.mkdir(exist_ok=True)
    environment = child_environment(database, {**os.environ, "DB_HOST": database.db_host})
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*COMMAND, "-c", RUNS], cwd=PROJECT_ROOT, env=environment, **output)


@pytest.fixture
def ready(database: Settings) -> Settings:
    set_up(database)
    return database


def test_a_daemon_of_the_same_registry_runs_and_its_end_is_passed_on(ready: Settings) -> None:
    with held(ready), started(ready) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 7


def test_a_daemon_of_another_registry_does_not_start(ready: Settings) -> None:
    with held(replace(ready, model_path=ready.state_dir / "other")), started(ready) as process:
        said, errors = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, "")
    assert "has a control plane with another registry" in errors
    assert "MODEL_PATH" in errors


def test_a_daemon_is_stopped_when_another_registry_takes_over(ready: Settings) -> None:
    with held(ready), started(ready) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        with psycopg.connect(**ready.database_arguments(), autocommit=True) as connection:
            connection.execute("UPDATE leadscore.control_plane SET holder = 'another', registry_id = repeat('f', 32)")
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "another registry" in errors
