"""How each training of an org ended: tables of ours, which every lane writes, and metrics and pages read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from leadscore.training_status import TrainingStatus
from leadscore_assets.source.database import Connection, explaining
from leadscore_assets.source.tables import REMEDY

# a training is counted once, however often its end is reported
RECORD = """
WITH ended AS (
    INSERT INTO leadscore.ended_training
        (run_id, org_id, batch_id, asked_by, started_at, ended_at, status, version, reasons)
    VALUES (
        %(run_id)s,
        %(org_id)s,
        %(batch_id)s,
        %(asked_by)s,
        coalesce(
            %(started_at)s,
            (SELECT claimed_at FROM leadscore.training_claim WHERE org_id = %(org_id)s AND holder = %(run_id)s)
        ),
        clock_timestamp(),
        %(status)s,
        %(version)s,
        %(reasons)s
    )
    ON CONFLICT DO NOTHING
    RETURNING status
)
UPDATE leadscore.training_total SET trainings = trainings + 1 FROM ended WHERE training_total.status = ended.status
"""
LAST = """
SELECT run_id, org_id, asked_by, status, reasons, version, started_at, batch_id FROM leadscore.ended_training
WHERE org_id = %s ORDER BY ended_at DESC LIMIT 1
"""


class EndedTraining(msgspec.Struct, frozen=True, kw_only=True):
    """How a run's training of an org ended. `reasons` is what people read; `version` is None without one.

    Where `started_at` is not known, it is recorded as the time at which the run claimed the org.
    """

    run_id: str
    org_id: str
    asked_by: str
    status: TrainingStatus
    reasons: str
    version: str | None = None
    started_at: datetime | None = None
    batch_id: str | None = None


def record_ended(connection: Connection, ended: EndedTraining) -> bool:
    """Record how the training ended, unless it is recorded already, and return whether it was not.

    Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    with explaining("recording how a training ended", REMEDY), connection.transaction():
        return connection.execute(RECORD, msgspec.structs.asdict(ended)).rowcount == 1


def last_ended(connection: Connection, org_id: str) -> EndedTraining | None:
    """Return how the org's last training ended, None before the first. Raises as `record_ended` does."""
    with explaining("reading how the org's last training ended", REMEDY), connection.transaction():
        row: Any = connection.execute(LAST, [org_id]).fetchone()
    return EndedTraining(**dict(zip(EndedTraining.__struct_fields__, row, strict=True))) if row else None
