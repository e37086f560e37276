"""Finds every fault of a folder with the CRM's tables, by file, line and column.

PostgreSQL judges values in its own way: the rows wait as text in temporary tables, and a rule of a column is one query
over all of them. A fault does not repeat a value, except a short one of a time, and an id that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import LiteralString
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql

from standalone import crm
from standalone.crm_files import Row, read_rows
from standalone.crm_times import stored_time, why_refused

SHOWN_FAULTS = 20
SHOWN_NAME_CHARS = 40
CHUNK_ROWS = 5_000
EXPECTED = {
    "bigint": "a whole number",
    "integer": "a whole number",
    "numeric": "a number such as 1234.5",
    "double precision": "a number such as 1234.5",
    "jsonb": "JSON",
}
WHAT_A_ROW_IS = {"annonce": "listing", "dossier": "lead"}
_FAULTS = "crm_faults"
_UNFIT = re.compile("[\0\ud800-\udfff]")  # what PostgreSQL does not store, and what stands for bytes that are not UTF-8


@dataclass(frozen=True)
class _File:
    """A table's file, whose rows wait in the temporary table `rows`.

    `places` are those of its known `columns` in the `header`. `is_read` when all rows wait.
    """

    table: str
    name: str
    header: Sequence[str]
    columns: Sequence[crm.Column]
    places: Sequence[int]
    is_read: bool

    @property
    def rows(self) -> str:
        return f"crm_rows_of_{self.table}"

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]


def header_fault(header: Sequence[str], table: str, known: Sequence[crm.Column]) -> str | None:
    """Return what is wrong with the columns that a file's first line names, or None."""
    names = [column.name for column in known]
    lacking = [column.name for column in known if column.is_required and not column.has_default]
    if set(header) & set(names):
        faults = [f"unknown column {name[:SHOWN_NAME_CHARS]!r}" for name in dict.fromkeys(header) if name not in names]
        faults += [f"no column {name!r}" for name in lacking if name not in header]
        faults += [f"column {name!r} more than once" for name in names if header.count(name) > 1]
    else:
        faults = ["no known column"]  # the line is not repeated: it may be a lead's row
    return f"{', '.join(faults)}; the first line must name columns of {table}: {', '.join(names)}" if faults else None


def describe_faults(
    connection: psycopg.Connection, folder: Path, paths: Mapping[str, Path], zone: ZoneInfo
) -> str | None:
    """Return in words how many faults the files of the tables have, and up to twenty of them; None when it finds none.

    A time's offset counts from UTC, and its local time in `zone` must exist. The database stays as it is.
    """
    with connection.transaction(force_rollback=True):
        connection.execute("CREATE TEMPORARY TABLE crm_faults (file text, line bigint, name text, fault text)")
        files = {table: _read(connection, table, path, zone) for table, path in paths.items()}
        for file in files.values():
            _judge_values(connection, file)
            _judge_ids(connection, file, files)
        return _summary(connection, folder, [file.name for file in files.values()])


def _read(connection: psycopg.Connection, table: str, path: Path, zone: ZoneInfo) -> _File:
    """Copy the file's rows to a temporary table, and note the faults that PostgreSQL cannot see there."""
    known = crm.columns_of(connection, table)
    rows = read_rows(path, [column.name for column in known])
    line, header, stop = next(rows)
    columns = [column for column in known if header.count(column.name) == 1]
    file = _File(table, path.name, header, columns, [header.index(column.name) for column in columns], not stop)
    if fault := stop or header_fault(header, table, known):
        _note(connection, file, [(line, None, fault)])
    _create_rows(connection, file)
    while columns and (chunk := list(islice(rows, CHUNK_ROWS))):
        _note(connection, file, (fault for row in chunk for fault in _row_faults(file, row, zone)))
        names = ["line", "is_whole", *file.column_names]
        crm.copy_rows(connection, file.rows, names, [crm.csv_text(_waiting(file, chunk))])
        if chunk[-1][2]:
            return replace(file, is_read=False)
    return file


