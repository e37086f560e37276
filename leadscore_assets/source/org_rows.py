"""Moves or removes an org's rows in all of our tables at once, whichever tables the schema `leadscore` has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql

from leadscore_assets.dataset import ORG_COLUMN
from leadscore_assets.source.database import TABLES_LOCK, Connection, explaining
from leadscore_assets.source.org_locks import lock_erasures, lock_scores

REMEDY = "Let DB_USER's role own the schema leadscore and everything in it, then try again."
KEY = "org_id"

COLUMNS = """
SELECT columns.table_name, columns.column_name
FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema = 'leadscore' AND table_type = 'BASE TABLE' AND columns.column_name = ANY(%s)
    -- the parts of a table are reached through the table
    AND NOT (SELECT relispartition FROM pg_class WHERE oid = format('%%I.%%I', table_schema, table_name)::regclass)
ORDER BY columns.table_name, columns.column_name
"""
MOVE = "UPDATE leadscore.{table} SET {column} = %(new_id)s WHERE {column} = %(org_id)s"
REMOVE = "DELETE FROM leadscore.{table} WHERE {column} = %(org_id)s"
HAS_ROWS = "SELECT EXISTS (SELECT FROM leadscore.{table} WHERE {column} = %(org_id)s)"

Counts = dict[str, int]


def move_rows(connection: Connection, org_id: str, new_id: str) -> Counts:
    """Give the org's rows its new id, in one transaction; return how many of each table were moved.

    They take the place of rows that the new id has in the same table; the pooled model's rows of the org are renamed,
    too. Raises DatabaseUnavailable or SourceMismatch.
    """
    counts = Counts()
    with explaining(f"moving the rows of org {org_id}", REMEDY), connection.transaction():
        _lock(connection, org_id, new_id)
        for column in _columns(connection, KEY, ORG_COLUMN):
            if column.has_rows(connection, org_id):
                if column.name == KEY:
                    column.remove(connection, new_id)
                counts[column.table] = counts.get(column.table, 0) + column.move(connection, org_id, new_id)
    return counts


def remove_rows(connection: Connection, org_id: str) -> Counts:
    """Remove the org's rows in one transaction; return how many of each table, without tables that had none.

    Raises DatabaseUnavailable or SourceMismatch.
    """
    with explaining(f"removing the rows of org {org_id}", REMEDY), connection.transaction():
        _lock(connection, org_id)
        removed = {column.table: column.remove(connection, org_id) for column in _columns(connection, KEY)}
    return {table: count for table, count in removed.items() if count}


def has_rows(connection: Connection, org_id: str) -> bool:
    """Return whether any of our tables names the org. Raises DatabaseUnavailable or SourceMismatch."""
    with explaining(f"looking for the rows of org {org_id}", REMEDY), connection.transaction():
        return any(column.has_rows(connection, org_id) for column in _columns(connection, KEY, ORG_COLUMN))


def counts_in_words(counts: Counts) -> str:
    """Return how many rows of each table, as a text."""
    rows = (f"{count:,} {'row' if count == 1 else 'rows'} of {table}" for table, count in sorted(counts.items()))
    return ", ".join(rows) or "no rows"


@dataclass(frozen=True)
class _Column:
    """A column of one of our tables that holds org ids."""

    table: str
    name: str

    def has_rows(self, connection: Connection, org_id: str) -> bool:
        return connection.execute(self._query(HAS_ROWS), {"org_id": org_id}).fetchone() == (True,)

    def move(self, connection: Connection, org_id: str, new_id: str) -> int:
        return connection.execute(self._query(MOVE), {"org_id": org_id, "new_id": new_id}).rowcount

    def remove(self, connection: Connection, org_id: str) -> int:
        return connection.execute(self._query(REMOVE), {"org_id": org_id}).rowcount

    def _query(self, text: LiteralString) -> sql.Composed:
        return sql.SQL(text).format(table=sql.Identifier(self.table), column=sql.Identifier(self.name))


def _columns(connection: Connection, *names: str) -> list[_Column]:
    found: list[Any] = connection.execute(COLUMNS, [list(names)]).fetchall()
    return [_Column(table, name) for table, name in found]


def _lock(connection: Connection, *org_ids: str) -> None:
    """Wait for an erasure, for a scoring of these orgs, and for a run that stores their rows: see `tables.store`."""
    lock_erasures(connection)
    lock_scores(connection, org_ids)
    for org_id in sorted(org_ids):
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [org_id, TABLES_LOCK])
