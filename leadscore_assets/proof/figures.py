"""Makes an org's figures of live proof from its judged scores and the state of its evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, timedelta
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np

from leadscore.arrays import Flags, Ints, Texts
from leadscore.live_performance import Capacity, Group, LivePerformance, LiveState, Outcomes, VersionOutcomes
from leadscore.pooling import Scope
from leadscore.records import Window
from leadscore_assets.proof import words
from leadscore_assets.proof.judged_scores import Judged
from leadscore_assets.proof.process import ALL_VERSIONS, Process
from leadscore_assets.proof.promises import Promises
from leadscore_assets.proof.quality import gain_over, outcomes_of, quality_of

# of so many mature leads, the alarm names a ranking that is lost or a rate that is halved in nearly every org
# (`python -m benchmarks.models.live_proof`)
JUDGEABLE_LEADS = 250
DAY = timedelta(days=1)
Pending = Sequence[tuple[date, int]]


class Findings(NamedTuple):
    """What is known of an org's scores: those judged, the evidence by version, and the leads that are not mature.

    `processes` has that of all scores under ALL_VERSIONS. `weekly_capacity` is None where the org set none, and
    `active` where no version of its own is.
    """

    org_id: str
    window: Window
    scores: Judged
    processes: Mapping[str, Process]
    pending: Pending
    weekly_capacity: int | None
    active: str | None = None

    @property
    def process(self) -> Process:
        """The process of all scores."""
        return self.processes.get(ALL_VERSIONS, Process())


def live_performance(found: Findings, promises: Promises) -> LivePerformance:
    """Return an org's figures, and what they mean in words."""
    process, state = found.process, _state(found)
    figures = LivePerformance(
        org_id=found.org_id,
        as_of=found.window.as_of.astimezone(UTC),
        state=state,
        in_words="",
        judged_through=process.through,
        judgeable_on=_judgeable_on(found) if state == "too_young" else None,
        alarmed_on=process.alarmed_on if state == "alarm" else None,
        evidence=process.alarm if state == "alarm" else process.evidence if found.scores.leads else None,
    )
    if found.scores.leads:
        figures = msgspec.structs.replace(figures, **_groups_of(found), versions=_versions(found, promises))
    return words.said(figures, found.scores, found.active)


def _state(found: Findings) -> LiveState:
    is_judgeable = found.process.leads >= JUDGEABLE_LEADS
    if found.process.alarm is not None and not is_judgeable:
        return "alarm"
    if is_judgeable:
        return "fine"
    return "too_young" if found.scores.leads or found.pending else "no_scores"


def _judgeable_on(found: Findings) -> date | None:
    """Return the day on which there will be enough mature leads: counted, then at the pace of the last leads."""
    missing, waiting = JUDGEABLE_LEADS - found.process.leads, sum(leads for _, leads in found.pending)
    mature_after = (found.window.conversion_window_days + 1) * DAY
    for day, leads in found.pending:
        missing -= leads
        if missing <= 0:
            return day + mature_after
    if not waiting:
        return None
    today = found.window.as_of.astimezone(UTC).date()
    days_of_pace = max(1, (today - found.pending[0][0]).days)
    return today + mature_after + math.ceil(missing * days_of_pace / waiting) * DAY


def _groups_of(found: Findings) -> dict[str, Any]:
    """Return the fields of LivePerformance that count groups of leads."""
    scores, first = found.scores, found.scores.first
    months = first.created_on.astype("datetime64[M]").astype(str)
    return {
        "overall": outcomes_of(first.probability, first.is_converted),
        "quality": quality_of(scores.probability, scores.is_converted, scores.lead),
        "by_grade": _groups(first, first.grade),
        "by_month": _groups(first, months),
        "by_age": _groups(scores, scores.landmark_days, name="{} days"),
        "capacity": _capacity(first, found.weekly_capacity),
    }


