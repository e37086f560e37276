"""Judges what arrives for one org against what the version that scores it learned from, in one transaction.

A day is judged once it is over, and once: a repeat adds nothing, and a process that is killed leaves the org as it was.
What was found stays until it is over for RECENT_DAYS, or another version has learned anew. Only an org that its own
version scores is judged, because the pooled model learned from other orgs' leads.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, timedelta
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
import numpy as np

from leadscore.arrays import Flags, Floats
from leadscore.input_bins import MEASURES, InputBins, Measure
from leadscore.live_inputs import InputFinding, InputState, LiveInputs
from leadscore.pooling import is_of_the_org
from leadscore.records import Window, outcome_parameters
from leadscore.registry.store import Registry
from leadscore_assets.proof.input_bets import Bets, alarm_log_e, tolerance
from leadscore_assets.proof.input_findings import base_rate_finding, feature_finding
from leadscore_assets.proof.input_shifts import Arrived, Shift, band_of, shift_of
from leadscore_assets.proof.judged_scores import mature_through
from leadscore_assets.proof.tables import REMEDY
from leadscore_assets.scoring.input_counts import input_bins
from leadscore_assets.source.database import Connection, explaining
from leadscore_assets.source.org_locks import lock_scores
from leadscore_assets.source.outcomes import LEAD_OUTCOMES

RECENT_DAYS, RECENT_COHORTS = timedelta(days=14), timedelta(days=28)
# the name under which the share of converted leads stands beside the features
CONVERTED = "converted"

SCORED_BY = "SELECT model_version, model_scope FROM leadscore.last_scoring WHERE org_id = %s"
COUNTS = """
SELECT (said_at AT TIME ZONE 'UTC')::date AS day, landmark_days, leads, counts
FROM leadscore.input_counts
WHERE org_id = %s AND model_version = %s AND said_at < %s
ORDER BY day
"""
# All leads whose window is over, as the training counts them: those that had a score would lack the ones that closed
# before their first daily scoring.
CONVERSIONS = f"""
SELECT created_at::date AS created_on, count(*), count(*) FILTER (WHERE is_converted)
FROM {LEAD_OUTCOMES} AS lead
WHERE org_id = %(org_id)s AND excluded_because IS NULL
    AND created_at::date > %(after)s AND created_at::date <= %(through)s
GROUP BY created_on
ORDER BY created_on
"""  # noqa: S608 (ours)
EVIDENCE = "SELECT evidence::text FROM leadscore.input_evidence WHERE org_id = %s"
SAVE_EVIDENCE = """
INSERT INTO leadscore.input_evidence (org_id, model_version, evidence) VALUES (%s, %s, %s::jsonb)
ON CONFLICT (org_id) DO UPDATE SET model_version = excluded.model_version, evidence = excluded.evidence
"""
FIGURES = "SELECT figures::text FROM leadscore.live_inputs WHERE org_id = %s"
SAVE_FIGURES = """
INSERT INTO leadscore.live_inputs (org_id, as_of, state, in_words, model_version, judged_through, alarms, figures)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb)
ON CONFLICT (org_id) DO UPDATE SET
    as_of = excluded.as_of, state = excluded.state, in_words = excluded.in_words,
    model_version = excluded.model_version, judged_through = excluded.judged_through, alarms = excluded.alarms,
    figures = excluded.figures
"""


class InputEvidence(msgspec.Struct, frozen=True):
    """The bets on a version's features and on its base rate, and which measures of which are found otherwise, since."""

    version: str
    features: Bets = Bets()
    base_rate: Bets = Bets()
    found: dict[str, dict[Measure, date]] = {}
    base_rate_found_on: date | None = None

    def of_version(self, version: str) -> InputEvidence:
        """Return the evidence for a version; for another one than before, at most the stakes are kept."""
        if version == self.version:
            return self
        return InputEvidence(version, self.features.limited(), self.base_rate.limited())


class Cohorts(NamedTuple):
    """Mature leads by the day of their creation: the days, the leads of each, and how many of them converted."""

    days: list[date]
    leads: Floats
    converted: Floats

    def recent_share(self, day: date) -> float:
        """Return the share of converted leads among those of that day and of the RECENT_COHORTS before."""
        is_recent = np.array([day - RECENT_COHORTS <= each <= day for each in self.days])
        return float(self.converted[is_recent].sum() / self.leads[is_recent].sum())


class Seen(NamedTuple):
    """All that is known of an org under a version: what arrived, and what its later leads became."""

    arrived: Arrived
    cohorts: Cohorts


