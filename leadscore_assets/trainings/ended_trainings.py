"""How each training of an org ended: tables of ours, which every lane writes, and metrics and pages read."""

from __future__ import annotations

from datetime import datetime

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
        %(run_id)s, %(org_id)s, %(batch_id)s, %(asked_by)s, %(started_at)s, clock_timestamp(), %(status)s, %(version)s,
        %(reasons)s
    )
    ON CONFLICT DO NOTHING
    RETURNING status
)
UPDATE leadscore.training_total SET trainings = trainings + 1 FROM ended WHERE training_total.status = ended.status
"""


class EndedTraining(msgspec.Struct, frozen=True, kw_only=True):
    """How a run's training of an org ended. `reasons` is what people read; `version` is None without one."""

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
