"""The CRM's tables: creates them, describes them, and appends rows to them.

The rows come from a simulation, or from an export of a real CRM.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

# In this order, each table only refers to those before it.
TABLES = ("annonce", "dossier", "dossier_status_history", "message", "appointment", "lead_score")
SCHEMA_PATH = Path(__file__).with_name("crm_tables.sql")
# A table's column that holds an id of another table. Two of them have no foreign key in the tables.
PARENTS: Mapping[str, tuple[str, str]] = {
    "dossier": ("annonce_id", "annonce"),
    "dossier_status_history": ("dossier_id", "dossier"),
    "message": ("dossier_id", "dossier"),
    "appointment": ("dossier_id", "dossier"),
    "lead_score": ("dossier_id", "dossier"),
}
# COPY writes an empty text as "" and NULL as nothing, which the csv module does not tell apart. Of the columns that
# must not be NULL, only this one may be an empty text.
MAY_BE_EMPTY = (("annonce", "title"),)


@dataclass(frozen=True)
class Column:
    """A column of one of the CRM's tables; `type` is PostgreSQL's name for it, such as `numeric(15,2)`."""

    name: str
    type: str
    is_required: bool
    has_default: bool

    @property
    def is_time(self) -> bool:
        """Whether the column holds times."""
        return self.type.startswith("timestamp")


def create_tables(connection: psycopg.Connection) -> None:
    """Create those of the CRM's tables and indexes that do not exist."""
    with connection.transaction():
        connection.execute(SCHEMA_PATH.read_bytes())


def missing_tables(connection: psycopg.Connection, names: Sequence[str]) -> list[str]:
    """Return the tables (or views) that are not on this session's search_path."""
    query = (
        "SELECT name FROM unnest(%s::text[]) WITH ORDINALITY AS t (name, n) WHERE to_regclass(name) IS NULL ORDER BY n"
    )
    return [str(name) for (name,) in connection.execute(query, [list(names)])]


def unreadable_tables(connection: psycopg.Connection, names: Sequence[str]) -> list[str]:
    """Return those of the tables, with their schemas, of which the role may not read any column. They must exist."""
    query = """
        SELECT quote_ident(nspname) || '.' || quote_ident(relname)
        FROM unnest(%s::text[]) WITH ORDINALITY AS t (name, n)
        JOIN pg_class ON pg_class.oid = to_regclass(name) JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE NOT has_any_column_privilege(pg_class.oid, 'SELECT') ORDER BY n"""
    return [str(name) for (name,) in connection.execute(query, [list(names)])]


def tables_anywhere(connection: psycopg.Connection, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return schema and name of every table or view with one of these names, in any schema but our own."""
    query = """
        SELECT nspname::text, relname::text FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relname = ANY (%s) AND nspname <> 'leadscore' AND relkind IN ('r', 'p', 'v', 'm', 'f')
            AND relpersistence <> 't' ORDER BY 1, 2"""
    return [(str(schema), str(table)) for schema, table in connection.execute(query, [list(names)])]


def tables_with_rows(connection: psycopg.Connection) -> list[str]:
    """Return the CRM's tables that hold rows. The tables must exist."""
    query = sql.SQL("SELECT EXISTS (SELECT FROM {})")
    holding = (connection.execute(query.format(sql.Identifier(table))).fetchone() for table in TABLES)
    return [table for table, row in zip(TABLES, holding, strict=True) if row == (True,)]


def holds_leads(connection: psycopg.Connection) -> bool:
    """Return whether the database has any lead. The tables must exist."""
    row = connection.execute("SELECT EXISTS (SELECT FROM dossier)").fetchone()
    return bool(row and row[0])


def columns_of(connection: psycopg.Connection, table: str) -> list[Column]:
    """Return the columns of one of the CRM's tables, in its order. The table must exist."""
    query = (
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull, atthasdef FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )
    return [Column(*row) for row in connection.execute(query, [table])]


def copy_rows(connection: psycopg.Connection, table: str, columns: Collection[str], chunks: Iterable[bytes]) -> int:
    """Append CSV text without a header to `table`; return the number of rows.

    An empty field is NULL, except in the columns of MAY_BE_EMPTY.
    """
    names = [sql.Identifier(column) for column in columns]
    empty = [sql.Identifier(column) for column in columns if (table, column) in MAY_BE_EMPTY]
    options = sql.SQL(", FORCE_NOT_NULL ({})").format(sql.SQL(", ").join(empty)) if empty else sql.SQL("")
    statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv{})").format(
        sql.Identifier(table), sql.SQL(", ").join(names), options
    )
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for chunk in chunks:
                copy.write(chunk)
        return cursor.rowcount


def csv_text(rows: Iterable[Sequence[object]]) -> bytes:
    """Return the rows as CSV text for `copy_rows`; None is an empty field."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def finish_loading(connection: psycopg.Connection) -> None:
    """Move the tables' id sequences past the loaded ids, and tell the planner what the tables hold now."""
    for table in TABLES:
        connection.execute(
            sql.SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), coalesce(max(id), 0) + 1, false) FROM {}").format(
                table, sql.Identifier(table)
            )
        )
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))
