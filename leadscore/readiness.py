"""Readiness: whether an org has enough data for a training and, if not, when it will, at the pace of the last weeks.

`requirements` lists what a training needs, and `outcome_forecast` predicts the number of leads on each day. This module
puts both into sentences. It counts leads, and cannot see values that break the feature contract: it knows those of the
last run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import msgspec
import numpy as np

from leadscore.arrays import Flags
from leadscore.left_out import CORRECT_VALUES, EXCLUDED, FEW, causes_of, rows_in_words
from leadscore.outcome_forecast import PACE_DAYS, Course, LastRun, LeadFilter, OutcomeCounts, course, first_day, total
from leadscore.records import Window
from leadscore.requirements import Requirement, requirement_of_records

LONGEST_WINDOW_DAYS = 3_650  # what TRAINING_WINDOW_DAYS may be at most
STILL_RISES = "the pace of so young an org is still rising"
MANY_WEEKS = 10  # from here on, tenths of a week do not matter

NOTHING_CAME = {
    None: "no lead's outcome became known",
    True: "no lead converted",
    False: "no lead turned out not to convert",
}


class Need(msgspec.Struct, frozen=True):
    """One requirement of a training in figures, and the day (UTC) on which it is expected to be met.

    The day is the present day when the requirement is already met, and None when no day can be given; `message` says
    why.
    """

    what: str
    have: int
    needed: int
    expected_on: date | None
    message: str


class Pace(msgspec.Struct, frozen=True):
    """How many outcomes became known per week over the last `days`, and how many of them are conversions."""

    days: int
    records_per_week: float
    converted_per_week: float


class Readiness(msgspec.Struct, frozen=True):
    """Whether an org has enough data at `as_of`, and the day (UTC) on which it is expected to, or None.

    `has_enough` is about the CRM's leads alone; `is_ready` is false, too, when the last run lost too many of them.
    `plan` is the message without the last run, empty when that run is all that is wrong.
    """

    as_of: datetime
    is_ready: bool
    has_enough: bool
    needs: tuple[Need, ...]
    pace: Pace
    expected_on: date | None
    plan: str
    message: str
    last_run: LastRun | None

    def added_to(self, refusal: str, *, is_of_a_run: bool = True) -> str:
        """Return the text of a refusal with the plan appended; that of a run itself names what the run left out."""
        text = self.plan if is_of_a_run else self.message
        return f"{refusal} As of {self.as_of:%Y-%m-%d}: {text}" if text else refusal


def assess(counts: OutcomeCounts, window: Window, requirements: Sequence[Requirement]) -> Readiness:
    """Return whether `counts` meet all `requirements`, and when they will if they do not."""
    prospects = [_Prospect(each, course(each.leads, counts, window)) for each in requirements]
    as_of = window.as_of.astimezone(UTC)
    plan = _Plan(as_of.date(), counts, window)
    needs = tuple(plan.need(prospect) for prospect in prospects)
    all_met = np.logical_and.reduce([prospect.is_met() for prospect in prospects])
    expected_on = plan.day(first_day(all_met))
    has_enough = bool(all_met[0])
    text = _enough(prospects) if has_enough else plan.text(prospects, expected_on)
    readiness = Readiness(
        as_of=as_of,
        is_ready=has_enough,
        has_enough=has_enough,
        needs=needs,
        pace=_pace(counts),
        expected_on=expected_on,
        plan=text,
        message=text,
        last_run=None,
    )
    # an org that has no leads any more is answered as one that never had any
    if counts.last_run is None or counts.age_days is None:
        return readiness
    return _with_last_run(readiness, counts.last_run, requirement_of_records(requirements))


def _with_last_run(readiness: Readiness, last_run: LastRun, requirement: Requirement) -> Readiness:
    """Return the readiness with what the last run left out: an obstacle if it left too few records, else notes."""
    counts, message = last_run.counts, readiness.message
    readiness = msgspec.structs.replace(readiness, last_run=last_run)
    if readiness.has_enough and counts.records < requirement.needed <= counts.read_records:
        [have] = [need.have for need in readiness.needs if need.what == requirement.name]
        message = f"{have} {requirement.text} would be enough, but {_obstacle(last_run, requirement.needed)}"
        return msgspec.structs.replace(readiness, is_ready=False, expected_on=None, plan="", message=message)
    notes = [] if readiness.has_enough else _excluded(last_run)
    if counts.set_aside_rows > FEW * counts.read_rows:
        notes.append(f"In {_rows_of(last_run)}; these rows were set aside.")
    return msgspec.structs.replace(readiness, message=" ".join([message, *notes]))


def _excluded(last_run: LastRun) -> list[str]:
    """Return a note for each reason for which the last run excluded many leads, if there is a remedy."""
    causes = [cause for cause in causes_of(last_run.counts) if cause.code == EXCLUDED and cause.remedy]
    return [f"The last run, of {_day(last_run)}, found that {cause.message}. {cause.remedy}." for cause in causes]


def _obstacle(last_run: LastRun, needed: int) -> str:
    left = f"{last_run.counts.records} of {last_run.counts.read_records} records were left ({needed} needed)"
    return f"in {_rows_of(last_run)}, and {left}. {CORRECT_VALUES}; then train again; the run checks the values again."


def _rows_of(last_run: LastRun) -> str:
    return f"the last run, of {_day(last_run)}, {rows_in_words(last_run.counts, is_past=True)}"


def _day(last_run: LastRun) -> str:
    return f"{last_run.stored_at.astimezone(UTC):%Y-%m-%d}"


def _pace(counts: OutcomeCounts) -> Pace:
    known, converted = (
        total(leads.of_outcome(counts.arrivals)) for leads in (LeadFilter(), LeadFilter(is_converted=True))
    )
    weeks = counts.pace_days / 7
    return Pace(counts.pace_days, round(known / weeks, 2), round(converted / weeks, 2))


@dataclass(frozen=True)
class _Prospect:
    """A requirement, and how many of its leads there will be on each day."""

    requirement: Requirement
    course: Course

    @property
    def needed(self) -> int:
        return self.requirement.needed

    @property
    def needed_leads(self) -> str:
        """The needed number with its verb."""
        return "one is" if self.needed == 1 else f"{self.needed} are"

    def is_met(self) -> Flags:
        """Return on which days the requirement is met."""
        return self.course.is_met(self.needed)


@dataclass(frozen=True)
class _Plan:
    """Words the plan of one org on one day."""

    today: date
    counts: OutcomeCounts
    window: Window

    def day(self, days: int | None) -> date | None:
        """Return the date that many days from now."""
        return None if days is None else self.today + timedelta(days=days)

    def need(self, prospect: _Prospect) -> Need:
        """Return a requirement in figures, with its day and its sentence."""
        requirement, have = prospect.requirement, prospect.course.have
        days = first_day(prospect.is_met())
        message = f"{have} {requirement.text} ({requirement.needed} needed)"
        if days != 0:
            message = f"{have} of {requirement.needed} {requirement.text}; {self._forecast(prospect)}"
        return Need(requirement.name, have, requirement.needed, self.day(days), message)

    def _forecast(self, prospect: _Prospect) -> str:
        """Return when a requirement will be met, or why no day can be given."""
        leads = prospect.course
        by_pace, certain = leads.first_days(prospect.needed)
        if certain is not None and (by_pace is None or certain < by_pace):
            waiting = f"{total(self.counts.open_leads)} open leads will have an outcome within the conversion window"
            return f"{waiting}, so {prospect.needed_leads} certain by {self.day(certain)}"
        if self.counts.age_days is None:
            return "the org has no leads yet, so no date can be given"
        if not leads.leads_per_day:
            return (
                f"{NOTHING_CAME[prospect.requirement.leads.is_converted]} in the {self._span}, so no date can be given"
            )
        pace = f"{_rate(7 * leads.leads_per_day)} ({self._span})"
        if by_pace is not None:
            sooner = f" or sooner, since {STILL_RISES}" if self._is_young else ""
            return f"{pace}, so {prospect.needed_leads} expected about {self.day(by_pace)}{sooner}"
        if self._is_young:
            return f"{pace}; no date can be given yet, since {STILL_RISES}"
        most = int(max(leads.by_pace.max(), leads.at_least.max()))
        return f"{pace}, so there will never be more than {most} at a time"

    @property
    def _is_young(self) -> bool:
        """Whether the org's first leads may still be open, so that the pace is lower than it will be."""
        return (self.counts.age_days or 0) < self.window.conversion_window_days

    @property
    def _span(self) -> str:
        days = self.counts.pace_days
        return f"last {PACE_DAYS // 7} weeks" if days == PACE_DAYS else f"last {days} days"

    def text(self, prospects: Sequence[_Prospect], expected_on: date | None) -> str:
        """Return a sentence for each unmet requirement: what is missing, and when it is expected."""
        unmet = [self.need(prospect) for prospect in _first_unmet_of_each_outcome(prospects)]
        if not self.counts.arrivals and not any(need.expected_on for need in unmet):
            return f"{unmet[0].message}."
        sentences = [need.message for need in unmet]
        sentences += self._together(unmet, expected_on) + self._remedy(prospects, expected_on)
        return ". ".join(sentences) + "."

    def _together(self, unmet: Sequence[Need], expected_on: date | None) -> list[str]:
        """Return a sentence about all requirements together, unless those about each already say it."""
        days = [need.expected_on for need in unmet]
        if expected_on:
            return (
                []
                if days == [expected_on]
                else [f"All requirements together are expected to be met about {expected_on}"]
            )
        return ["At this pace the requirements are never all met at the same time"] if all(days) else []

    def _remedy(self, prospects: Sequence[_Prospect], expected_on: date | None) -> list[str]:
        """Return a sentence about the training window when it is too short."""
        if expected_on or self._is_young:
            return []
        window_days = [prospect.course.window_days_for(prospect.needed) for prospect in prospects]
        longest, present = max(days or 0 for days in window_days), self.window.training_window_days
        if longest <= present:
            return []
        if longest > LONGEST_WINDOW_DAYS:
            return [f"Leads count for only {present} days, and no TRAINING_WINDOW_DAYS would be long enough"]
        return [f"Leads count for only {present} days; TRAINING_WINDOW_DAYS={longest} would be long enough"]


def _first_unmet_of_each_outcome(prospects: Sequence[_Prospect]) -> list[_Prospect]:
    """Return the unmet prospects, one per outcome: in the holdout or, if that is met, outside it."""
    unmet: dict[bool | None, _Prospect] = {}
    for prospect in prospects:
        if prospect.course.have < prospect.needed:
            unmet.setdefault(prospect.requirement.leads.is_converted, prospect)
    return list(unmet.values())


def _enough(prospects: Sequence[_Prospect]) -> str:
    have = {prospect.requirement.name: prospect.course.have for prospect in prospects}
    needed = {prospect.requirement.name: prospect.needed for prospect in prospects}
    return (
        f"{have['records']} records with a known outcome ({needed['records']} needed); in the holdout"
        f" {have['converted_in_holdout']} converted and {have['unconverted_in_holdout']} unconverted leads"
        f" ({needed['converted_in_holdout']} of each needed). This is enough for a training."
    )


def _rate(leads_per_week: float) -> str:
    if leads_per_week >= 1:
        return f"{leads_per_week:.1f} become known a week"
    weeks = 1 / leads_per_week
    return f"one becomes known every {weeks:.{1 if weeks < MANY_WEEKS else 0}f} weeks"
