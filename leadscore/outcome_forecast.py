"""Forecasts one org's outcomes: how many are known, how many are pending, and how many there will be on each day.

A lead counts from the day on which its outcome is known until it leaves the training window. So the present records
become fewer while new outcomes come in, and at a slow pace there will never be enough. The database counts the leads;
this module only computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

import msgspec
import numpy as np

from leadscore.arrays import Flags, Floats
from leadscore.records import HOLDOUT_SHARE, RecordCounts, Window, outcome_parameters

PACE_DAYS = 56
SHORTEST_PACE_DAYS = 7  # for an org whose first lead came a moment ago
ROUNDING = 1e-9


class LeadCount(msgspec.Struct, frozen=True):
    """So many `leads` of one outcome and one side of the split; OutcomeCounts says what its `days` are."""

    leads: int
    days: int
    is_converted: bool
    is_held_out: bool


class LastRun(msgspec.Struct, frozen=True):
    """The counts of an org's last run that checked its rows against the contract, and when they were stored."""

    stored_at: datetime
    counts: RecordCounts


class OutcomeCounts(msgspec.Struct, frozen=True):
    """One org's leads in numbers. `age_days` is the age of its first lead, None when it has none.

    `records` are the leads with a known outcome; their `days` are those until they leave the training window.
    `arrivals` are the leads whose outcome became known in the last PACE_DAYS; their `days` are those from creation to
    outcome. `open_leads` have no outcome yet; their `days` are those until it is known at the latest. `last_run` is
    None before the first run.
    """

    age_days: int | None
    records: tuple[LeadCount, ...] = ()
    arrivals: tuple[LeadCount, ...] = ()
    open_leads: tuple[LeadCount, ...] = ()
    last_run: LastRun | None = None

    @property
    def pace_days(self) -> int:
        """The days over which the pace is measured: the last PACE_DAYS, or all of a younger org's."""
        return PACE_DAYS if self.age_days is None else min(PACE_DAYS, max(SHORTEST_PACE_DAYS, self.age_days))


def counts_query(org_id: str, window: Window) -> tuple[str, list[Any]]:
    """Return the query for one org's OutcomeCounts as JSON, and its arguments, as psycopg takes them."""
    arguments = [*outcome_parameters(window).values(), PACE_DAYS]
    return f"SELECT {_counts_of('%s', arguments)}", [org_id, *arguments]


def counts_of_orgs_query(org_ids: Sequence[str], window: Window) -> tuple[str, list[Any]]:
    """Return the query for the orgs' ids with their OutcomeCounts as JSON, and its arguments.

    It looks each org up by the index that starts with org_id. One pass over the leads of all orgs is no faster: 8.5 s
    for 1,000 orgs of 200 leads, and looking them up takes 8 to 10 ms each.
    """
    arguments = [*outcome_parameters(window).values(), PACE_DAYS]
    counts = _counts_of("asked.org_id", arguments)
    return f"SELECT asked.org_id, {counts} FROM unnest(%s::text[]) AS asked (org_id)", [*arguments, list(org_ids)]  # noqa: S608 (ours)


def _counts_of(org_id: str, arguments: Sequence[Any]) -> str:
    return f"leadscore.outcome_counts({', '.join([org_id, *['%s'] * len(arguments)])})"


@dataclass(frozen=True)
class LeadFilter:
    """Lets through the leads of one outcome and of one side of the split or, with None, of both."""

    is_converted: bool | None = None
    is_held_out: bool | None = None

    @property
    def share(self) -> float:
        """The share of new leads, given their outcome, that the hash will put on this side."""
        return {None: 1.0, True: HOLDOUT_SHARE, False: 1 - HOLDOUT_SHARE}[self.is_held_out]

    def of_outcome(self, counts: Sequence[LeadCount]) -> list[LeadCount]:
        """Return the counts of leads with the right outcome, on either side."""
        return [count for count in counts if self.is_converted in (None, count.is_converted)]

    def of_both(self, counts: Sequence[LeadCount]) -> list[LeadCount]:
        """Return the counts of leads with the right outcome, on the right side."""
        return [count for count in self.of_outcome(counts) if self.is_held_out in (None, count.is_held_out)]


