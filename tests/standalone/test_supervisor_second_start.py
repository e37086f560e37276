"""A second start on one database is refused before it touches what the first one does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.commands.upgrade_dagster import has_dagster_tables
from leadscore_assets.source.control_plane import held
from standalone import crm
from standalone.processes import Child
from standalone.restarts import Restarted
from standalone.state_dir import child_environment
from standalone.supervisor import Run


@pytest.fixture
def given(database: Settings) -> Settings:
    with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        crm.create_tables(connection)
    return database


def test_second_run_with_another_folder_is_told_who_is_there_and_ends_no_run(
    given: Settings, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    names = ("db_host", "db_port", "db_name", "db_user", "db_password")
    with held(given):
        done = subprocess.run(
            [sys.executable, "-m", "standalone", "run"],
            cwd=PROJECT_ROOT,
            env={
                **os.environ,
                **{name.upper(): str(getattr(given, name)) for name in names},
                **{name: str(free_port()) for name in ("PORT", "DAGSTER_PORT", "CODE_SERVER_PORT")},
                "STATE_DIR": str(tmp_path / "second"),
                "MODEL_PATH": str(tmp_path / "second" / "models"),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 1
    assert f"already has a control plane: process {os.getpid()} on " in done.stdout
    assert f"with the registry {given.model_path}" in done.stdout
    assert not (tmp_path / "second" / "dagster").exists()
    with psycopg.connect(**given.database_arguments()) as connection:
        made = "SELECT tablename FROM pg_tables WHERE schemaname IN ('leadscore', 'dagster')"
        assert connection.execute(made).fetchall() == [("control_plane",)]


def test_run_whose_lease_was_taken_over_stops_dagster_and_goes_on_scoring(
    given: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leadscore_assets.source.control_plane.RENEWAL_SECONDS", 0.02)
    given.state_dir.mkdir()
    said = StringIO()
    run = Run(given, {"DB_HOST": given.db_host}, Console(file=said, width=200))
    with ExitStack() as stack:
        run._prepare_crm(stack)
        assert run.lease is not None
        server, daemon = (
            Child(name, [sys.executable, "-c", "import time; time.sleep(60)"], os.environ, given.state_dir / "log")
            for name in ("HTTP server", "Dagster daemon")
        )
        stack.callback(server.stop)
        run.server, run.restarted = server, [Restarted(daemon, lambda: daemon, None, run.screen.say)]
        with psycopg.connect(**given.database_arguments(), autocommit=True) as connection:
            connection.execute("UPDATE leadscore.control_plane SET holder = 'another', host = 'elsewhere'")
        while not run.lease.is_lost:
            pass
        for _ in range(2):
            run._watch()
        assert (server.is_running(), daemon.is_running()) == (True, False)
    assert said.getvalue().count("Dagster was stopped here; leads are scored as before.") == 1
    assert "on elsewhere" in said.getvalue()


def test_first_run_may_start_again_with_another_registry_once_it_has_ended(given: Settings, tmp_path: Path) -> None:
    for models in ("one", "two"):
        run = Run(replace(given, model_path=tmp_path / models), {"DB_HOST": given.db_host}, Console(quiet=True))
        with ExitStack() as stack:
            run._prepare_crm(stack)


def test_first_process_of_dagster_makes_its_tables_before_another_one_starts(given: Settings) -> None:
    """Two that make them at once fail now and then."""
    given.state_dir.mkdir()
    (given.state_dir / "logs").mkdir()
    run = Run(given, {"DB_HOST": given.db_host}, Console(quiet=True))
    with ExitStack() as stack:
        run._prepare_crm(stack)
        environment = child_environment(given, {**os.environ, "DB_HOST": given.db_host})
        with psycopg.connect(**given.database_arguments(), autocommit=True) as connection:
            assert not has_dagster_tables(connection)
            with run._interrupted_runs_ended(environment):
                assert has_dagster_tables(connection)
