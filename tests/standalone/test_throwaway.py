"""A server for one measurement or test, which leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from leadscore.settings import Settings
from standalone.throwaway import throwaway_server


def test_fixture_gives_an_empty_database_in_utc(database: Settings) -> None:
    with psycopg.connect(**database.database_arguments()) as connection:
        row = connection.execute(
            "SELECT current_setting('timezone'), current_setting('server_encoding'),"
            " (SELECT count(*) FROM pg_tables WHERE schemaname = 'public')"
        ).fetchone()
    assert row == ("UTC", "UTF8", 0)


def test_server_leaves_no_folder_and_no_listener() -> None:
    with throwaway_server() as server, server.connect() as connection:
        row = connection.execute("SELECT current_setting('data_directory')").fetchone()
    assert row is not None
    assert not Path(row[0]).exists()
    with pytest.raises(psycopg.OperationalError):
        server.connect()