@dataclass(frozen=True)
class Course:
    """How many leads a filter lets through on each day from now: arrays of shape (training_window_days + 1,).

    `by_pace` expects new outcomes at the pace of the last weeks. `at_least` counts the present leads alone, and is
    certain. `mean_days` is how long the outcomes of the last weeks took on average, None when there were none;
    `leads_per_day` is their pace.
    """

    have: int
    by_pace: Floats
    at_least: Floats
    leads_per_day: float
    mean_days: float | None

    def first_days(self, needed: int) -> tuple[int | None, int | None]:
        """Return the first day with `needed` leads by the pace, and the first such day for certain; None for never."""
        return first_day(self.by_pace >= needed - ROUNDING), first_day(self.at_least >= needed - ROUNDING)

    def is_met(self, needed: int) -> Flags:
        """Return on which days there are `needed` leads, by the pace or for certain."""
        met: Flags = np.maximum(self.by_pace, self.at_least) >= needed - ROUNDING
        return met

    def window_days_for(self, needed: int) -> int | None:
        """Return the training window in which this pace keeps up `needed` leads; None without a pace."""
        if self.mean_days is None:
            return None
        return ceil(self.mean_days + needed / self.leads_per_day - ROUNDING)


def course(leads: LeadFilter, counts: OutcomeCounts, window: Window) -> Course:
    """Return how many `leads` there are now and on each day until the training window has passed."""
    records, arrivals = leads.of_both(counts.records), leads.of_outcome(counts.arrivals)
    have, arrived = total(records), total(arrivals)
    staying = have - _up_to(records, window.training_window_days)
    # on which side of the split an open lead stands, and what becomes of it, is not known yet
    ripened = _ripened(counts.open_leads, window) if leads == LeadFilter() else 0
    share_per_day = leads.share / counts.pace_days
    return Course(
        have=have,
        by_pace=staying + _arriving(arrivals, window.training_window_days) * share_per_day,
        at_least=staying + ripened,
        leads_per_day=arrived * share_per_day,
        mean_days=sum(count.leads * count.days for count in arrivals) / arrived if arrived else None,
    )


def first_day(holds: Flags) -> int | None:
    """Return the first day on which `holds` is true, or None when it never is."""
    days = np.flatnonzero(holds)
    return int(days[0]) if len(days) else None


def total(counts: Sequence[LeadCount]) -> int:
    """Return the number of leads in all `counts`."""
    return sum(count.leads for count in counts)


def _up_to(counts: Sequence[LeadCount], last_day: int) -> Floats:
    """Return, for each day from 0 to `last_day`, the number of leads with at most that many days."""
    days = np.clip([count.days for count in counts], 0, last_day + 1).astype(np.int64)
    on_day = np.bincount(days, weights=[count.leads for count in counts], minlength=last_day + 2)
    up_to: Floats = on_day.cumsum()[: last_day + 1]
    return up_to


def _arriving(arrivals: Sequence[LeadCount], window_days: int) -> Floats:
    """Return how many leads there will be if `arrivals` come in every day and leave after `window_days`."""
    still_count = _up_to(arrivals, window_days)[:window_days][::-1]
    return np.concatenate([[0.0], still_count.cumsum()])


def _ripened(open_leads: Sequence[LeadCount], window: Window) -> Floats:
    """Return how many open leads are records on each day if each outcome takes the whole conversion window."""
    ripe = _up_to(open_leads, window.training_window_days)
    stay_days = max(0, window.training_window_days - window.conversion_window_days)
    gone = np.concatenate([np.zeros(stay_days), ripe])[: len(ripe)]
    still_there: Floats = ripe - gone
    return still_there
