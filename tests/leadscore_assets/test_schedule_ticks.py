"""A schedule's row says when it last ran and when it is to run next, by what Dagster remembers of its ticks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import msgspec
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster_shared.error import SerializableErrorInfo

from leadscore_assets.health.schedules import Schedule
from leadscore_assets.schedule_ticks import schedules_now
from leadscore_assets.schedules import scoring_schedule

DAY = timedelta(days=1)
NOW = datetime(2026, 6, 2, 12, tzinfo=UTC)
FIVE = datetime(2026, 6, 2, 5, tzinfo=UTC)
DAILY = scoring_schedule("0 5 * * *")
NAME = DAILY.name
# the error's text quotes a row
CAUSE = SerializableErrorInfo("lead 4711 is Ann", [], "DatabaseUnavailable")
ERROR = SerializableErrorInfo("an error in a schedule", [], "ScheduleExecutionError", cause=CAUSE)


def known_to(
    instance: dg.DagsterInstance, status: InstigatorStatus = InstigatorStatus.RUNNING, location: str = "leadscore"
) -> InstigatorState:
    """Let Dagster know the schedule, as its daemon does."""
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__")
    state = InstigatorState(
        RemoteInstigatorOrigin(repository, NAME), InstigatorType.SCHEDULE, status, ScheduleInstigatorData("0 5 * * *")
    )
    instance.add_instigator_state(state)
    return state


def tick(instance: dg.DagsterInstance, state: InstigatorState, at: datetime, status: TickStatus) -> None:
    instance.create_tick(
        TickData(
            state.instigator_origin_id,
            NAME,
            InstigatorType.SCHEDULE,
            status,
            at.timestamp(),
            run_ids=[],
            run_keys=[],
            selector_id=state.selector_id,
            error=ERROR if status == TickStatus.FAILURE else None,
        )
    )


def found(instance: dg.DagsterInstance, *known: Schedule, now: datetime = NOW) -> Schedule:
    [schedule] = schedules_now(instance, [DAILY], {one.schedule: one for one in known}, now)
    return schedule


def test_one_that_never_ran_is_to_run_at_its_first_time(stored_instance: dg.DagsterInstance) -> None:
    first = found(stored_instance)
    assert (first.is_on, first.seen_at, first.next_run_at) == (True, NOW, FIVE + DAY)
    assert (first.last_run_at, first.last_tick_at, first.last_status, first.error) == (None, None, None, "")
    assert found(stored_instance, first, now=NOW + 3 * DAY) == first


@pytest.mark.parametrize("status", [TickStatus.SUCCESS, TickStatus.SKIPPED])
def test_after_a_run_it_is_to_run_at_the_next_time(stored_instance: dg.DagsterInstance, status: TickStatus) -> None:
    state = known_to(stored_instance)
    for days in (2, 1, 0):
        tick(stored_instance, state, FIVE - days * DAY, status)
    schedule = found(stored_instance)
    assert (schedule.last_run_at, schedule.last_tick_at, schedule.next_run_at) == (FIVE, FIVE, FIVE + DAY)
    assert schedule.last_status == status.value.lower()


def test_a_failure_is_no_run_and_shows_no_text_of_the_error(stored_instance: dg.DagsterInstance) -> None:
    state = known_to(stored_instance)
    tick(stored_instance, state, FIVE - DAY, TickStatus.SUCCESS)
    tick(stored_instance, state, FIVE, TickStatus.FAILURE)
    schedule = found(stored_instance)
    assert (schedule.last_run_at, schedule.next_run_at) == (FIVE - DAY, FIVE)
    assert (schedule.last_tick_at, schedule.last_status, schedule.error) == (FIVE, "failure", "DatabaseUnavailable")


def test_one_that_was_turned_off_says_so_and_its_next_time_passes(stored_instance: dg.DagsterInstance) -> None:
    state = known_to(stored_instance, InstigatorStatus.STOPPED)
    tick(stored_instance, state, FIVE - 3 * DAY, TickStatus.SUCCESS)
    schedule = found(stored_instance)
    assert (schedule.is_on, schedule.next_run_at) == (False, FIVE - 2 * DAY)


def test_ticks_of_code_that_has_moved_count_too(stored_instance: dg.DagsterInstance) -> None:
    for location, at in (("old", FIVE - DAY), ("new", FIVE)):
        tick(stored_instance, known_to(stored_instance, location=location), at, TickStatus.SUCCESS)
    assert found(stored_instance).last_run_at == FIVE


def test_a_schedule_whose_times_were_changed_misses_none_of_the_new_times_before(
    stored_instance: dg.DagsterInstance,
) -> None:
    """It last ran on the first of the month; its time was then set to a day of the month that is over."""
    tick(stored_instance, known_to(stored_instance), FIVE - 20 * DAY, TickStatus.SUCCESS)
    monthly = found(stored_instance, now=NOW - 20 * DAY)
    changed = msgspec.structs.replace(monthly, cron="0 2 1 * *")
    schedule = found(stored_instance, changed)
    assert (schedule.seen_at, schedule.next_run_at) == (NOW, FIVE + DAY)
    assert found(stored_instance, schedule, now=NOW + 3 * DAY).next_run_at == FIVE + DAY
