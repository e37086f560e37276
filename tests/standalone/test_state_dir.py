"""The folder of a run is one run's, taken ports are named by their settings, and the CRM's source is remembered."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from leadscore.errors import CannotRun, InvalidCrmData, SourceMismatch
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.open_leads import open_leads
from standalone.crm_source import create_source_table, fill_crm
from standalone.orgs import Org
from standalone.postgres import HOST
from standalone.simulator import into_folder, simulate
from standalone.state_dir import (
    RUN_MARK,
    check_ports,
    child_environment,
    end_orphans,
    has_own_database,
    kept_password,
    locked,
    with_own_folders,
)

NOW = datetime(2026, 3, 15, tzinfo=UTC)


@pytest.fixture
def connection(database: Settings) -> Iterator[psycopg.Connection]:
    set_up(database)
    with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        create_source_table(connection)
        yield connection


@pytest.fixture
def export(tmp_path: Path) -> Path:
    into_folder(tmp_path / "export", simulate([Org("a", leads=150)], seed=5, now=NOW))
    return tmp_path / "export"


def test_second_run_on_a_folder_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    with locked(tmp_path / "state"), pytest.raises(CannotRun, match=r"Another run uses .*STATE_DIR"):
        locked(tmp_path / "state").__enter__()
    with locked(tmp_path / "state"):
        assert (tmp_path / "state" / "logs").is_dir()


def test_what_a_killed_run_left_behind_is_ended_and_nothing_else(tmp_path: Path) -> None:
    """A process that the folder's run started goes; one that only knows the folder stays."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    left = subprocess.Popen(command, env={**os.environ, RUN_MARK: str(tmp_path)})
    other = subprocess.Popen(command, env={**os.environ, "STATE_DIR": str(tmp_path), RUN_MARK: str(tmp_path / "x")})
    try:
        assert end_orphans(tmp_path) == 1
        assert left.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        assert end_orphans(tmp_path) == 0
    finally:
        other.kill()
        other.wait()


def test_two_settings_with_one_port_are_named() -> None:
    with pytest.raises(CannotRun, match=r"^PORT and DAGSTER_PORT are the same port"):
        check_ports({"PORT": ("127.0.0.1", 5600), "DAGSTER_PORT": ("127.0.0.1", 5600)})


def test_every_taken_port_is_named_by_its_setting(free_port: Callable[[], int]) -> None:
    with socket.create_server((HOST, 0)) as one, socket.create_server((HOST, 0)) as two:
        ports = {"PORT": one.getsockname()[1], "DAGSTER_PORT": free_port(), "CODE_SERVER_PORT": two.getsockname()[1]}
        with pytest.raises(CannotRun, match=rf"^PORT is {ports['PORT']}, CODE_SERVER_PORT is \d+: another program"):
            check_ports({name: (HOST, port) for name, port in ports.items()})
        check_ports({"DAGSTER_PORT": (HOST, ports["DAGSTER_PORT"])})


def test_password_is_kept_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    password = kept_password(tmp_path)
    assert len(password) == 32
    assert kept_password(tmp_path) == password
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_children_find_the_database_the_registry_and_one_another(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, db_password="p", dagster_port=3456, code_server_port=4567)
    environment = child_environment(settings, {"AS_OF": "2026-01-01", "DB_PASSWORD": "other"})
    assert environment["AS_OF"] == "2026-01-01"
    assert environment["DB_PASSWORD"] == "p"
    assert environment["DAGSTER_URL"] == "http://127.0.0.1:3456"
    assert environment["DAGSTER_CODE_SERVER_PORT"] == "4567"
    assert (Path(environment["DAGSTER_HOME"]) / "dagster.yaml").is_file()


@pytest.mark.parametrize(
    ("environment", "has_own", "models"),
    [
        ({}, True, "state/models"),
        ({"DB_HOST": "", "MODEL_PATH": " "}, True, "state/models"),
        ({"MODEL_PATH": "given"}, True, "given"),
        ({"DB_HOST": "db"}, False, "given"),
        ({"DB_HOST": "db", "MODEL_PATH": "given"}, False, "given"),
    ],
    ids=["nothing", "nothing but empty", "models", "database", "both"],
)
def test_run_with_its_own_database_keeps_its_models_beside_it(
    environment: dict[str, str], has_own: bool, models: str, tmp_path: Path
) -> None:
    settings = Settings(state_dir=tmp_path / "state", model_path=tmp_path / "given")
    assert has_own_database(environment) == has_own
    assert with_own_folders(settings, environment).model_path == tmp_path / models


