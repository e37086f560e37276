"""Creates the tables of trainings."""

from __future__ import annotations

from pathlib import Path

from leadscore_assets.source.database import Connection, declare_tables

TABLES_SQL = Path(__file__).with_name("tables.sql")


def create_tables(connection: Connection) -> None:
    """Create what `tables.sql` declares where it is absent."""
    declare_tables(connection, TABLES_SQL)
