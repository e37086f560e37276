"""The moments by which the schedules should have done their work, in UTC.

The schedules' times are cron expressions, which Dagster reads.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

from dagster._utils.schedules import cron_string_iterator, reverse_cron_string_iterator

from leadscore.settings import Settings
from leadscore_assets.health.attention import Deadlines

# a schedule's work for all orgs may take this long after its time
GRACE = timedelta(hours=2)
# one may pass an org by: it had no new outcomes yet, or its run was lost that night; two in a row are no accident
MISSED_TRAININGS = 2


def deadlines(settings: Settings, now: datetime) -> Deadlines:
    """Return the moments that an org's scores, and its last training, must not be older than."""
    return Deadlines(
        scores=scores_due_since(settings, now),
        trainings=last_tick(settings.retrain_schedule, now - GRACE, MISSED_TRAININGS),
    )


def scores_due_since(settings: Settings, now: datetime) -> datetime:
    """Return the moment that the newest scores must not be older than; AS_OF when that is earlier."""
    due = last_tick(settings.score_schedule, now - GRACE)
    return min(due, settings.as_of or due)


def last_tick(cron: str, until: datetime, count: int = 1) -> datetime:
    """Return the schedule's last time until then or, with `count`, the last but one and so on."""
    ticks = (tick for tick in reverse_cron_string_iterator(until.timestamp(), cron, "UTC") if tick <= until)
    return next(islice(ticks, count - 1, None)).astimezone(UTC)


def next_tick(cron: str, after: datetime) -> datetime:
    """Return the schedule's first time after that."""
    ticks = cron_string_iterator(after.timestamp(), cron, "UTC")
    return next(tick for tick in ticks if tick > after).astimezone(UTC)
