"""One org's outcomes in numbers: those known, those on their way, and how many there will be on each day to come.

A lead counts from the day on which its outcome is known until it leaves the training window. So what is there now
shrinks while new outcomes come in, and at a slow pace there will never be enough. The database counts; here is the
arithmetic, pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from math import ceil
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from leadscore.records import HOLDOUT_SHARE, Window

PACE_DAYS = 56
SHORTEST_PACE_DAYS = 7  # for an org whose first lead came a moment ago
ROUNDING = 1e-9
COUNTS_QUERY = "SELECT leadscore.outcome_counts(%s, %s, %s, %s, %s, %s, %s)"

Floats = npt.NDArray[np.float64]


class Leads(msgspec.Struct, frozen=True):
    """So many `leads` of one outcome and one side of the split; what the `days` are, OutcomeCounts says."""

    leads: int
    days: int
    is_converted: bool
    is_held_out: bool


class OutcomeCounts(msgspec.Struct, frozen=True):
    """One org's leads in numbers. `age_days` is the age of its first lead, None without any.

    `records` are there now, by the days until they leave the training window. `arrivals` are the outcomes that became
    known in the last PACE_DAYS, by the days from creation to outcome. `open_leads` wait for theirs, by the days until
    it is known at the latest.
    """

    age_days: int | None
    records: tuple[Leads, ...] = ()
    arrivals: tuple[Leads, ...] = ()
    open_leads: tuple[Leads, ...] = ()

    @property
    def pace_days(self) -> int:
        """The days over which the pace is measured: the last PACE_DAYS, or all of a younger org's."""
        return PACE_DAYS if self.age_days is None else min(PACE_DAYS, max(SHORTEST_PACE_DAYS, self.age_days))


def counts_arguments(org_id: str, window: Window) -> list[Any]:
    """Return the arguments of the SQL function `leadscore.outcome_counts`, whose JSON OutcomeCounts describes."""
    as_of = window.as_of.astimezone(UTC).replace(tzinfo=None)
    days = (window.training_window_days, window.conversion_window_days)
    return [org_id, as_of, *days, list(window.conversion_statuses), window.landmark_days[0], PACE_DAYS]


@dataclass(frozen=True)
class Kind:
    """Which leads count: of one outcome and one side of the split or, with None, of either."""

    is_converted: bool | None = None
    is_held_out: bool | None = None

    @property
    def share(self) -> float:
        """The share of new leads, given their outcome, that the hash will put on this side."""
        return {None: 1.0, True: HOLDOUT_SHARE, False: 1 - HOLDOUT_SHARE}[self.is_held_out]

    def of_outcome(self, leads: Sequence[Leads]) -> list[Leads]:
        """Return those of the right outcome, on either side."""
        return [some for some in leads if self.is_converted in (None, some.is_converted)]

    def of_both(self, leads: Sequence[Leads]) -> list[Leads]:
        """Return those of the right outcome, on the right side."""
        return [some for some in self.of_outcome(leads) if self.is_held_out in (None, some.is_held_out)]


@dataclass(frozen=True)
class Course:
    """How many leads of a kind there will be: arrays of shape (training_window_days + 1,), an item per day from now.

    `by_pace` goes on as the last weeks went. `at_least` has the present leads alone, of which it is certain.
    `mean_days` is what the last weeks' outcomes took on average, `per_day` their pace; None and 0 without any.
    """

    have: int
    by_pace: Floats
    at_least: Floats
    per_day: float
    mean_days: float | None

    def first_day(self, needed: int) -> tuple[int | None, int | None]:
        """Return the days on which there will be `needed`: by the pace, and for certain; None for never."""
        return first(self.by_pace >= needed - ROUNDING), first(self.at_least >= needed - ROUNDING)

    def is_met(self, needed: int) -> npt.NDArray[np.bool_]:
        """Return on which days there will be `needed`, one way or the other."""
        met: npt.NDArray[np.bool_] = np.maximum(self.by_pace, self.at_least) >= needed - ROUNDING
        return met

    def window_days_for(self, needed: int) -> int | None:
        """Return a training window in which this pace keeps up `needed`, or None when nothing comes in."""
        if self.mean_days is None:
            return None
        return ceil(self.mean_days + needed / self.per_day - ROUNDING)


def course(kind: Kind, counts: OutcomeCounts, window: Window) -> Course:
    """Return how many leads of `kind` there are now and on each day until the training window has passed."""
    records, arrivals = kind.of_both(counts.records), kind.of_outcome(counts.arrivals)
    have, arrived = count(records), count(arrivals)
    staying = have - _up_to(records, window.training_window_days)
    certain = _ripened(counts.open_leads, window) if kind == Kind() else 0
    share_per_day = kind.share / counts.pace_days
    return Course(
        have=have,
        by_pace=staying + _arriving(arrivals, window.training_window_days) * share_per_day,
        at_least=staying + certain,
        per_day=arrived * share_per_day,
        mean_days=sum(some.leads * some.days for some in arrivals) / arrived if arrived else None,
    )


def first(holds: npt.NDArray[np.bool_]) -> int | None:
    """Return the first day of which it holds, or None."""
    days = np.flatnonzero(holds)
    return int(days[0]) if len(days) else None


def count(leads: Sequence[Leads]) -> int:
    """Return how many there are together."""
    return sum(some.leads for some in leads)


def _up_to(leads: Sequence[Leads], last_day: int) -> Floats:
    """Return, for each day from 0 to `last_day`, how many of `leads` have at most so many days."""
    days = np.clip([some.days for some in leads], 0, last_day + 1).astype(np.int64)
    on_day = np.bincount(days, weights=[some.leads for some in leads], minlength=last_day + 2)
    up_to: Floats = on_day.cumsum()[: last_day + 1]
    return up_to


def _arriving(arrivals: Sequence[Leads], window_days: int) -> Floats:
    """Return how many there will be if `arrivals` come in every day; each leaves when the window has passed it."""
    still_count = _up_to(arrivals, window_days)[:window_days][::-1]
    return np.concatenate([[0.0], still_count.cumsum()])


def _ripened(open_leads: Sequence[Leads], window: Window) -> Floats:
    """Return how many of the open leads will be records on each day if their outcomes take as long as they can."""
    ripe = _up_to(open_leads, window.training_window_days)
    stay_days = max(0, window.training_window_days - window.conversion_window_days)
    gone = np.concatenate([np.zeros(stay_days), ripe])[: len(ripe)]
    still_there: Floats = ripe - gone
    return still_there