def judge_inputs(connection: Connection, registry: Registry, org_id: str, window: Window) -> LiveInputs:
    """Judge the days that are over at the window's `as_of`, and return all that is found of the org now.

    Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    with explaining(f"judging what arrives for org {org_id}", REMEDY), connection.transaction():
        # an erasure waits, so that nothing is written again of an org that is gone
        lock_scores(connection, [org_id])
        version = _version(connection, org_id)
        bins = input_bins(registry, org_id, version) if version else None
        if version is None or bins is None:
            figures = _not_judged(org_id, window, version)
        else:
            arrived = _arrived(connection, org_id, version, bins, window)
            cohorts = _cohorts(connection, org_id, bins, window)
            evidence = _evidence(connection, org_id, version)
            evidence = with_base_rate(with_features(evidence, bins, arrived), bins, cohorts)
            figures = figures_of(org_id, window, bins, evidence, Seen(arrived, cohorts))
            content = msgspec.json.encode(evidence).decode()
            connection.execute(SAVE_EVIDENCE, [org_id, version, content])
        _save(connection, figures)
        return figures


def stored_inputs(connection: Connection, org_id: str) -> LiveInputs | None:
    """Return what was last found, None before the first time. Raises SourceMismatch, DatabaseUnavailable."""
    with explaining(f"reading what arrived for org {org_id}", REMEDY), connection.transaction():
        row: Any = connection.execute(FIGURES, [org_id]).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=LiveInputs)


def _version(connection: Connection, org_id: str) -> str | None:
    """Return the org's own version that scored its leads last, None when another model did, or none."""
    row: Any = connection.execute(SCORED_BY, [org_id]).fetchone()
    return row[0] if row and is_of_the_org(row[1]) else None


def _arrived(connection: Connection, org_id: str, version: str, bins: InputBins, window: Window) -> Arrived:
    """Return what was counted by the version on days that are over."""
    today = window.as_of.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    rows: list[Any] = connection.execute(COUNTS, [org_id, version, today]).fetchall()
    days = {day: place for place, (day, _) in enumerate(groupby(rows, key=lambda row: row[0]))}
    leads = np.zeros((len(days), len(bins.landmark_days)), np.int64)
    counts = np.zeros((*leads.shape, bins.slices[-1].stop), np.int64)
    for day, landmark_days, of_age, row in rows:
        place = days[day], bins.landmark_days.index(landmark_days)
        leads[place] += of_age
        counts[place] += row
    return Arrived([*days], leads, counts)


def _cohorts(connection: Connection, org_id: str, bins: InputBins, window: Window) -> Cohorts:
    """Return the mature leads that were not mature yet when the version learned."""
    after, through = bins.matured_through, mature_through(window)
    parameters = outcome_parameters(window) | {
        "org_id": org_id,
        "after": after,
        "through": through,
        "training_window_days": max(1, (window.as_of.astimezone(UTC).date() - after).days + 1),
    }
    rows: list[Any] = connection.execute(CONVERSIONS.encode(), parameters).fetchall()
    table = np.array([row[1:] for row in rows], np.float64).reshape(len(rows), 2)
    return Cohorts([row[0] for row in rows], table[:, 0], table[:, 1])


def _evidence(connection: Connection, org_id: str, version: str) -> InputEvidence:
    row: Any = connection.execute(EVIDENCE, [org_id]).fetchone()
    known = InputEvidence(version) if row is None else msgspec.json.decode(row[0], type=InputEvidence)
    return known.of_version(version)


def with_features(evidence: InputEvidence, bins: InputBins, arrived: Arrived) -> InputEvidence:
    """Return the evidence after the days that were not judged yet, with what is found and what is over."""
    measures, band = bins.measures(arrived.counts), band_of(bins)
    shape, (lower, upper) = band.lower.shape, (each.ravel() for each in band)
    bets, needed = evidence.features.of_tests(lower.size), _needed(bins, ages=shape[0])
    found = {name: dict(known) for name, known in evidence.found.items()}
    for place, day in enumerate(arrived.days):
        if bets.through is not None and day <= bets.through:
            continue
        bets = bets.after(day, measures[place].ravel(), lower, upper)
        is_found = (bets.log_e >= needed).reshape(shape).any(axis=0)
        for feature, measure in np.argwhere(is_found).tolist():
            found.setdefault(bins.features[feature].name, {}).setdefault(MEASURES[measure], day)
        found = _without_what_is_over(found, bins, arrived.upto(day))
        if found:
            bets = bets.limited(np.broadcast_to(_is_listed(found, bins), shape).ravel())
    return msgspec.structs.replace(evidence, features=bets, found=found)


def _needed(bins: InputBins, *, ages: int) -> float:
    """Return the logarithm of the capital that raises an alarm; the base rate is one more measure."""
    return alarm_log_e(len(bins.features) * len(MEASURES) + 1, ages)