def _groups(scores: Judged, names: Texts | Ints, name: str = "{}") -> list[Group]:
    """Return the outcomes for each name but the empty one, in their order; no group has a lead twice."""
    return [
        Group(name.format(each), _outcomes(scores, names == each)) for each in np.unique(names).tolist() if each != ""
    ]


def _outcomes(scores: Judged, chosen: Flags) -> Outcomes:
    return outcomes_of(scores.probability[chosen], scores.is_converted[chosen])


def _capacity(first: Judged, weekly_capacity: int | None) -> Capacity | None:
    """Return how the leads named first did: the best of each week's new leads or, without a capacity, grade A.

    Leads without a grade were not named by it, nor left out.
    """
    if weekly_capacity is None:
        first = first.where(first.grade != "")
        is_named, by = first.grade == "A", "grade A"
    else:
        is_named, by = _best_of_each_week(first, weekly_capacity), f"the best {weekly_capacity} new leads of each week"
    if int(is_named.sum()) in (0, len(is_named)):
        return None
    return Capacity(by, _outcomes(first, is_named), _outcomes(first, ~is_named))


def _best_of_each_week(first: Judged, capacity: int) -> Flags:
    week = first.created_on.astype(np.int64) // 7
    order = np.lexsort((-first.probability, week))
    starts = np.flatnonzero(np.diff(week[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    is_best = np.zeros(len(order), bool)
    is_best[order] = place < capacity
    return is_best


def _versions(found: Findings, promises: Promises) -> list[VersionOutcomes]:
    """Return the versions that scored leads, the newest first, then those whose scores nobody saw."""
    scores = found.scores
    served = sorted(set(scores.version.tolist()), reverse=True)
    shadows = sorted({*scores.held_version.tolist(), *scores.previous_version.tolist()} - {""}, reverse=True)
    return [
        *(_served(found, version, promises) for version in served),
        *(_shadow(found, version, promises) for version in shadows),
    ]


def _served(found: Findings, version: str, promises: Promises) -> VersionOutcomes:
    scores = found.scores.where(found.scores.version == version)
    process = found.processes.get(version, Process())
    outcomes = _version(found.org_id, version, str(scores.scope[0]), scores, promises)
    return msgspec.structs.replace(outcomes, evidence=process.evidence)


def _shadow(found: Findings, version: str, promises: Promises) -> VersionOutcomes:
    """Return what became of a version's probabilities that nobody saw, beside those that were served instead."""
    scores, alarm = found.scores, found.process.alarm
    if alarm is not None and alarm.since is not None:
        # what it would have said before the fault began tells nothing of whether it is better now
        since = np.datetime64(alarm.since, "D")
        scores = scores.where(scores.created_on >= since) if (scores.created_on >= since).any() else scores
    shadow = np.where(scores.previous_version == version, scores.previous_probability, np.nan)
    shadow = np.where(scores.held_version == version, scores.held_probability, shadow)
    served, shadow = scores.where(~np.isnan(shadow)), shadow[~np.isnan(shadow)]
    scope = promises.scope(found.org_id, version)
    outcomes = _version(found.org_id, version, scope, served._replace(probability=shadow), promises)
    gain = gain_over(served.probability, shadow, served.is_converted, served.lead)
    return msgspec.structs.replace(outcomes, role="shadow", gain=gain)


def _version(org_id: str, version: str, scope: str, scores: Judged, promises: Promises) -> VersionOutcomes:
    promise, first = promises.of(org_id, version, scope), scores.first
    return VersionOutcomes(
        version=version,
        scope=cast("Scope", scope),
        role="served",
        first_said=scores.said_at.min().astype("datetime64[D]").item(),
        last_said=scores.said_at.max().astype("datetime64[D]").item(),
        rows=len(scores.probability),
        outcomes=outcomes_of(first.probability, first.is_converted),
        quality=quality_of(scores.probability, scores.is_converted, scores.lead),
        holdout_brier=promise.brier_score,
        holdout_roc_auc=promise.roc_auc,
        verdict=promise.verdict,
    )
