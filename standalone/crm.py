"""Creates the CRM's tables, and fills them by COPY or from a folder of gzipped CSV files.

The rows come from a simulation, or from an export of a real CRM.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from leadscore.errors import InvalidCrmData

# In this order, each table only refers to those before it.
TABLES = ("annonce", "dossier", "dossier_status_history", "message", "appointment", "lead_score")
SCHEMA_PATH = Path(__file__).with_name("crm_tables.sql")
CHUNK_BYTES = 1 << 20


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
    """Return schema and name of every table or view with one of these names, in any schema of the database."""
    query = """
        SELECT nspname::text, relname::text FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relname = ANY (%s) AND relkind IN ('r', 'p', 'v', 'm', 'f') AND relpersistence <> 't' ORDER BY 1, 2"""
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


def load_folder(connection: psycopg.Connection, folder: Path) -> dict[str, int]:
    """Load `<table>.csv.gz` for each of the CRM's tables, all or nothing; return the rows of each table.

    A file's first line names the columns that it fills. Raises InvalidCrmData when a file is missing, damaged, names
    a column that its table does not have, or holds a row that the table refuses.
    """
    paths = {table: folder / f"{table}.csv.gz" for table in TABLES}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise InvalidCrmData(
            f"{folder} lacks {', '.join(missing)}. It must hold one gzipped CSV file for each table of the CRM:"
            f" {', '.join(path.name for path in paths.values())}."
        )
    with connection.transaction():
        rows = {table: _load_file(connection, table, path) for table, path in paths.items()}
        finish_loading(connection)
    return rows


def copy_rows(connection: psycopg.Connection, table: str, columns: Iterable[str], chunks: Iterable[bytes]) -> int:
    """Append CSV text without a header to `table`; return the number of rows."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for chunk in chunks:
                copy.write(chunk)
        return cursor.rowcount


def finish_loading(connection: psycopg.Connection) -> None:
    """Move the tables' id sequences past the loaded ids, and tell the planner what the tables hold now."""
    for table in TABLES:
        connection.execute(
            sql.SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), coalesce(max(id), 0) + 1, false) FROM {}").format(
                table, sql.Identifier(table)
            )
        )
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))


def _load_file(connection: psycopg.Connection, table: str, path: Path) -> int:
    try:
        with gzip.open(path, "rb") as file:
            columns = next(csv.reader([file.readline().decode("utf-8").strip()]), [])
            _check_columns(connection, table, path, columns)
            return copy_rows(connection, table, columns, _chunks(file))
    except (gzip.BadGzipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise InvalidCrmData(f"{path} is damaged, or not gzipped UTF-8 text ({error}). Export it again.") from None
    except psycopg.Error as error:
        raise InvalidCrmData(_refusal(path, error)) from None


def _chunks(file: gzip.GzipFile) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _check_columns(connection: psycopg.Connection, table: str, path: Path, columns: list[str]) -> None:
    known = connection.execute(
        "SELECT column_name, is_nullable = 'NO' AND column_default IS NULL FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND table_name = %s ORDER BY ordinal_position",
        [table],
    ).fetchall()
    names = [name for name, _ in known]
    unknown = [column for column in columns if column not in names]
    lacking = [name for name, is_required in known if is_required and name not in columns]
    faults = [f"unknown column {column!r}" for column in unknown] + [f"no column {column!r}" for column in lacking]
    if faults:
        raise InvalidCrmData(f"{path}, line 1: {', '.join(faults)}. The columns of {table} are: {', '.join(names)}.")


def _refusal(path: Path, error: psycopg.Error) -> str:
    # The server quotes the offending row and value; a lead's data stays out of the text.
    reason = (error.diag.message_primary or "the connection was lost").split(': "')[0]
    place = re.search(r"line (\d+)(?:, column (\w+))?", error.diag.context or "")
    if not place:
        return f"{path}: {reason}. Nothing was loaded; correct the file and start again."
    line = int(place[1]) + 1  # the server does not see the header
    column = f", column {place[2]}" if place[2] else ""
    return f"{path}, line {line}{column}: {reason}. Nothing was loaded; correct the row and start again."
