"""How each schedule stands, and how many runs of each job failed: two tables of the operator's picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Literal

import msgspec
from psycopg.rows import class_row

from leadscore_assets.source.database import Connection, explaining
from leadscore_assets.source.tables import REMEDY

Status = Literal["success", "skipped", "failure"]

STORED = """
SELECT schedule, cron, is_on, seen_at, next_run_at, last_run_at, last_tick_at, last_status, error
FROM leadscore.schedule_health
"""
UPSERT = """
INSERT INTO leadscore.schedule_health
    (schedule, cron, is_on, seen_at, next_run_at, last_run_at, last_tick_at, last_status, error)
VALUES (
    %(schedule)s, %(cron)s, %(is_on)s, %(seen_at)s, %(next_run_at)s, %(last_run_at)s, %(last_tick_at)s,
    %(last_status)s, %(error)s
)
ON CONFLICT (schedule) DO UPDATE SET
    cron = excluded.cron,
    seen_at = excluded.seen_at,
    is_on = excluded.is_on,
    next_run_at = excluded.next_run_at,
    last_run_at = excluded.last_run_at,
    last_tick_at = excluded.last_tick_at,
    last_status = excluded.last_status,
    error = excluded.error
"""
# Dagster may report a failure twice when its daemon is killed in between
COUNT_FAILED = """
INSERT INTO leadscore.failed_run_total (job, runs, last_run_id) VALUES (%(job)s, 1, %(run_id)s)
ON CONFLICT (job) DO UPDATE SET
    runs = failed_run_total.runs + 1, last_run_id = excluded.last_run_id, last_failed_at = now()
WHERE failed_run_total.last_run_id <> excluded.last_run_id
"""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """How a schedule stands. `next_run_at` is the time after its last run; once it is over, a run is missing.

    `seen_at` is since when the schedule is known with these times: it misses none before.
    `last_run_at` is the last time for which it was evaluated without an error, whether or not it started a run.
    `last_tick_at`, `last_status` and `error` are those of the last evaluation, None and empty before the first.
    """

    schedule: str
    cron: str
    is_on: bool
    seen_at: datetime
    next_run_at: datetime
    last_run_at: datetime | None
    last_tick_at: datetime | None
    last_status: Status | None
    error: str


def stored_schedules(connection: Connection) -> dict[str, Schedule]:
    """Return how the schedules stood. Raises SourceMismatch before the set-up, DatabaseUnavailable."""
    with explaining("reading how the schedules stand", REMEDY), connection.transaction():
        cursor = connection.cursor(row_factory=class_row(Schedule))
        return {found.schedule: found for found in cursor.execute(STORED)}


def write_schedules(connection: Connection, known: Mapping[str, Schedule], schedules: Collection[Schedule]) -> int:
    """Make `schedules` the table's, which has `known` ones; return how many rows were written or removed.

    Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    changed = [schedule for schedule in schedules if known.get(schedule.schedule) != schedule]
    gone = sorted(known.keys() - {schedule.schedule for schedule in schedules})
    with explaining("writing how the schedules stand", REMEDY), connection.transaction():
        for schedule in changed:
            connection.execute(UPSERT, msgspec.structs.asdict(schedule))
        if gone:
            connection.execute("DELETE FROM leadscore.schedule_health WHERE schedule = ANY (%s)", [gone])
    return len(changed) + len(gone)


def count_failed_run(connection: Connection, job: str, run_id: str) -> None:
    """Count a run of the job that failed, once. Raises SourceMismatch before the set-up, DatabaseUnavailable."""
    with explaining("counting a failed run", REMEDY), connection.transaction():
        connection.execute(COUNT_FAILED, {"job": job, "run_id": run_id})
