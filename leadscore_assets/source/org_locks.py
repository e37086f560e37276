"""The locks that keep those apart who write an org's scores and those who erase or move its rows.

Each is held until the transaction ends. Whoever needs both takes that of the erasures first, and both before it locks
or changes a table that scorings write, so that no two wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection

from leadscore_assets.source.database import Connection

# any numbers of our own
ERASURE_LOCK = 7_013_003
SCORES_LOCK = 7_013_004
# PostgreSQL has room for a few thousand locks, and an erasure may be of more orgs: so some orgs share one
LOCK_SCORES = """
SELECT pg_advisory_xact_lock(%(lock)s, number)
FROM (
    SELECT DISTINCT hashtext(org_id) & 1023 AS number FROM unnest(%(org_ids)s::text[]) AS org_id ORDER BY number
) AS numbers
"""


def lock_erasures(connection: Connection) -> None:
    """Wait until no other transaction erases or moves rows."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [ERASURE_LOCK])


def lock_scores(connection: Connection, org_ids: Collection[str]) -> None:
    """Wait until no other transaction scores the leads of these orgs, or erases or moves what is stored of them.

    A scoring reads the CRM and writes what it found under this lock, so a lead that left the CRM before it was erased
    cannot be written again.
    """
    connection.execute(LOCK_SCORES, {"lock": SCORES_LOCK, "org_ids": list(org_ids)})
