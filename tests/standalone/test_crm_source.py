"""Where a run's CRM comes from is remembered: a folder is loaded once, and never over other leads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from leadscore.errors import CannotRun, InvalidCrmData
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from standalone.crm_source import create_source_table, fill_crm
from standalone.orgs import Org
from standalone.simulator import into_folder, simulate

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


def test_folder_named_by_the_settings_is_loaded_once(
    connection: psycopg.Connection, database: Settings, export: Path
) -> None:
    settings = replace(database, crm_data=export)
    assert fill_crm(connection, settings).startswith("150 leads with ")
    assert fill_crm(connection, settings) == f"leads of {export}, unchanged"
    assert fill_crm(connection, database) == f"leads of {export}, unchanged"
    assert connection.execute("SELECT count(*) FROM dossier").fetchone() == (150,)


def test_leads_of_another_source_are_not_taken_for_those_asked_for(
    connection: psycopg.Connection, database: Settings, export: Path, tmp_path: Path
) -> None:
    fill_crm(connection, replace(database, crm_data=export))
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(CannotRun, match=r"CRM_DATA is .*elsewhere, but .* already holds leads of .*export.*make clean"):
        fill_crm(connection, replace(database, crm_data=tmp_path / "elsewhere"))


def test_a_folder_that_is_not_there_is_said_so(
    connection: psycopg.Connection, database: Settings, tmp_path: Path
) -> None:
    with pytest.raises(CannotRun, match=r"CRM_DATA is .*none, which is not a folder"):
        fill_crm(connection, replace(database, crm_data=tmp_path / "none"))


def test_crm_that_was_there_before_is_left_as_it_is(
    connection: psycopg.Connection, database: Settings, export: Path
) -> None:
    connection.execute("CREATE TABLE dossier (id bigint, org_id text)")
    connection.execute("INSERT INTO dossier VALUES (1, 'a')")
    assert fill_crm(connection, database) == "leads of another CRM, unchanged"
    with pytest.raises(CannotRun, match="already holds leads of another CRM"):
        fill_crm(connection, replace(database, crm_data=export))
    assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (1,)


def test_folder_that_cannot_be_loaded_leaves_no_trace(
    connection: psycopg.Connection, database: Settings, tmp_path: Path
) -> None:
    with pytest.raises(InvalidCrmData, match="lacks"):
        fill_crm(connection, replace(database, crm_data=tmp_path))
    assert connection.execute("SELECT to_regclass('dossier')::text").fetchone() == (None,)
    assert connection.execute("SELECT count(*) FROM leadscore.crm_source").fetchone() == (0,)
