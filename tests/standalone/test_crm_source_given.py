"""A CRM of the operator's own is only read: a start makes and fills nothing in it, and a simulation stays out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql
from rich.console import Console

from leadscore.errors import CannotRun, InvalidInput, SourceMismatch
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from standalone import crm
from standalone.crm_source import given_crm, simulate_into
from standalone.orgs import Org
from standalone.simulator import into_database, simulate
from standalone.supervisor import Run

NOW = datetime(2026, 3, 15, tzinfo=UTC)
LEAD = "INSERT INTO dossier (org_id, status, created_at, updated_at) VALUES ('a', 'NEW', now(), now())"
TABLES_OF_A_CRM = """
SELECT schemaname || '.' || tablename FROM pg_tables
WHERE tablename = ANY(%s) AND schemaname <> 'leadscore' ORDER BY 1
"""


@pytest.fixture
def connection(database: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def stranger(connection: psycopg.Connection, database: Settings) -> Iterator[Settings]:
    """Give the settings of a role whose search_path does not lead to the CRM, which is in a schema of its own."""
    name = f"role_of_{database.db_name}"
    role = sql.Identifier(name)
    connection.execute("CREATE SCHEMA crm")
    connection.execute("SET search_path = crm")
    crm.create_tables(connection)
    connection.execute(LEAD)
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p'").format(role))
    yield replace(database, db_user=name, db_password="p")
    connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
    connection.execute(sql.SQL("DROP ROLE {}").format(role))


def crm_tables(connection: psycopg.Connection) -> list[str]:
    return [row[0] for row in connection.execute(TABLES_OF_A_CRM, [list(crm.TABLES)]).fetchall()]


def rows(connection: psycopg.Connection, table: LiteralString) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    return int(count)


def made_by_simulation(connection: psycopg.Connection) -> dict[str, int]:
    return simulate_into(connection, simulate([Org("a", leads=40)], seed=1, now=NOW))


# a start


def test_database_without_the_crms_tables_is_refused_and_nothing_is_made_in_it(
    connection: psycopg.Connection, database: Settings
) -> None:
    with pytest.raises(CannotRun) as caught:
        given_crm(database)
    for words in (
        f"every table of the CRM in the database {database.db_name} at {database.db_host}:{database.db_port}",
        f"The role {database.db_user} ",
        'Its search_path is "$user", public',
        *crm.TABLES,
        "DB_HOST",
        f"ALTER ROLE {database.db_user} SET search_path = ",
        "simulate --into-database",
    ):
        assert words in caught.value.message
    assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname !~ '^pg_|^info'").fetchone() == (0,)


def test_refused_start_says_in_which_schema_the_crms_tables_are(stranger: Settings) -> None:
    with pytest.raises(
        CannotRun, match=rf"They are in the schema crm: .*ALTER ROLE {stranger.db_user} SET search_path = crm"
    ):
        given_crm(stranger)


def test_crm_is_found_once_the_roles_search_path_leads_to_it(
    connection: psycopg.Connection, stranger: Settings
) -> None:
    role = sql.Identifier(stranger.db_user)
    connection.execute(sql.SQL("ALTER ROLE {} SET search_path = crm").format(role))
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA crm TO {}").format(role))
    with pytest.raises(CannotRun, match=rf"`GRANT SELECT ON crm.annonce, crm.dossier, .* TO {stranger.db_user}`\."):
        given_crm(stranger)
    connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA crm TO {}").format(role))
    assert given_crm(stranger) == "leads of the CRM, unchanged"


def test_tables_without_a_lead_stay_empty_and_the_start_says_where_it_looked(
    connection: psycopg.Connection, database: Settings
) -> None:
    crm.create_tables(connection)
    said = given_crm(database)
    assert said.startswith(
        f"the role {database.db_user} finds no lead in public.dossier of the database {database.db_name} at"
        f' {database.db_host}:{database.db_port}. Its search_path is "$user", public. '
    )
    assert f"ALTER ROLE {database.db_user} SET search_path = " in said
    assert [rows(connection, table) for table in crm.TABLES] == [0] * 6


def test_folder_is_never_loaded_into_a_given_database(
    connection: psycopg.Connection, database: Settings, tmp_path: Path
) -> None:
    with pytest.raises(
        CannotRun, match=r"CRM_DATA is .*only into .*embedded PostgreSQL.*Unset DB_HOST.*unset CRM_DATA"
    ):
        given_crm(replace(database, crm_data=tmp_path))
    assert crm_tables(connection) == []


def test_with_sql_of_ones_own_only_the_tables_that_our_other_queries_read_are_needed(
    connection: psycopg.Connection, database: Settings, tmp_path: Path
) -> None:
    settings = replace(database, records_sql=tmp_path / "records.sql")
    connection.execute("CREATE VIEW dossier AS SELECT 1 AS id, 'a' AS org_id")
    with pytest.raises(CannotRun, match=r"; missing: dossier_status_history\."):
        given_crm(settings)
    connection.execute("CREATE VIEW dossier_status_history AS SELECT 1 AS id")
    assert given_crm(settings) == "leads of the CRM, unchanged"


@pytest.mark.parametrize("with_tables", [False, True], ids=["no tables", "empty tables"])
def test_run_with_a_given_database_leaves_the_crm_as_it_found_it(
    connection: psycopg.Connection, database: Settings, *, with_tables: bool
) -> None:
    if with_tables:
        crm.create_tables(connection)
    before = crm_tables(connection)
    run = Run(database, {"DB_HOST": database.db_host}, Console(quiet=True))
    with ExitStack() as stack:
        if with_tables:
            assert "finds no lead" in run._prepare_crm(stack)
        else:
            with pytest.raises(CannotRun, match="Nothing was created"):
                run._prepare_crm(stack)
    assert crm_tables(connection) == before
    assert [rows(connection, table) for table in crm.TABLES if before] == [0] * len(before)
    schemas = connection.execute(
        "SELECT count(*) FROM pg_namespace WHERE nspname IN ('leadscore', 'dagster')"
    ).fetchone()
    assert schemas == ((2,) if with_tables else (0,))


# a simulation that was asked for


@pytest.mark.parametrize("is_set_up", [False, True])
def test_simulation_fills_an_empty_database_and_a_start_says_whose_leads_they_are(
    connection: psycopg.Connection, database: Settings, *, is_set_up: bool
) -> None:
    if is_set_up:
        set_up(database)
    assert made_by_simulation(connection)["dossier"] == 40
    assert given_crm(database) == "leads of the simulation, unchanged"


def test_simulation_fills_its_own_tables_again_once_they_are_empty(connection: psycopg.Connection) -> None:
    loaded = made_by_simulation(connection)
    with pytest.raises(InvalidInput, match=r"annonce, dossier, .*lead_score hold rows already"):
        made_by_simulation(connection)
    connection.execute("TRUNCATE annonce, dossier, dossier_status_history, lead_score CASCADE")
    assert made_by_simulation(connection) == loaded


def empty_tables(connection: psycopg.Connection) -> None:
    crm.create_tables(connection)


def one_table_of_a_usual_name(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE message (text text)")


def tables_in_another_schema(connection: psycopg.Connection) -> None:
    connection.execute("CREATE SCHEMA crm")
    connection.execute("CREATE TABLE crm.dossier (id bigint)")


def view(connection: psycopg.Connection) -> None:
    connection.execute("CREATE VIEW dossier AS SELECT 1 AS id")


def table_beside_simulated_ones(connection: psycopg.Connection) -> None:
    made_by_simulation(connection)
    tables_in_another_schema(connection)


@pytest.mark.parametrize(
    "prepare", [empty_tables, one_table_of_a_usual_name, tables_in_another_schema, view, table_beside_simulated_ones]
)
def test_simulation_stays_out_of_a_database_that_has_a_crm(
    connection: psycopg.Connection, prepare: Callable[[psycopg.Connection], None]
) -> None:
    prepare(connection)
    before = crm_tables(connection)
    with pytest.raises(InvalidInput, match=r"which no simulation made.*DB_NAME"):
        made_by_simulation(connection)
    assert crm_tables(connection) == before


def test_rows_of_any_table_keep_a_simulation_out(connection: psycopg.Connection) -> None:
    crm.create_tables(connection)
    connection.execute("INSERT INTO annonce (org_id, title, status) VALUES ('a', 'Flat', 'DRAFT')")
    with pytest.raises(InvalidInput, match=r"^The tables annonce hold rows already"):
        into_database(connection, simulate([Org("a", leads=40)], seed=1, now=NOW))
    assert rows(connection, "dossier") == 0


def test_role_that_may_not_make_tables_is_told_so(connection: psycopg.Connection, stranger: Settings) -> None:
    connection.execute("DROP SCHEMA crm CASCADE")
    with (
        psycopg.connect(**stranger.database_arguments()) as of_role,
        pytest.raises(SourceMismatch, match="refused the query while simulating a CRM: permission denied"),
    ):
        made_by_simulation(of_role)
