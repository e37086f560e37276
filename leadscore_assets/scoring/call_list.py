"""Reads the first leads of an org's call list."""

from __future__ import annotations

from typing import Any, NamedTuple

from leadscore_assets.scoring.stored_scores import REMEDY
from leadscore_assets.source.database import Connection, explaining

FIRST_CALLS = """
SELECT rank, lead_id, probability, grade, trend, reasons
FROM leadscore.call_list WHERE org_id = %s AND rank <= %s ORDER BY rank
"""


class Call(NamedTuple):
    """A lead of the call list; `reasons` are in words."""

    rank: int
    lead_id: str
    probability: float
    grade: str
    trend: str
    reasons: list[str]


def first_calls(connection: Connection, org_id: str, most: int) -> list[Call]:
    """Return the first leads to call, the best first. Raises SourceMismatch before the set-up, DatabaseUnavailable."""
    with explaining("reading the call list", REMEDY), connection.transaction():
        rows: list[Any] = connection.execute(FIRST_CALLS, [org_id, most]).fetchall()
    return [Call(*row) for row in rows]
