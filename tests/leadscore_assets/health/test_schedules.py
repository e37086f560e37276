"""The schedules' rows are written where they differ, and a failed run is counted once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest

from leadscore.errors import SourceMismatch
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.health.schedules import Schedule, count_failed_run, stored_schedules, write_schedules
from leadscore_assets.source.database import Connection, connect

NOW = datetime(2026, 6, 2, 5, tzinfo=UTC)
DAILY = Schedule(
    schedule="daily",
    cron="0 5 * * *",
    is_on=True,
    seen_at=NOW,
    next_run_at=NOW,
    last_run_at=NOW,
    last_tick_at=NOW,
    last_status="failure",
    error="DatabaseUnavailable",
)
NEW = msgspec.structs.replace(DAILY, schedule="new", last_run_at=None, last_tick_at=None, last_status=None, error="")


@pytest.fixture
def connection(database: Settings) -> Iterator[Connection]:
    set_up(database)
    with connect(database) as connection:
        yield connection


def test_rows_are_read_as_they_were_written_and_go_with_their_schedule(connection: Connection) -> None:
    assert write_schedules(connection, {}, [DAILY, NEW]) == 2
    known = stored_schedules(connection)
    assert known == {"daily": DAILY, "new": NEW}
    assert write_schedules(connection, known, [DAILY, NEW]) == 0
    changed = msgspec.structs.replace(DAILY, is_on=False, last_status="skipped", error="")
    assert write_schedules(connection, known, [changed]) == 2
    assert stored_schedules(connection) == {"daily": changed}


def test_a_failed_run_is_counted_once_by_job(connection: Connection) -> None:
    for job, run_id in (("train", "a"), ("train", "a"), ("train", "b"), ("judge_scores", "c")):
        count_failed_run(connection, job, run_id)
    found = connection.execute("SELECT job, runs, last_run_id FROM leadscore.failed_run_total ORDER BY 1").fetchall()
    assert found == [("judge_scores", 1, "c"), ("train", 2, "b")]


def test_before_the_set_up_they_say_what_to_do(database: Settings) -> None:
    with connect(database) as connection, pytest.raises(SourceMismatch, match="set_up_database"):
        stored_schedules(connection)
