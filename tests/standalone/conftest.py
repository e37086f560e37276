"""The demo's CRM, and leads that are open."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from leadscore.settings import Settings
from standalone.crm import create_tables
from standalone.orgs import DEMO_ORGS
from standalone.postgres import EmbeddedPostgres
from standalone.simulator import into_database, simulate
from tests.standalone.crm_exports import write_export

NOW = datetime(2026, 3, 15, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def demo(postgres_server: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    """Give a connection to a database that holds the demo's CRM."""
    postgres_server.create_database("demo")
    with postgres_server.connect("demo") as connection:
        into_database(connection, simulate(DEMO_ORGS, seed=1, now=NOW))
        connection.execute("SET default_transaction_read_only = on")
        yield connection
    with postgres_server.connect() as connection:
        connection.execute("DROP DATABASE demo WITH (FORCE)")


@pytest.fixture
def connection(database: Settings) -> Iterator[psycopg.Connection]:
    """Give a connection to a database with the CRM's empty tables."""
    with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        create_tables(connection)
        yield connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with a small export of the CRM's tables."""
    write_export(tmp_path / "export")
    return tmp_path / "export"