def _create_rows(connection: psycopg.Connection, file: _File) -> None:
    texts = [sql.SQL(", {} text").format(sql.Identifier(name)) for name in file.column_names]
    create = sql.SQL("CREATE TEMPORARY TABLE {} (line bigint, is_whole boolean{})")
    connection.execute(create.format(sql.Identifier(file.rows), sql.Composed(texts)))


def _row_faults(file: _File, row: Row, zone: ZoneInfo) -> Iterator[tuple[int, str | None, str]]:
    """Yield line, column and fault for each thing that is wrong with a row before PostgreSQL sees it."""
    line, fields, stop = row
    if stop or len(fields) != len(file.header):
        yield line, None, stop or f"{len(fields)} fields, but the first line names {len(file.header)} columns"
        return
    is_unfit = _UNFIT.search("".join(fields))
    for column, place in zip(file.columns, file.places, strict=True):
        text = fields[place]
        if is_unfit and _UNFIT.search(text):
            yield line, column.name, "bytes that are not UTF-8, or are zero; save the file as CSV UTF-8"
        elif column.is_time and text and stored_time(text, zone) is None:
            yield line, column.name, why_refused(text)


def _waiting(file: _File, rows: Iterable[Row]) -> Iterator[list[object]]:
    """Yield rows of the temporary table. One that is not whole is not judged, but its id counts as present."""
    for line, fields, stop in rows:
        if not stop:
            texts = [fields[place] if place < len(fields) else "" for place in file.places]
            is_unfit = _UNFIT.search("".join(texts))
            is_whole = len(fields) == len(file.header) and not is_unfit
            yield [line, is_whole, *([_UNFIT.sub("?", text) for text in texts] if is_unfit else texts)]


def _note(connection: psycopg.Connection, file: _File, faults: Iterable[tuple[int, str | None, str]]) -> None:
    rows = [(file.name, *fault) for fault in faults]
    crm.copy_rows(connection, _FAULTS, ["file", "line", "name", "fault"], [crm.csv_text(rows)])


def _judge_values(connection: psycopg.Connection, file: _File) -> None:
    """Note the values that the types and rules of their columns refuse. Times were judged as they were read."""
    allowed = _allowed_values(connection, file.table)
    for column in file.columns:
        if column.is_required and (file.table, column.name) not in crm.MAY_BE_EMPTY:
            _note_where(connection, file, column.name, "empty, but it must have a value", "{} IS NULL")
        if not column.is_time:
            fault = _unlike(column.type)
            _note_where(connection, file, column.name, fault, "NOT pg_input_is_valid({}, {})", column.type)
        if values := allowed.get(column.name):
            _note_where(connection, file, column.name, f"not one of {', '.join(values)}", "{} <> ALL ({})", values)


def _unlike(type_name: str) -> str:
    expected = EXPECTED.get(type_name.split("(", maxsplit=1)[0])
    return f"not {expected} ({type_name})" if expected else f"longer than {type_name} holds"


def _allowed_values(connection: psycopg.Connection, table: str) -> dict[str, list[str]]:
    """Return the values that the table's CHECK constraints list, by column."""
    query = """
        SELECT attname, ARRAY(SELECT regexp_matches(pg_get_constraintdef(c.oid), $$'([^']*)'$$, 'g'))
        FROM pg_constraint c JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
        WHERE conrelid = %s::regclass AND contype = 'c'"""
    return {str(name): [value for (value,) in values] for name, values in connection.execute(query, [table])}


def _judge_ids(connection: psycopg.Connection, file: _File, files: Mapping[str, _File]) -> None:
    """Note ids that stand there twice, and those of leads and listings that are missing."""
    for column in _unique_columns(connection, file.table):
        if column in file.column_names:
            _note_repeated(connection, file, column)
    column, parent = crm.PARENTS.get(file.table, ("", ""))
    if column in file.column_names and files[parent].is_read and "id" in files[parent].column_names:
        _note_missing(connection, file, column, files[parent])


