"""Curves: cut where each part holds five leads, and otherwise those of the evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import auc

from leadscore.evaluation import Holdout, precision_recall_curve_of, roc_auc_of, roc_curve_of
from leadscore_assets.report.curves import curve_of, gain_of
from leadscore_assets.report.slices import HeldOut


def holdout(converted, rows_each: int = 1) -> Holdout:
    ids = np.repeat([f"lead-{number:04d}" for number in range(len(converted) // rows_each)], rows_each)
    return Holdout(ids, np.tile(np.arange(rows_each), len(ids) // rows_each), np.array(converted, dtype=bool))


def falling(count: int) -> np.ndarray:
    return np.linspace(0.9, 0.1, count)


def test_each_part_of_a_curve_holds_five_leads_however_many_rows_they_have():
    outcomes = np.random.default_rng(2).random(60) < 0.5
    once = curve_of(falling(60), holdout(outcomes))
    twice = curve_of(np.repeat(falling(60), 2), holdout(np.repeat(outcomes, 2), rows_each=2))
    assert once.rows == tuple(range(5, 61, 5))
    assert twice.rows == tuple(2 * rows for rows in once.rows)
    assert once.conversions == tuple(outcomes[:end].sum() for end in once.rows)


def test_too_small_a_rest_belongs_to_the_last_part():
    curve = curve_of(falling(13), holdout([True, False] * 6 + [True]))
    assert (curve.rows, curve.conversions) == ((5, 13), (3, 7))


def test_rows_of_equal_probability_are_not_parted():
    probabilities = np.repeat([0.9, 0.5, 0.1], 7)
    assert curve_of(probabilities, holdout([True] * 9 + [False] * 12)).rows == (7, 14, 21)


def test_a_curve_runs_from_corner_to_corner_and_encloses_about_the_roc_auc():
    random = np.random.default_rng(3)
    probabilities = random.random(3_000)
    outcomes = random.random(3_000) < probabilities
    curve = curve_of(probabilities, holdout(outcomes))
    assert len(curve.rows) <= 100
    assert (curve.roc()[0], curve.roc()[-1], curve.gains()[-1]) == ((0, 0), (1, 1), (1, 1))
    assert auc(*zip(*curve.roc(), strict=True)) == pytest.approx(roc_auc_of(probabilities, outcomes), abs=1e-3)
    assert curve.precision_recall()[-1] == pytest.approx((1, outcomes.mean()))


def test_the_points_of_a_curve_are_the_evaluations_where_it_is_cut_alike():
    """Leads whose probabilities are equal in fives make both curves end their parts at the same rows."""
    probabilities = np.repeat(falling(20), 5)
    outcomes = np.random.default_rng(4).random(100) < probabilities
    curve = curve_of(probabilities, holdout(outcomes))
    roc = [(point.false_positive_rate, point.true_positive_rate) for point in roc_curve_of(probabilities, outcomes)]
    assert curve.roc() == roc
    stored = [(point.recall, point.precision) for point in precision_recall_curve_of(probabilities, outcomes)]
    assert curve.precision_recall() == [(recall, precision) for recall, precision in stored if recall]


@pytest.mark.parametrize("outcomes", [[], [True] * 9, [False] * 9, [True, False, True, False]])
def test_of_one_outcome_or_few_leads_there_is_no_curve(outcomes):
    assert curve_of(falling(len(outcomes)), holdout(outcomes)) is None


@pytest.mark.parametrize(("leads", "contacted"), [(19, None), (25, 5)])
def test_a_gain_needs_five_leads_to_contact(leads, contacted):
    outcomes = [True, False] * leads
    part = HeldOut(holdout(outcomes[:leads]), np.array(["2026-01"] * leads), falling(leads), None, 0.5)
    gain = gain_of(part)
    assert (gain and gain.contacted) == contacted
    assert gain is None or (gain.rows, gain.leads, gain.reached) == (25, 5, 3 / 13)
