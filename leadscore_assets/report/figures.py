"""Computes everything that the model report shows, before the page is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leadscore.arrays import Flags, Floats
from leadscore.comparison import Comparison
from leadscore.evaluation import CALIBRATION_BINS, calibration_bins
from leadscore.gate import Judgement
from leadscore.registry.version import LoadedVersion, Manifest
from leadscore.scoring import DECISION_THRESHOLD, Action, ActionPolicy, score_rows
from leadscore_assets.dataset import FeatureRows, feature_matrix
from leadscore_assets.report.backtest import Backtest, backtest
from leadscore_assets.report.calibration import Calibration, calibrations
from leadscore_assets.report.curves import Curve, Gain, curve_of, gain_of
from leadscore_assets.report.effects import Effect, effects
from leadscore_assets.report.importance import Drop, permutation_importance
from leadscore_assets.report.line_ahead import LineAhead, line_ahead, noted
from leadscore_assets.report.slices import (
    FEWEST_LEADS,
    HeldOut,
    Slice,
    Slices,
    calibrated,
    compared_slices,
    slices,
)
from leadscore_assets.report.taught import Taught, taught_of
from leadscore_assets.training.judge import holdout_of

SOURCE_FEATURE = "lead_source_score"
MOST_SOURCES = 12
LATER_DAYS = 7


@dataclass(frozen=True)
class Links:
    """Addresses that the report names: what the server says of the version now, the version's run, the org's page."""

    info: str
    run: str | None
    org: str | None


@dataclass(frozen=True)
class ByLead:
    """The figures with each lead counted once, by its score when it was youngest: as it is when it comes in.

    What cannot be told of one class or of too few leads is None, and the champion's without one.
    """

    calibration: Calibration | None
    comparison: Comparison | None
    gain: Gain | None
    champion_gain: Gain | None
    curve: Curve | None
    champion_curve: Curve | None


@dataclass(frozen=True)
class Later:
    """The leads that are still open at the age of `days`, when more is known of them; each counts once here, too."""

    days: int
    gain: Gain | None
    comparison: Comparison | None


@dataclass(frozen=True)
class ReportMaterial:
    """Everything that the page tells; the figures are those of the holdout. No lead is in it, only groups.

    All but `by_lead` and `later` counts rows. `later` is None where all rows have one age. `by_prediction` has the rows
    below the decision threshold, then the others. Where the holdout has one class only, or too few leads, what cannot
    be told is empty or None.
    """

    manifest: Manifest
    judgement: Judgement
    policy: ActionPolicy
    links: Links
    by_lead: ByLead
    later: Later | None
    calibration: Calibration | None
    by_probability: tuple[Slice, ...]
    by_action: tuple[Slice, ...]
    by_prediction: tuple[Slice, ...]
    by_age: tuple[Slice, ...]
    by_month: tuple[Slice, ...]
    by_source: tuple[Slice, ...]
    gain: Gain | None
    curve: Curve | None
    champion_curve: Curve | None
    importance: tuple[Drop, ...]
    effects: tuple[Effect, ...]
    backtest: Backtest | None
    line_ahead: LineAhead | None
    taught: Taught | None


def material_of(
    artifact: LoadedVersion,
    judgement: Judgement,
    features: FeatureRows,
    champion: Floats | None,
    *,
    untaught: Floats | None,
    policy: ActionPolicy,
    links: Links,
) -> ReportMaterial:
    """Gather the report of a version that was judged on `features`; its judgement gets the notes that this adds.

    `champion` holds the champion's probabilities on the holdout, shape (rows,); `untaught` those of the pooled version
    that it stands on.
    """
    held_out = held_out_of(artifact, features, champion)
    rows, holdout, contract = features.rows[features.holdout_mask()], held_out.holdout, artifact.manifest.contract
    matrix, is_enough = feature_matrix(rows, contract), holdout.count_leads() >= FEWEST_LEADS
    by_probability, by_age, by_source = _calibrated(held_out, rows)
    tested = backtest(features, artifact.manifest.parameters)
    ahead = line_ahead(tested, features, held_out, artifact.manifest.parameters)
    return ReportMaterial(
        manifest=artifact.manifest,
        judgement=noted(judgement, ahead),
        policy=policy,
        links=links,
        by_lead=by_lead_of(held_out),
        later=_later(held_out, by_age),
        calibration=_calibration(held_out),
        by_probability=by_probability,
        by_action=slices(held_out, list(_by_action(artifact, matrix, policy))),
        by_prediction=slices(held_out, list(_by_prediction(held_out.candidate))),
        by_age=by_age,
        by_month=compared_slices(held_out, list(_by_value(held_out.created_month))),
        by_source=by_source,
        gain=gain_of(held_out),
        curve=curve_of(held_out.candidate, holdout),
        champion_curve=None if champion is None else curve_of(champion, holdout),
        importance=permutation_importance(artifact.scorer.probabilities, contract.names, matrix, holdout.converted)
        if is_enough
        else (),
        effects=effects(artifact.scorer, contract, matrix, holdout.lead_ids) if is_enough else (),
        backtest=tested,
        line_ahead=ahead,
        taught=None
        if untaught is None
        else taught_of(artifact.manifest, held_out, untaught, _by_probability(untaught)),
    )


def held_out_of(artifact: LoadedVersion, features: FeatureRows, champion: Floats | None) -> HeldOut:
    """Return the held-out rows of `features` with both models' probabilities, the candidate's by its own contract."""
    is_held_out = features.holdout_mask()
    rows = features.rows[is_held_out]
    return HeldOut(
        holdout=holdout_of(features),
        created_month=np.array([day[:7] for day in rows["created_on"]], dtype=str),
        candidate=artifact.scorer.probabilities(feature_matrix(rows, artifact.manifest.contract)),
        champion=champion,
        base_rate=float(features.outcomes()[~is_held_out].mean()),
    )


def by_lead_of(held_out: HeldOut) -> ByLead:
    """Return the figures of `held_out` with each lead counted once."""
    leads = held_out.of(held_out.holdout.is_youngest())
    champion = None if leads.champion is None else replace(leads, candidate=leads.champion)
    is_enough = len(leads.candidate) >= FEWEST_LEADS
    return ByLead(
        calibration=_calibration(leads),
        comparison=leads.compared() if is_enough else None,
        gain=gain_of(leads),
        champion_gain=gain_of(champion) if champion else None,
        curve=curve_of(leads.candidate, leads.holdout),
        champion_curve=curve_of(champion.candidate, champion.holdout) if champion else None,
    )


def _later(held_out: HeldOut, by_age: Slices) -> Later | None:
    """Return the leads at the age that is nearest to LATER_DAYS, and not the youngest."""
    ages = np.unique(held_out.holdout.landmark_days)[1:]
    if not len(ages):
        return None
    days = int(min(ages.tolist(), key=lambda age: abs(age - LATER_DAYS)))
    [compared] = [part.comparison for part in by_age if part.label == str(days)]
    return Later(days, gain_of(held_out.of(held_out.holdout.landmark_days == days)), compared)


def _calibration(held_out: HeldOut) -> Calibration | None:
    """Return how right the probabilities of all rows are together; None of too few leads."""
    if held_out.holdout.count_leads() < FEWEST_LEADS:
        return None
    everything = np.ones(len(held_out.candidate), dtype=bool)
    return calibrations(held_out.candidate, held_out.holdout, [everything])[0]


def _calibrated(held_out: HeldOut, rows: pd.DataFrame) -> list[Slices]:
    """Return the groups by probability, by age (which are compared, too) and by source, calibrated."""
    by_source = _by_source(rows[SOURCE_FEATURE].to_numpy(dtype=np.float64)) if SOURCE_FEATURE in rows else ()
    probability, age, source = (
        list(groups)
        for groups in (_by_probability(held_out.candidate), _by_value(held_out.holdout.landmark_days), by_source)
    )
    tables = [(probability, slices(held_out, probability)), (age, compared_slices(held_out, age))]
    return calibrated(held_out, [*tables, (source, slices(held_out, source))])


def _by_value(values: npt.NDArray[Any]) -> Iterator[tuple[str, Flags]]:
    for value in np.unique(values):
        yield str(value), values == value


def _by_probability(probabilities: Floats) -> Iterator[tuple[str, Flags]]:
    bins, percent = calibration_bins(probabilities), 100 // CALIBRATION_BINS
    for index in np.unique(bins).tolist():
        yield f"{index * percent} to {(index + 1) * percent}%", bins == index


def _by_prediction(probabilities: Floats) -> Iterator[tuple[str, Flags]]:
    yield "not to convert", probabilities < DECISION_THRESHOLD
    yield "to convert", probabilities >= DECISION_THRESHOLD


def _by_action(artifact: LoadedVersion, rows: Floats, policy: ActionPolicy) -> Iterator[tuple[str, Flags]]:
    scores = score_rows(artifact.scorer, rows, policy, with_contributions=False)
    actions = np.array([action.value for action in scores.actions], dtype=str)
    for action in Action:
        yield action.value, actions == action.value


def _by_source(values: Floats) -> Iterator[tuple[str, Flags]]:
    """Yield the sources with most rows, in the order of their scores, and the rest together."""
    distinct, counts = np.unique(values, return_counts=True)
    named = np.sort(distinct[np.argsort(-counts, kind="stable")[:MOST_SOURCES]])
    for value in named.tolist():
        yield f"{value:g}", values == value
    if len(distinct) > len(named):
        yield "all others", ~np.isin(values, named)
