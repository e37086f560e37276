"""What the records' SQL must return: its columns, checked and cast to the types with which they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psycopg import Column, sql

from leadscore.errors import SourceMismatch
from leadscore.features import Contract
from leadscore_assets.source.database import Connection

SQL_REMEDY = "Correct the SQL file, or unset RECORDS_SQL to use Leadscore's own."

TEXT, DATE, NUMBER = "text", "date", "double precision"
KEY_COLUMNS = {
    "lead_id": TEXT,
    "excluded_because": TEXT,
    "created_on": DATE,
    "landmark_days": NUMBER,
    "converted": NUMBER,
}
# for each column the name of its type, and the casts that lead to the type that is expected; null where none does
CASTS_QUERY = """
SELECT format_type(type, NULL), CASE
    WHEN target = 'text' OR type = target::regtype
        OR EXISTS (SELECT FROM pg_cast WHERE castsource = type AND casttarget = target::regtype) THEN '::' || target
    WHEN type = 'boolean'::regtype AND target = 'double precision' THEN '::integer::double precision'
END
FROM unnest(%s::oid[], %s::text[]) WITH ORDINALITY AS returned (type, target, nth) ORDER BY nth
"""


def expected_columns(contract: Contract) -> dict[str, str]:
    """Return the columns that the SQL must return, and the type that each is cast to."""
    return KEY_COLUMNS | dict.fromkeys(contract.names, NUMBER)


def cast_query(
    connection: Connection, query: str, parameters: Mapping[str, Any], contract: Contract, path: Path
) -> str:
    """Return `query` with the expected columns alone, each cast to its type. The query is not run.

    Raises SourceMismatch that names every column that is missing, returned twice, or of a type without such a cast.
    """
    expected = expected_columns(contract)
    statement = f"SELECT * FROM (\n{query}\n) AS records LIMIT 0"  # noqa: S608  # the query is a file that the operator chose
    columns = connection.execute(statement, parameters).description or []
    returned = {column.name: column for column in columns if column.name in expected}
    times = Counter(column.name for column in columns)
    casts = _casts(connection, returned, expected)
    faults = [
        *(f"{name} is missing (expected {kind})" for name, kind in expected.items() if name not in returned),
        *(f"{name} is {kind} (expected {expected[name]})" for name, (kind, cast) in casts.items() if cast is None),
        *(f"{name} is returned {times[name]} times" for name in returned if times[name] > 1),
    ]
    if faults:
        raise SourceMismatch(f"{path.name} does not return the expected columns: {'; '.join(faults)}. {SQL_REMEDY}")
    chosen = ", ".join(f"{sql.Identifier(name).as_string()}{casts[name][1]}" for name in expected)
    return f"SELECT {chosen} FROM (\n{query}\n) AS records"  # noqa: S608  # as above


def _casts(
    connection: Connection, returned: Mapping[str, Column], expected: Mapping[str, str]
) -> dict[str, tuple[str, str | None]]:
    """Return, for each column, the name of its type and its cast, None where there is none."""
    codes = [column.type_code for column in returned.values()]
    rows: Any = connection.execute(CASTS_QUERY, [codes, [expected[name] for name in returned]]).fetchall()
    return dict(zip(returned, rows, strict=True))
