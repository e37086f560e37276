"""Which orgs the CRM has, and which of them are due for a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from leadscore.records import Window, crm_time, outcome_parameters
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


@dataclass(frozen=True)
class TrainingNeed:
    """Whether an org is due for a training, and the reason in words.

    `new_outcomes` counts the records whose outcome became known since the org's last training.
    """

    org_id: str
    records: int
    new_outcomes: int
    is_due: bool
    reason: str


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
    counts = {str(org_id): (int(str(records)), int(str(new))) for org_id, records, new in counted}
    return [
        need_of(org_id, *counts.get(org_id, (0, 0)), trained_as_of.get(org_id), min_records)
        for org_id in orgs(connection)
    ]


def need_of(org_id: str, records: int, new_outcomes: int, trained: datetime | None, min_records: int) -> TrainingNeed:
    """Return whether an org is due: it has enough records, and new outcomes since the training as of `trained`."""
    if records < min_records:
        return TrainingNeed(org_id, records, new_outcomes, False, f"{records} of {min_records} records")
    if trained is None:
        return TrainingNeed(org_id, records, new_outcomes, True, f"{records} records, never trained")
    since = f"since {trained.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if not new_outcomes:
        return TrainingNeed(org_id, records, 0, False, f"no new outcomes {since}")
    return TrainingNeed(org_id, records, new_outcomes, True, f"{records} records, {new_outcomes} new outcomes {since}")
