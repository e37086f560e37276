"""Creates the tables of trainings."""

from __future__ import annotations

from pathlib import Path

from leadscore_assets.source.database import TABLES_LOCK, Connection, create_schema

TABLES_SQL = Path(__file__).with_name("tables.sql")


def create_tables(connection: Connection) -> None:
    """Create what `tables.sql` declares where it is absent."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])
        create_schema(connection, "leadscore")
        connection.execute("SET LOCAL client_min_messages = warning")
        connection.execute(TABLES_SQL.read_bytes())
