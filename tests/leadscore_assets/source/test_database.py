"""Connections: what they are set to, and what their failures say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import psycopg
import pytest

from leadscore.errors import DatabaseUnavailable, SourceMismatch
from leadscore.settings import Settings
from leadscore_assets.source.database import connect, explaining


def test_a_session_has_a_name(database: Settings) -> None:
    with connect(database) as connection:
        assert connection.execute("SHOW application_name").fetchone() == ("leadscore",)


def test_a_read_only_connections_transactions_cannot_write(database: Settings) -> None:
    with (
        connect(database, read_only=True) as connection,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        connection.transaction(),
    ):
        connection.execute("CREATE TABLE t ()")


def test_a_transaction_sees_what_others_wrote_meanwhile_whatever_the_role_prefers(database: Settings) -> None:
    with connect(database) as connection:
        connection.execute("SET default_transaction_isolation = 'repeatable read'")
        with connection.transaction():
            assert connection.execute("SHOW transaction_isolation").fetchone() == ("read committed",)


def test_a_server_that_is_away_is_named(free_port: Callable[[], int]) -> None:
    settings = Settings(db_host="127.0.0.1", db_port=free_port(), db_password="open-sesame")
    with pytest.raises(DatabaseUnavailable) as refusal:
        connect(settings)
    assert f"PostgreSQL at 127.0.0.1:{settings.db_port} cannot be used by user postgres" in refusal.value.message
    assert "open-sesame" not in refusal.value.message


def test_a_refused_password_is_never_shown(database: Settings) -> None:
    with pytest.raises(DatabaseUnavailable, match="password authentication failed") as refusal:
        connect(dataclasses.replace(database, db_password="open-sesame"))
    assert "open-sesame" not in refusal.value.message
    assert refusal.value.__suppress_context__


def test_a_statement_that_takes_too_long_is_the_databases_failure_not_the_tables(database: Settings) -> None:
    with connect(database) as connection:
        connection.execute("SET statement_timeout = 20")
        with (
            pytest.raises(DatabaseUnavailable, match="while sleeping: canceling statement due to statement timeout"),
            explaining("sleeping", ""),
        ):
            connection.execute("SELECT pg_sleep(30)")


def test_a_failed_query_is_a_mismatch_with_its_remedy(database: Settings) -> None:
    with (
        connect(database) as connection,
        pytest.raises(SourceMismatch, match=r'while asking: relation "x" does not exist\. Make x\.'),
        explaining("asking", "Make x."),
    ):
        connection.execute("SELECT * FROM x")
