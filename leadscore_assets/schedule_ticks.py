"""How Dagster's schedules stand, by the ticks that it remembers of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickStatus

from leadscore_assets.deadlines import next_tick
from leadscore_assets.health.schedules import Schedule, Status

_WORDS: dict[TickStatus, Status] = {
    TickStatus.SUCCESS: "success",
    TickStatus.SKIPPED: "skipped",
    TickStatus.FAILURE: "failure",
}
_WITHOUT_ERROR = [TickStatus.SUCCESS, TickStatus.SKIPPED]


def schedules_now(
    instance: dg.DagsterInstance,
    schedules: Iterable[dg.ScheduleDefinition],
    known: Mapping[str, Schedule],
    now: datetime,
) -> list[Schedule]:
    """Return how the schedules stand; `known` is what was stored of them."""
    states = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    return [
        _schedule(instance, schedule, [state for state in states if state.name == schedule.name], known, now)
        for schedule in schedules
    ]


def _schedule(
    instance: dg.DagsterInstance,
    schedule: dg.ScheduleDefinition,
    states: list[InstigatorState],
    known: Mapping[str, Schedule],
    now: datetime,
) -> Schedule:
    last = _newest(instance, states, [*_WITHOUT_ERROR, TickStatus.FAILURE])
    last_run = _newest(instance, states, _WITHOUT_ERROR)
    before = known.get(schedule.name)
    cron, last_run_at = str(schedule.cron_schedule), _time_of(last_run)
    seen_at = before.seen_at if before and before.cron == cron else now if before else last_run_at or now
    return Schedule(
        schedule=schedule.name,
        cron=cron,
        is_on=_is_on(schedule, states),
        seen_at=seen_at,
        next_run_at=next_tick(cron, max(seen_at, last_run_at or seen_at)),
        last_run_at=last_run_at,
        last_tick_at=_time_of(last),
        last_status=None if last is None else _WORDS[last.status],
        error=_error(last),
    )


def _is_on(schedule: dg.ScheduleDefinition, states: list[InstigatorState]) -> bool:
    """Return whether the schedule runs: as people have set it or, where nobody has, as the code declares it."""
    if states:
        return any(state.is_running for state in states)
    return schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def _newest(
    instance: dg.DagsterInstance, states: list[InstigatorState], statuses: list[TickStatus]
) -> InstigatorTick | None:
    """Return the schedule's newest tick that ended so; Dagster has two states of a schedule whose code has moved."""
    found = [
        tick
        for state in states
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1, statuses=statuses)
    ]
    return max(found, key=lambda tick: tick.timestamp, default=None)


def _time_of(tick: InstigatorTick | None) -> datetime | None:
    return None if tick is None else datetime.fromtimestamp(tick.timestamp, UTC)


def _error(tick: InstigatorTick | None) -> str:
    """Return the kind of the error that ended the tick, without its text, which may quote rows."""
    error = tick.error if tick else None
    while error and error.cause:
        error = error.cause
    return error.cls_name or "Error" if error else ""
