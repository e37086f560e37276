"""What an operator wants to know at a glance: schedules, orgs, trainings and scorings, as the database has them now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar, get_args

import msgspec
from psycopg import rows

from leadscore.live_performance import LiveState
from leadscore.org_warnings import OrgWarning
from leadscore.registry.org_state import OrgState
from leadscore.training_status import TrainingStatus
from leadscore_assets.health.schedules import Schedule, stored_schedules
from leadscore_assets.source.database import Connection, explaining
from leadscore_assets.source.tables import REMEDY

# those that need somebody soonest come first
ORGS = """
SELECT org_id, state, warnings, live_state, scored_as_of, open_leads, problem
FROM leadscore.org_health
ORDER BY cardinality(warnings) DESC, org_id
"""
TOTALS = "SELECT status, trainings FROM leadscore.training_total"
BATCH = """
SELECT
    batch.asked_at,
    batch.asked_by,
    batch.orgs,
    (SELECT count(*) FROM leadscore.due_training WHERE batch_id = batch.batch_id) AS waiting,
    count(*) FILTER (WHERE ended.status = 'activated') AS activated,
    count(*) FILTER (WHERE ended.status = 'held') AS held,
    count(*) FILTER (WHERE ended.status = 'insufficient_data') AS insufficient_data,
    count(*) FILTER (WHERE ended.status = 'failed') AS failed
FROM leadscore.training_batch AS batch
LEFT JOIN leadscore.ended_training AS ended USING (batch_id)
GROUP BY batch.batch_id
ORDER BY batch.asked_at DESC
LIMIT 1
"""
LAST_TRAINING = "SELECT org_id, ended_at, status, reasons FROM leadscore.ended_training ORDER BY ended_at DESC LIMIT 1"
FAILED = """
SELECT DISTINCT ON (org_id) org_id, ended_at, status, reasons
FROM leadscore.ended_training
WHERE org_id IN (SELECT org_id FROM leadscore.org_health WHERE last_training = 'failed')
ORDER BY org_id, ended_at DESC
"""
NOW = """
SELECT now() AS asked_at, (SELECT refreshed_at FROM leadscore.org_health_refresh) AS refreshed_at
"""


class OrgLine(NamedTuple):
    """How an org stands, in a few words."""

    org_id: str
    state: OrgState
    warnings: list[OrgWarning]
    live_state: LiveState | None
    scored_as_of: datetime | None
    open_leads: int | None
    problem: str


class Batch(NamedTuple):
    """Trainings that were asked for together: how many orgs, how many of them wait, and how the others ended."""

    asked_at: datetime
    asked_by: str
    orgs: int
    waiting: int
    activated: int
    held: int
    insufficient_data: int
    failed: int


class Ended(NamedTuple):
    """How a training of an org ended."""

    org_id: str
    ended_at: datetime
    status: TrainingStatus
    reasons: str


class Total(NamedTuple):
    """How many trainings ever ended so."""

    status: TrainingStatus
    trainings: int


class Moments(NamedTuple):
    """The database's time, and when the orgs' health was last refreshed."""

    asked_at: datetime
    refreshed_at: datetime | None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The whole at a glance. `failed` has the last training of each org where it failed."""

    moments: Moments
    schedules: list[Schedule]
    orgs: list[OrgLine]
    totals: dict[TrainingStatus, int]
    batch: Batch | None
    last_training: Ended | None
    failed: list[Ended]


def overview(connection: Connection) -> Overview:
    """Return what the database says. Raises SourceMismatch before the set-up, DatabaseUnavailable."""
    with explaining("reading how the system stands", REMEDY), connection.transaction():
        [moments] = _all(connection, NOW, Moments)
        return Overview(
            moments=moments,
            schedules=sorted(stored_schedules(connection).values(), key=lambda schedule: schedule.next_run_at),
            orgs=_all(connection, ORGS, OrgLine),
            totals=dict.fromkeys(get_args(TrainingStatus), 0) | dict(_all(connection, TOTALS, Total)),
            batch=_first(_all(connection, BATCH, Batch)),
            last_training=_first(_all(connection, LAST_TRAINING, Ended)),
            failed=_all(connection, FAILED, Ended),
        )


Row = TypeVar("Row", bound=tuple[object, ...])


def _all(connection: Connection, query: str, kind: type[Row]) -> list[Row]:
    return connection.cursor(row_factory=rows.class_row(kind)).execute(query.encode()).fetchall()


def _first(found: Sequence[Row]) -> Row | None:
    return found[0] if found else None
