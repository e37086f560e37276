"""Loads a folder with the CRM's tables into its empty tables, all or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql

from leadscore.errors import DatabaseUnavailable, InvalidCrmData
from standalone import crm
from standalone.crm_faults import describe_faults, header_fault
from standalone.crm_files import Row, find_files, read_rows
from standalone.crm_times import stored_time, why_refused

CHUNK_ROWS = 5_000


def load_folder(connection: psycopg.Connection, folder: Path, time_zone: str = "UTC") -> dict[str, int]:
    """Load one file for each of the CRM's tables, all or nothing; return the rows of each table.

    A file's first line names the columns that it fills. A time with an offset is stored as the local time of
    `time_zone`; one without is stored as it is written. Raises InvalidCrmData, which counts every fault of every file
    and shows at most twenty, and DatabaseUnavailable.
    """
    paths = find_files(folder, crm.TABLES)
    zone = ZoneInfo(time_zone)
    try:
        with connection.transaction():
            rows = {table: _load_file(connection, table, path, zone) for table, path in paths.items()}
            _check_parents(connection)
            crm.finish_loading(connection)
    except InvalidCrmData as first_fault:
        # The fast way stops at the first fault, and may not know its line. Reading again finds them all.
        raise InvalidCrmData(describe_faults(connection, folder, paths, zone) or str(first_fault)) from None
    except psycopg.OperationalError as error:
        reason = error.diag.message_primary or "the connection was lost"
        raise DatabaseUnavailable(
            f"{folder} was not loaded, because PostgreSQL stopped: {reason}. Start again."
        ) from None
    return rows


def _load_file(connection: psycopg.Connection, table: str, path: Path, zone: ZoneInfo) -> int:
    known = crm.columns_of(connection, table)
    rows = read_rows(path, [column.name for column in known])
    _, header, fault = next(rows)
    if fault or header_fault(header, table, known):
        raise InvalidCrmData(f"{path}, line 1: {fault or 'the columns do not fit'}.")
    times = [header.index(column.name) for column in known if column.is_time and column.name in header]
    try:
        return crm.copy_rows(connection, table, header, _chunks(path, rows, times, zone))
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        # The server quotes the offending row and value; a lead's data stays out of the text.
        reason = (error.diag.message_primary or "PostgreSQL refuses it").split(': "')[0]
        raise InvalidCrmData(f"{path}: {reason}. Nothing was loaded; correct the file and start again.") from None


def _chunks(path: Path, rows: Iterator[Row], times: Sequence[int], zone: ZoneInfo) -> Iterator[bytes]:
    while chunk := [_stored(path, row, times, zone) for row in islice(rows, CHUNK_ROWS)]:
        try:
            yield crm.csv_text(chunk)
        except UnicodeEncodeError:
            raise InvalidCrmData(f"{path} is not UTF-8.") from None


def _stored(path: Path, row: Row, times: Sequence[int], zone: ZoneInfo) -> list[str]:
    """Return the row's fields, with times as they are stored."""
    line, fields, fault = row
    if fault:
        raise InvalidCrmData(f"{path}, line {line}: {fault}.")
    for place in times:
        if place < len(fields) and fields[place]:
            time = stored_time(fields[place], zone)
            if time is None:
                raise InvalidCrmData(f"{path}, line {line}: {why_refused(fields[place])}.")
            fields[place] = time
    return fields


def _check_parents(connection: psycopg.Connection) -> None:
    """Raise InvalidCrmData when a row's lead or listing is missing; not every table has a foreign key that does so."""
    for table, (column, parent) in crm.PARENTS.items():
        query = sql.SQL(
            "SELECT EXISTS (SELECT FROM {table} WHERE {column} IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM {parent} WHERE {parent}.id = {table}.{column}))"
        ).format(table=sql.Identifier(table), column=sql.Identifier(column), parent=sql.Identifier(parent))
        if connection.execute(query).fetchone() == (True,):
            raise InvalidCrmData(f"{table} has rows whose {column} is not in {parent}.")
