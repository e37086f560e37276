"""Which orgs the CRM has, and which of them are due for a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from leadscore.records import Window, crm_time, outcome_parameters
from leadscore.requirements import SplitCounts
from leadscore_assets.source.database import Connection, explaining
from leadscore_assets.source.extraction import consistent_reading
from leadscore_assets.source.outcomes import REMEDY

DUE_ORGS_SQL = Path(__file__).with_name("due_orgs.sql")
CRM_REMEDY = (
    "Point DB_HOST and DB_NAME to the CRM's database; if its tables have other names, create views with these names."
)

# One step per org along an index that starts with org_id, in place of a scan of every lead.
ORGS_QUERY = """
WITH RECURSIVE steps AS (
    (SELECT org_id FROM dossier ORDER BY org_id LIMIT 1)
    UNION ALL
    SELECT (SELECT org_id FROM dossier WHERE org_id > steps.org_id ORDER BY org_id LIMIT 1)
    FROM steps
    WHERE steps.org_id IS NOT NULL
)
SELECT org_id FROM steps WHERE org_id IS NOT NULL
"""


NO_RECORDS = SplitCounts(0, 0, 0, 0)


@dataclass(frozen=True)
class TrainingNeed:
    """Whether an org is due for a training, and the reason in words.

    `new_outcomes` counts the records whose outcome became known since the org's last training, `counts` all records by
    outcome and side of the split.
    """

    org_id: str
    records: int
    new_outcomes: int
    is_due: bool
    reason: str
    counts: SplitCounts = NO_RECORDS


def orgs(connection: Connection) -> list[str]:
    """Return the ids of the orgs that have leads, sorted. Raises SourceMismatch, DatabaseUnavailable."""
    with explaining("listing the orgs", CRM_REMEDY), connection.transaction():
        return sorted(str(org_id) for (org_id,) in connection.execute(ORGS_QUERY))


def training_needs(
    connection: Connection, window: Window, trained_as_of: Mapping[str, datetime], min_records: int
) -> list[TrainingNeed]:
    """Return for each org of the CRM whether it is due at the window's `as_of`.

    `trained_as_of` gives the `as_of` of each org's last training; an org that is not in it was never trained.
    Raises SourceMismatch, DatabaseUnavailable.
    """
    parameters = outcome_parameters(window) | {
        "trained_orgs": list(trained_as_of),
        "trained_as_of": [crm_time(moment) for moment in trained_as_of.values()],
    }
    with explaining("counting the orgs' outcomes", REMEDY), consistent_reading(connection):
        counted = connection.execute(DUE_ORGS_SQL.read_bytes(), parameters).fetchall()
    found = {str(org_id): [int(str(count)) for count in counts] for org_id, *counts in counted}
    needs = []
    for org_id in orgs(connection):
        *counts, new_outcomes = found.get(org_id, [0] * 5)
        needs.append(need_of(org_id, SplitCounts(*counts), new_outcomes, trained_as_of.get(org_id), min_records))
    return needs


def need_of(
    org_id: str, counts: SplitCounts, new_outcomes: int, trained: datetime | None, min_records: int
) -> TrainingNeed:
    """Return whether an org is due: it has enough records, and new outcomes since the training as of `trained`."""
    records = counts.records
    since = f"since {trained.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if trained else ""
    if records < min_records:
        is_due, reason = False, f"{records} of {min_records} records"
    elif not trained:
        is_due, reason = True, f"{records} records, never trained"
    elif not new_outcomes:
        is_due, reason = False, f"no new outcomes {since}"
    else:
        is_due, reason = True, f"{records} records, {new_outcomes} new outcomes {since}"
    return TrainingNeed(org_id, records, new_outcomes, is_due, reason, counts)