def _is_listed(found: dict[str, dict[Measure, date]], bins: InputBins) -> Flags:
    """Return which measures are found already, shape (features, measures)."""
    return np.array([[measure in found.get(each.name, {}) for measure in MEASURES] for each in bins.features])


def _without_what_is_over(
    found: dict[str, dict[Measure, date]], bins: InputBins, arrived: Arrived
) -> dict[str, dict[Measure, date]]:
    """Return what is found without the measures that were in their bands on the last RECENT_DAYS."""
    recent = arrived.since(arrived.days[-1] - RECENT_DAYS)
    names = [each.name for each in bins.features]
    return {
        name: kept
        for name, known in found.items()
        if (
            kept := {
                measure: day for measure, day in known.items() if _goes_on(bins, recent, names.index(name), measure)
            }
        )
    }


def _goes_on(bins: InputBins, recent: Arrived, feature: int, measure: Measure) -> bool:
    shift = shift_of(bins, recent, feature, MEASURES.index(measure))
    return shift.is_outside or not shift.leads


def with_base_rate(evidence: InputEvidence, bins: InputBins, cohorts: Cohorts) -> InputEvidence:
    """Return the evidence after the cohorts that were not judged yet; a day's share of converted leads is a measure."""
    allowed = tolerance(np.array([bins.converted.error]), np.array([bins.converted.leads]))
    lower, upper = bins.converted.mean - allowed, bins.converted.mean + allowed
    bets, needed, found_on = evidence.base_rate.of_tests(1), _needed(bins, ages=1), evidence.base_rate_found_on
    for day, leads, converted in zip(*cohorts, strict=True):
        if bets.through is not None and day <= bets.through:
            continue
        bets = bets.after(day, np.array([converted / leads]), lower, upper)
        if found_on is None and bets.log_e[0] >= needed:
            found_on = day
        if found_on is not None:
            bets = bets.limited()
            found_on = None if lower[0] <= cohorts.recent_share(day) <= upper[0] else found_on
    return msgspec.structs.replace(evidence, base_rate=bets, base_rate_found_on=found_on)


def figures_of(org_id: str, window: Window, bins: InputBins, evidence: InputEvidence, seen: Seen) -> LiveInputs:
    """Return what is found now, those to act on first."""
    arrived, cohorts = seen
    found = [feature_finding(bins, arrived, name, known) for name, known in evidence.found.items() if arrived.days]
    found += _of_base_rate(bins, evidence, cohorts)
    found.sort(key=lambda each: (not each.is_alarm, -abs(each.points or 1.0), each.feature))
    state: InputState = "shifted" if any(each.is_alarm for each in found) else "noted" if found else "as_learned"
    figures = LiveInputs(
        org_id=org_id,
        as_of=window.as_of.astimezone(UTC),
        state=state,
        in_words="",
        version=evidence.version,
        judged_through=evidence.features.through,
        days=len(arrived.days),
        leads=int(arrived.leads.sum()),
        findings=found,
    )
    return msgspec.structs.replace(figures, in_words=_in_words(figures))


def _of_base_rate(bins: InputBins, evidence: InputEvidence, cohorts: Cohorts) -> Iterator[InputFinding]:
    if evidence.base_rate_found_on is None or not cohorts.days:
        return
    leads = int(cohorts.leads.sum())
    shift = Shift(float(cohorts.converted.sum()) / leads, bins.converted.mean, leads, is_outside=True)
    yield base_rate_finding(shift, cohorts.days[0], evidence.base_rate_found_on)


def _in_words(figures: LiveInputs) -> str:
    if not figures.days:
        return "No day of scorings by this version is over yet."
    if not figures.findings:
        return (
            f"What arrives is as it was learned: {figures.leads:,} leads at a landmark age, on {figures.days:,} days."
        )
    return " ".join(f"{each.in_words} {each.action}" for each in figures.findings)


def _not_judged(org_id: str, window: Window, version: str | None) -> LiveInputs:
    why = (
        "What arrives is not judged, because the org has no version of its own that scores it."
        if version is None
        else f"What arrives is not judged, because version {version} kept no bins; train the org again."
    )
    as_of = window.as_of.astimezone(UTC)
    return LiveInputs(org_id=org_id, as_of=as_of, state="not_judged", in_words=why, version=version)


def _save(connection: Connection, figures: LiveInputs) -> None:
    row = (
        figures.org_id,
        figures.as_of,
        figures.state,
        figures.in_words,
        figures.version,
        figures.judged_through,
        len(figures.alarms),
        msgspec.json.encode(figures).decode(),
    )
    connection.execute(SAVE_FIGURES, row)