def _unique_columns(connection: psycopg.Connection, table: str) -> list[str]:
    query = """
        SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
        WHERE indrelid = %s::regclass AND indisunique AND indnatts = 1 ORDER BY attnum"""
    return [str(name) for (name,) in connection.execute(query, [table])]


def _note_where(
    connection: psycopg.Connection, file: _File, column: str, fault: str, condition: LiteralString, *values: object
) -> None:
    """Note a fault of the column for each row that meets the condition, whose first {} is the column."""
    query = sql.SQL("INSERT INTO crm_faults SELECT {}, line, {}, {} FROM {} WHERE is_whole AND {}")
    meets = sql.SQL(condition).format(sql.Identifier(column), *map(sql.Literal, values))
    texts = map(sql.Literal, (file.name, column, fault))
    connection.execute(query.format(*texts, sql.Identifier(file.rows), meets))


def _note_repeated(connection: psycopg.Connection, file: _File, column: str) -> None:
    query = sql.SQL("""
        INSERT INTO crm_faults
        SELECT {}, line, {}, 'the same id as on line ' || first_line
        FROM (
            SELECT line, is_whole, min(line) OVER (PARTITION BY {id}) AS first_line FROM {} WHERE {id} IS NOT NULL
        ) AS ids
        WHERE is_whole AND line > first_line""")
    names = (sql.Literal(file.name), sql.Literal(column), sql.Identifier(file.rows))
    connection.execute(query.format(*names, id=_id_in(column)))


def _note_missing(connection: psycopg.Connection, file: _File, column: str, parent: _File) -> None:
    query = sql.SQL("""
        INSERT INTO crm_faults
        SELECT {}, line, {}, {} || id || {}
        FROM (SELECT line, {} AS id FROM {} WHERE is_whole) AS children
        WHERE NOT EXISTS (SELECT FROM (SELECT {} AS id FROM {}) AS parents WHERE parents.id = children.id)
            AND id IS NOT NULL""")
    texts = (file.name, column, f"{WHAT_A_ROW_IS[parent.table]} ", f" is not in {parent.name}")
    children = (_id_in(column), sql.Identifier(file.rows))
    connection.execute(query.format(*map(sql.Literal, texts), *children, _id_in("id"), sql.Identifier(parent.rows)))


def _id_in(column: str) -> sql.Composed:
    """Return the column's id as a number: `7` and `07` are one. A text that is no number is no id."""
    return sql.SQL("CASE WHEN pg_input_is_valid({0}, 'bigint') THEN {0}::bigint END").format(sql.Identifier(column))


def _summary(connection: psycopg.Connection, folder: Path, names: list[str]) -> str | None:
    counted = connection.execute("SELECT file, count(*) FROM crm_faults GROUP BY file")
    counts = {str(file): int(count) for file, count in counted}
    if not counts:
        return None
    total = sum(counts.values())
    per_file = ", ".join(f"{name} {counts[name]:,}" for name in names if name in counts)
    heading = (
        f"{folder} has {total:,} {'fault' if total == 1 else 'faults'} ({per_file}). Nothing was loaded; correct the"
        f" files and start again.{f' {SHOWN_FAULTS} of them are:' if total > SHOWN_FAULTS else ''}"
    )
    return "\n".join([heading, *_shown(connection, names)])


def _shown(connection: psycopg.Connection, names: list[str]) -> Iterator[str]:
    """Yield faults, by file and line: the first of each column, then the second, until there are enough."""
    query = """
        SELECT file, line, name, fault FROM (
            SELECT *, row_number() OVER (PARTITION BY file, name ORDER BY line, fault) AS nth FROM crm_faults
            ORDER BY nth, array_position(%(files)s::text[], file), line, name LIMIT %(shown)s
        ) AS shown ORDER BY array_position(%(files)s::text[], file), line, name NULLS FIRST, fault"""
    for file, line, name, fault in connection.execute(query, {"files": names, "shown": SHOWN_FAULTS}):
        column = f", column {name}" if name else ""
        yield f"{file}, line {line}{column}: {fault}."
