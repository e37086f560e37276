"""A PostgreSQL that cannot carry us is refused in one sentence, before anything is made in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import psycopg
import pytest
import yaml
from psycopg import sql

from leadscore.errors import CannotRun
from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source import preconditions
from leadscore_assets.source.preconditions import DAGSTER_OPTIONS, check_database
from standalone.postgres import HOST, EmbeddedPostgres
from standalone.state_dir import child_environment
from tests.leadscore_assets.source.pooler import Pooler, pooler_before

SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname IN ('leadscore', 'dagster')"


@pytest.fixture
def pooler(database: Settings) -> Iterator[Pooler]:
    with pooler_before(database) as pooler:
        yield pooler


@pytest.fixture
def connection(database: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def newcomer(connection: psycopg.Connection, database: Settings) -> Iterator[Settings]:
    """Give the settings of a role without any right."""
    name = f"role-of_{database.db_name}"
    role = sql.Identifier(name)
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p'").format(role))
    yield replace(database, db_user=name, db_password="p")
    connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
    connection.execute(sql.SQL("DROP ROLE {}").format(role))


def refusal(settings: Settings) -> str:
    with pytest.raises(CannotRun) as caught:
        set_up(settings)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_dagster_connects_as_the_check_does() -> None:
    instance = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())
    assert instance["storage"]["postgres"]["postgres_db"]["params"] == {"options": DAGSTER_OPTIONS}


def test_a_pooler_that_drops_options_is_refused_before_anything_is_made(
    pooler: Pooler, connection: psycopg.Connection, database: Settings
) -> None:
    said = refusal(pooler.settings)
    for words in (
        f"Dagster's tables would not be made in the schema dagster of {database.db_name}",
        "pooler",
        "DB_HOST and DB_PORT",
        f'ALTER ROLE {database.db_user} IN DATABASE {database.db_name} SET search_path = dagster, "$user", public',
    ):
        assert words in said
    assert connection.execute(SCHEMAS).fetchall() == []


def test_behind_such_a_pooler_the_roles_own_search_path_helps(
    pooler: Pooler, newcomer: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(**pooler.settings.database_arguments(), autocommit=True) as connection:
        role, name = sql.Identifier(newcomer.db_user), sql.Identifier(newcomer.db_name)
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(name, role))
        path = sql.SQL('ALTER ROLE {} IN DATABASE {} SET search_path = dagster, "$user", public')
        connection.execute(path.format(role, name))
    behind = replace(newcomer, db_port=pooler.settings.db_port)
    set_up(behind)
    behind.state_dir.mkdir()
    environment = child_environment(behind, {"DB_HOST": behind.db_host})
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(environment["DAGSTER_HOME"]) as instance:
        assert instance.get_runs(limit=1) == []
    with psycopg.connect(**newcomer.database_arguments()) as connection:
        tables = "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname !~ '^(pg_|info|leadscore)'"
        assert connection.execute(tables).fetchall() == [("dagster",)]


def test_a_role_that_may_not_make_schemas_is_told_the_grant(newcomer: Settings, connection: psycopg.Connection) -> None:
    said = refusal(newcomer)
    assert f'`GRANT CREATE ON DATABASE {newcomer.db_name} TO "{newcomer.db_user}"`' in said
    assert connection.execute(SCHEMAS).fetchall() == []


def test_a_role_that_owns_the_schemas_needs_no_right_on_the_database(
    newcomer: Settings, connection: psycopg.Connection
) -> None:
    for schema in ("leadscore", "dagster"):
        command = sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}")
        connection.execute(command.format(sql.Identifier(schema), sql.Identifier(newcomer.db_user)))
    set_up(newcomer)


def test_a_role_that_does_not_own_what_is_there_is_told_the_command(newcomer: Settings, database: Settings) -> None:
    set_up(database)
    said = refusal(newcomer)
    for schema in ("leadscore", "dagster"):
        assert f'`ALTER SCHEMA {schema} OWNER TO "{newcomer.db_user}"`' in said


def test_tables_of_another_owner_are_said_so(
    newcomer: Settings, database: Settings, connection: psycopg.Connection
) -> None:
    set_up(database)
    for schema in ("leadscore", "dagster"):
        command = sql.SQL("ALTER SCHEMA {} OWNER TO {}")
        connection.execute(command.format(sql.Identifier(schema), sql.Identifier(newcomer.db_user)))
    said = refusal(newcomer)
    assert f'`ALTER TABLE leadscore.conversion_records OWNER TO "{newcomer.db_user}"`' in said
    assert re.search(r" and \d+ more\.$", said)


def test_a_release_that_is_too_old_is_refused(database: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions, "LOWEST_RELEASE", 99)
    assert "needs PostgreSQL 99 or newer" in refusal(database)


@pytest.fixture
def standby(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Settings]:
    """Give the settings of a server that stays in recovery: a copy of a cluster, with the signal of a standby."""
    server = EmbeddedPostgres(tmp_path / "cluster", free_port(), "p", is_durable=False)
    with server:
        server.create_database("crm")
    (server.data_dir / "standby.signal").touch()
    with server:
        yield Settings(db_host=HOST, db_port=server.port, db_name="crm", db_password="p")


def test_a_read_replica_is_refused_with_the_way_out(standby: Settings) -> None:
    for check in (set_up, check_database):
        with pytest.raises(CannotRun, match=r"is a read replica.*Point DB_HOST and DB_PORT to the primary"):
            check(standby)


def test_a_server_without_dagsters_startup_options_says_what_it_said(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler may refuse the parameter instead of dropping it."""
    monkeypatch.setattr(preconditions, "DAGSTER_OPTIONS", "-c no_such_parameter=1")
    said = refusal(database)
    assert 'unrecognized configuration parameter "no_such_parameter"' in said
    assert "pooler" in said