def test_folders_of_a_run_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = with_own_folders(Settings(state_dir=Path("s"), model_path=Path("m")), {"DB_HOST": "db"})
    assert (settings.state_dir, settings.model_path) == (tmp_path / "s", tmp_path / "m")


def test_folder_named_by_the_settings_is_loaded_once(
    connection: psycopg.Connection, database: Settings, export: Path
) -> None:
    settings = replace(database, crm_data=export)
    assert fill_crm(connection, settings).startswith("150 leads with ")
    assert fill_crm(connection, settings) == f"leads of {export}, as they were"
    assert fill_crm(connection, database) == f"leads of {export}, as they were"
    assert connection.execute("SELECT count(*) FROM dossier").fetchone() == (150,)


def test_leads_of_another_source_are_not_taken_for_those_asked_for(
    connection: psycopg.Connection, database: Settings, export: Path, tmp_path: Path
) -> None:
    fill_crm(connection, replace(database, crm_data=export))
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(CannotRun, match=r"CRM_DATA is .*elsewhere, but .* holds leads of .*export already.*make clean"):
        fill_crm(connection, replace(database, crm_data=tmp_path / "elsewhere"))


def test_a_folder_that_is_not_there_is_said_so(
    connection: psycopg.Connection, database: Settings, tmp_path: Path
) -> None:
    with pytest.raises(CannotRun, match=r"CRM_DATA is .*none, which is no folder"):
        fill_crm(connection, replace(database, crm_data=tmp_path / "none"))


def test_crm_that_was_there_before_is_left_as_it_is(
    connection: psycopg.Connection, database: Settings, export: Path
) -> None:
    connection.execute("CREATE TABLE dossier (id bigint, org_id text)")
    connection.execute("INSERT INTO dossier VALUES (1, 'a')")
    assert fill_crm(connection, database) == "leads of a CRM of its own, as they were"
    with pytest.raises(CannotRun, match="holds leads of a CRM of its own already"):
        fill_crm(connection, replace(database, crm_data=export))
    assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (1,)


def test_folder_that_cannot_be_loaded_leaves_no_trace(
    connection: psycopg.Connection, database: Settings, tmp_path: Path
) -> None:
    with pytest.raises(InvalidCrmData, match="lacks"):
        fill_crm(connection, replace(database, crm_data=tmp_path))
    assert connection.execute("SELECT to_regclass('dossier')::text").fetchone() == (None,)
    assert connection.execute("SELECT count(*) FROM leadscore.crm_source").fetchone() == (0,)


def test_open_leads_are_those_no_move_has_closed_with_the_contracts_features(
    connection: psycopg.Connection, database: Settings, export: Path
) -> None:
    settings = replace(database, crm_data=export, as_of=NOW)
    set_up(settings)
    fill_crm(connection, settings)
    rows = connection.execute(
        "SELECT id::text FROM dossier WHERE status NOT IN ('WON', 'LOST')"
        " AND created_at BETWEEN '2025-09-13' AND '2026-03-14'"
    ).fetchall()
    leads = open_leads(settings, "a", 1_000)
    assert set(leads) == {row[0] for row in rows}
    assert len(leads) > 5
    assert all(len(features) == 11 for features in leads.values())
    assert all(features["days_since_creation"] in settings.landmark_days for features in leads.values())
    assert list(open_leads(settings, "a", 3)) == list(leads)[-3:]


def test_query_for_open_leads_that_fails_is_explained(
    connection: psycopg.Connection, database: Settings, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(database, crm_data=export, as_of=NOW)
    set_up(settings)
    fill_crm(connection, settings)
    monkeypatch.setattr("leadscore_assets.source.open_leads.OPEN_LEADS", "SELECT no_such_column FROM dossier")
    with pytest.raises(SourceMismatch, match=r"while listing the open leads: .*no_such_column"):
        open_leads(settings, "a", 10)
