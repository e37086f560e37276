"""Readiness: has an org enough data for a model, and when will it, at the pace of the last weeks, in figures and words.

What is counted, and how it goes on, stands in `outcomes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import msgspec
import numpy as np

from leadscore.outcome_forecast import PACE_DAYS, Course, Kind, OutcomeCounts, count, course, first
from leadscore.records import Window

LONGEST_WINDOW_DAYS = 3_650  # what TRAINING_WINDOW_DAYS may be at most
STILL_RISES = "the pace of so young an org still rises"
MANY_WEEKS = 10  # tenths of a week say nothing any more


class Need(msgspec.Struct, frozen=True):
    """One thing that a training needs: how many there are of how many, and the day (UTC) on which they will do.

    That is the present day when they do already, and None when no day can be told; `message` says why.
    """

    what: str
    have: int
    needed: int
    expected_on: date | None
    message: str


class Pace(msgspec.Struct, frozen=True):
    """How many outcomes became known a week, and conversions among them, over the last `days`."""

    days: int
    records_per_week: float
    converted_per_week: float


class Readiness(msgspec.Struct, frozen=True):
    """Whether an org has enough data at `as_of`, and the day (UTC) on which it is expected to; None for no such day."""

    as_of: datetime
    is_ready: bool
    needs: tuple[Need, ...]
    pace: Pace
    expected_on: date | None
    message: str

    def added_to(self, refusal: str) -> str:
        """Return the text of a refusal with the plan behind it."""
        return f"{refusal} As of {self.as_of:%Y-%m-%d}: {self.message}"


@dataclass(frozen=True)
class _Needed:
    """What is needed: which leads, how many, in words, and the words for a time without any."""

    what: str
    kind: Kind
    needed: int
    words: str
    none_came: str

    @property
    def amount(self) -> str:
        """The number with its verb."""
        return "one is" if self.needed == 1 else f"{self.needed} are"


def assess(counts: OutcomeCounts, window: Window, *, min_records: int, min_holdout_per_class: int) -> Readiness:
    """Return whether `counts` are enough for the gate not to refuse, and the plan when they are not."""
    wanted = _wanted(min_records, min_holdout_per_class)
    courses = [course(one.kind, counts, window) for one in wanted]
    as_of = window.as_of.astimezone(UTC)
    words = _Words(as_of.date(), counts, window)
    needs = tuple(words.need(one, its) for one, its in zip(wanted, courses, strict=True))
    all_met = np.logical_and.reduce([its.is_met(one.needed) for one, its in zip(wanted, courses, strict=True)])
    expected_on = words.day(first(all_met))
    is_ready = bool(all_met[0])
    return Readiness(
        as_of=as_of,
        is_ready=is_ready,
        needs=needs,
        pace=_pace(counts),
        expected_on=expected_on,
        message=_ready(needs) if is_ready else words.plan(wanted, courses, needs, expected_on),
    )


def _pace(counts: OutcomeCounts) -> Pace:
    known, converted = (count(kind.of_outcome(counts.arrivals)) for kind in (Kind(), Kind(is_converted=True)))
    weeks = counts.pace_days / 7
    return Pace(counts.pace_days, round(known / weeks, 2), round(converted / weeks, 2))


def _wanted(min_records: int, min_holdout_per_class: int) -> tuple[_Needed, ...]:
    """Return what the gate needs to judge a version, and a fit to be possible at all."""
    wanted = [_Needed("records", Kind(), min_records, "records with a known outcome", "no lead's outcome became known")]
    for outcome, none_came in (("converted", "no lead converted"), ("unconverted", "no lead was known not to convert")):
        for side, needed in (("in", min_holdout_per_class), ("outside", 1)):
            kind = Kind(outcome == "converted", side == "in")
            words = f"{outcome} leads {side} the holdout"
            wanted.append(_Needed(f"{outcome}_{side}_holdout", kind, needed, words, none_came))
    return tuple(wanted)


@dataclass(frozen=True)
class _Words:
    """The sentences, on one day, about one org's counts."""

    today: date
    counts: OutcomeCounts
    window: Window

    def day(self, days: int | None) -> date | None:
        """Return the date so many days from now."""
        return None if days is None else self.today + timedelta(days=days)

    def need(self, one: _Needed, its: Course) -> Need:
        """Return a need in figures, with its day and its sentence."""
        day = first(its.is_met(one.needed))
        said = f"{its.have} {one.words} ({one.needed} needed)"
        if day != 0:
            said = f"{its.have} of {one.needed} {one.words}; {self._forecast(one, its)}"
        return Need(one.what, its.have, one.needed, self.day(day), said)

    def _forecast(self, one: _Needed, its: Course) -> str:
        by_pace, certain = its.first_day(one.needed)
        if certain is not None and (by_pace is None or certain < by_pace):
            waiting = f"{count(self.counts.open_leads)} open leads have theirs within the conversion window"
            return f"{waiting}, so {one.amount} certain by {self.day(certain)}"
        if self.counts.age_days is None:
            return "the org has no leads yet, so no date can be told"
        if not its.per_day:
            return f"{one.none_came} in the {self._span}, so no date can be told"
        pace = f"{_rate(7 * its.per_day)} ({self._span})"
        if by_pace is not None:
            sooner = f" or sooner: {STILL_RISES}" if self._is_young else ""
            return f"{pace}, so {one.amount} expected about {self.day(by_pace)}{sooner}"
        if self._is_young:
            return f"{pace}; no date can be told yet, since {STILL_RISES}"
        most = int(max(its.by_pace.max(), its.at_least.max()))
        return f"{pace}, so at this pace at most {most} at a time"

    @property
    def _is_young(self) -> bool:
        """Whether the first leads may still wait for their outcome, so that fewer become known than come in."""
        return (self.counts.age_days or 0) < self.window.conversion_window_days

    @property
    def _span(self) -> str:
        days = self.counts.pace_days
        return f"last {PACE_DAYS // 7} weeks" if days == PACE_DAYS else f"last {days} days"

    def plan(
        self, wanted: Sequence[_Needed], courses: Sequence[Course], needs: Sequence[Need], expected_on: date | None
    ) -> str:
        """Return what is missing and when it will be there, one sentence for each thing that is missing."""
        told = _told(needs)
        if not self.counts.arrivals and not any(need.expected_on for need in told):
            return f"{told[0].message}."
        sentences = [need.message for need in told]
        sentences += self._together(told, expected_on) + self._remedy(wanted, courses, expected_on)
        return ". ".join(sentences) + "."

    def _together(self, told: Sequence[Need], expected_on: date | None) -> list[str]:
        """Return a sentence about all needs at once, where those about each leave it open."""
        days = [need.expected_on for need in told]
        if expected_on:
            is_said = days == [expected_on]
            return [] if is_said else [f"All together it is expected about {expected_on}"]
        return ["At this pace it is never there all together"] if all(days) else []

    def _remedy(self, wanted: Sequence[_Needed], courses: Sequence[Course], expected_on: date | None) -> list[str]:
        """Return a sentence about the training window when a longer one would keep what comes in long enough."""
        if expected_on or self._is_young:
            return []
        window_days = [its.window_days_for(one.needed) for one, its in zip(wanted, courses, strict=True)]
        longest, present = max(days or 0 for days in window_days), self.window.training_window_days
        if longest <= present:
            return []
        if longest > LONGEST_WINDOW_DAYS:
            return [f"Leads count for {present} days only, and no TRAINING_WINDOW_DAYS is long enough"]
        return [f"Leads count for {present} days only; TRAINING_WINDOW_DAYS={longest} would be long enough"]


def _told(needs: Sequence[Need]) -> list[Need]:
    """Return the needs that are not met; of one outcome's, the first says enough."""
    unmet = {need.what.split("_")[0]: need for need in reversed(needs) if need.have < need.needed}
    return list(reversed(unmet.values()))


def _ready(needs: Sequence[Need]) -> str:
    records, converted, _, unconverted, _ = needs
    return (
        f"{records.have} records with a known outcome ({records.needed} needed); in the holdout"
        f" {converted.have} converted and {unconverted.have} unconverted leads ({converted.needed} of each needed):"
        " enough for a training."
    )


def _rate(per_week: float) -> str:
    if per_week >= 1:
        return f"{per_week:.1f} become known a week"
    weeks = 1 / per_week
    return f"one becomes known every {weeks:.{1 if weeks < MANY_WEEKS else 0}f} weeks"
