"""Readiness: has an org enough data for a model, and when will it, at the pace of the last weeks, in figures and words.

What is counted, and how it goes on, stands in `outcomes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import msgspec
import numpy as np

from leadscore.outcomes import PACE_DAYS, Course, Kind, OutcomeCounts, count, course, first
from leadscore.records import Window

LONGEST_WINDOW_DAYS = 3_650  # what TRAINING_WINDOW_DAYS may be at most


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
        said = f"{its.have} of {one.needed} {one.words}"
        if day != 0:
            said = f"{said}; {self._forecast(one, its)}"
        return Need(one.what, its.have, one.needed, self.day(day), said)

    def _forecast(self, one: _Needed, its: Course) -> str:
        by_pace, certain = its.first_day(one.needed)
        if certain is not None and (by_pace is None or certain < by_pace):
            waiting = f"{count(self.counts.open_leads)} open leads have theirs within the conversion window"
            return f"{waiting}, so {one.needed} are certain by {self.day(certain)}"
        if self.counts.age_days is None:
            return "the org has no leads yet, so no date can be told"
        if not its.per_day:
            return f"{one.none_came} in the {self._span}, so no date can be told"
        pace = f"{_rate(7 * its.per_day)} become known a week ({self._span})"
        if by_pace is not None:
            return f"{pace}, so {one.needed} are expected about {self.day(by_pace)}"
        most = int(max(its.by_pace.max(), its.at_least.max()))
        return f"{pace}, so never more than {most} at this pace, since {self._remedy([(one, its)])}"

    @property
    def _span(self) -> str:
        days = self.counts.pace_days
        return f"last {PACE_DAYS // 7} weeks" if days == PACE_DAYS else f"last {days} days"

    def _remedy(self, pairs: Sequence[tuple[_Needed, Course]]) -> str:
        """Say why needs are never met, or not kept, and which training window would do, if any."""
        reason = f"leads count for {self.window.training_window_days} days only"
        longer = [its.window_days_for(one.needed) for one, its in pairs]
        window_days = max(days or LONGEST_WINDOW_DAYS + 1 for days in longer)
        if window_days > LONGEST_WINDOW_DAYS:
            return f"{reason}, and no longer TRAINING_WINDOW_DAYS would do"
        return f"{reason}; TRAINING_WINDOW_DAYS={window_days} would do"

    def plan(
        self, wanted: Sequence[_Needed], courses: Sequence[Course], needs: Sequence[Need], expected_on: date | None
    ) -> str:
        """Return what is missing and when it will be there, one sentence for each thing that is missing."""
        told = _told(needs)
        if not self.counts.arrivals and not any(need.expected_on for need in told):
            return f"{told[0].message}."
        sentences = [need.message for need in told]
        days = [need.expected_on for need in told]
        if expected_on and (len(told) > 1 or expected_on not in days):
            sentences.append(f"All together it is expected about {expected_on}")
        elif not expected_on and all(days):
            remedy = self._remedy(list(zip(wanted, courses, strict=True)))
            sentences.append(f"At this pace it is never there all together, since {remedy}")
        return ". ".join(sentences) + "."


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
    return f"{per_week:.1f}" if per_week >= 1 else f"{per_week:.2g}"
