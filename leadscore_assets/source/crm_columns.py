"""The CRM's columns that our SQL reads, and the check that they are there, of types that PostgreSQL can cast.

A text or an id may be of any type, such as uuid, an enum or citext. CRM_TIME_ZONE is checked here, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg

from leadscore.errors import InvalidSettings, SourceMismatch
from leadscore_assets.source.database import explaining

AnyConnection = psycopg.Connection[tuple[object, ...]]
Kind = Literal["any", "time", "time or day", "number"]
EXPECTED: dict[Kind, str] = {
    "any": "any type",
    "time": "timestamp or timestamptz",
    "time or day": "timestamp, timestamptz or date",
    "number": "a type of number",
}
# An event of which only the day is known would count from midnight on, before it happened.
TIMES = ("timestamp without time zone", "timestamp with time zone")
NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision")
READABLE = {"time": TIMES, "time or day": (*TIMES, "date"), "number": NUMBERS}
COLUMNS: dict[str, dict[str, Kind]] = {
    "dossier": {"id": "any", "org_id": "any", "status": "any", "created_at": "time or day", "annonce_id": "any"},
    "dossier_status_history": {
        "id": "any",
        "org_id": "any",
        "dossier_id": "any",
        "to_status": "any",
        "transitioned_at": "time",
    },
    "message": {"org_id": "any", "dossier_id": "any", "direction": "any", "timestamp": "time"},
    "appointment": {
        "org_id": "any",
        "dossier_id": "any",
        "status": "any",
        "created_at": "time",
        "updated_at": "time",
    },
    "annonce": {"id": "any", "org_id": "any", "price": "number", "photos_json": "any", "created_at": "time"},
    "lead_score": {"org_id": "any", "dossier_id": "any", "source_score": "number"},
}
REMEDY = (
    "Create views of these tables' names that return such columns, and put their schema first on the role's"
    " search_path; or write your own SQL, and name it in RECORDS_SQL."
)
COLUMNS_QUERY = """
SELECT name, attname::text, format_type(base.oid, NULL), base.typcategory::text
FROM unnest(%s::text[]) AS name
JOIN pg_attribute ON attrelid = to_regclass(name) AND attnum > 0 AND NOT attisdropped
JOIN pg_type AS own ON own.oid = atttypid
JOIN pg_type AS base ON base.oid = coalesce(nullif(own.typbasetype, 0), own.oid)
"""


@dataclass(frozen=True)
class ColumnType:
    """A column's type: its name, and PostgreSQL's category, such as N for numbers and S for strings."""

    name: str
    category: str

    def suits(self, kind: Kind) -> bool:
        """Return whether our SQL can read a column of this type as that kind."""
        return kind == "any" or self.name in READABLE[kind]

    def compares_with(self, other: ColumnType) -> bool:
        """Return whether PostgreSQL can compare the two as ids."""
        return self.name == other.name or (self.category == other.category and self.category in "NS")


Types = dict[tuple[str, str], ColumnType]


def check_columns(connection: AnyConnection, tables: Sequence[str]) -> None:
    """Raise SourceMismatch, naming each column that is missing or of a type that cannot be read, and its type.

    Tables that are missing altogether are left to the query that reads them.
    """
    with explaining("looking at the columns of the CRM's tables", REMEDY), connection.transaction():
        found = connection.execute(COLUMNS_QUERY, [list(tables)]).fetchall()
    types = {(str(table), str(column)): ColumnType(str(name), str(category)) for table, column, name, category in found}
    present = [table for table in tables if any(table == known for known, _ in types)]
    faults = [*_unreadable(types, present), *_incomparable(types, present)]
    if faults:
        raise SourceMismatch(f"The CRM's tables cannot be read: {'; '.join(faults)}. {REMEDY}")


def check_time_zone(connection: AnyConnection, time_zone: str) -> None:
    """Raise InvalidSettings when PostgreSQL does not know the zone."""
    try:
        with connection.transaction():
            connection.execute("SELECT timestamp '2026-01-01' AT TIME ZONE %s", [time_zone])
    except psycopg.errors.InvalidParameterValue:
        raise InvalidSettings(
            f"CRM_TIME_ZONE is {time_zone!r}, which PostgreSQL does not know. Use UTC, or a name from its view"
            " pg_timezone_names, such as Europe/Paris."
        ) from None


def _unreadable(types: Types, tables: Sequence[str]) -> Iterator[str]:
    for table in tables:
        for column, kind in COLUMNS[table].items():
            present = types.get((table, column))
            if present is None:
                yield f"{table}.{column} is missing (expected {EXPECTED[kind]})"
            elif not present.suits(kind):
                yield f"{table}.{column} is {present.name} (expected {EXPECTED[kind]})"


def _incomparable(types: Types, tables: Sequence[str]) -> Iterator[str]:
    """Yield the ids that name a lead, a listing or an org, but are of another type than its own id."""
    pairs = [
        *(((table, "dossier_id"), ("dossier", "id")) for table in tables),
        *(((table, "org_id"), ("dossier", "org_id")) for table in tables),
        (("dossier", "annonce_id"), ("annonce", "id")),
    ]
    for one, other in pairs:
        if one in types and other in types and not types[one].compares_with(types[other]):
            yield (
                f"{'.'.join(one)} is {types[one].name}, but {'.'.join(other)}, which it names, is {types[other].name}"
            )
