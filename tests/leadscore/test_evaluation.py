"""Every figure of a report is scikit-learn's; calibration and lift are those computed by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from leadscore.evaluation import (
    CalibrationBin,
    ConfusionMatrix,
    Holdout,
    LeadQuality,
    LiftStep,
    calibration_bins,
    calibration_of,
    evaluate,
    lead_quality_of,
    lift_of,
    metrics_of,
    roc_curve_of,
)
from leadscore.records import RecordCounts


def _with_ties(seed: int) -> tuple[Any, Any]:
    """Make outcomes and probabilities of which many are equal, some 0.5 exactly, some 0 or 1."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(5, 400))
    probabilities = np.round(rng.random(rows), int(rng.integers(1, 4)))
    converted = rng.random(rows) < probabilities
    converted[:2] = [True, False]
    return probabilities, converted


@pytest.mark.parametrize("seed", range(12))
def test_every_metric_is_scikit_learns(seed: int) -> None:
    probabilities, converted = _with_ties(seed)
    found, predicted = metrics_of(probabilities, converted), probabilities >= 0.5
    expected = {
        "precision": reference.precision_score(converted, predicted, zero_division=0),
        "recall": reference.recall_score(converted, predicted),
        "f1_score": reference.f1_score(converted, predicted),
        "roc_auc": reference.roc_auc_score(converted, probabilities),
        "accuracy": reference.accuracy_score(converted, predicted),
        "brier_score": reference.brier_score_loss(converted, probabilities),
        "log_loss": reference.log_loss(converted, probabilities),
        "average_precision": reference.average_precision_score(converted, probabilities),
    }
    assert {name: getattr(found, name) for name in expected} == pytest.approx(expected, abs=1e-12)
    matrix = reference.confusion_matrix(converted, predicted).ravel().tolist()
    assert found.confusion_matrix == ConfusionMatrix(*matrix)


def test_a_probability_of_one_lies_in_the_last_bin_and_a_bins_lower_end_in_it() -> None:
    assert calibration_bins(np.array([0.0, 0.1, np.nextafter(0.1, 0), 0.5, 0.95, 1.0])).tolist() == [0, 1, 0, 5, 9, 9]


@pytest.mark.parametrize("seed", range(4))
def test_the_points_of_the_roc_curve_lie_on_scikit_learns(seed: int) -> None:
    probabilities, converted = _with_ties(seed)
    false_rates, true_rates, _ = reference.roc_curve(converted, probabilities, drop_intermediate=False)
    curve = [(point.false_positive_rate, point.true_positive_rate) for point in roc_curve_of(probabilities, converted)]
    on_curve = set(zip(false_rates.round(12).tolist(), true_rates.round(12).tolist(), strict=True))
    assert {(round(x, 12), round(y, 12)) for x, y in curve} <= on_curve
    assert (curve[0], curve[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert curve == sorted(curve)


def test_a_long_roc_curve_is_thinned_and_keeps_its_ends() -> None:
    probabilities = np.linspace(0, 1, 5_000)
    curve = roc_curve_of(probabilities, probabilities > 0.4)
    assert 100 <= len(curve) <= 103
    assert (curve[0].true_positive_rate, curve[-1].false_positive_rate) == (0.0, 1.0)


@pytest.mark.parametrize("converted", [True, False])
def test_a_holdout_of_one_class_has_no_roc_auc_and_every_other_figure(converted: bool) -> None:
    outcomes, probabilities = np.full(4, converted), np.array([0.1, 0.6, 0.6, 1.0])
    found = metrics_of(probabilities, outcomes)
    assert (found.roc_auc, found.average_precision, roc_curve_of(probabilities, outcomes)) == (None, None, ())
    assert found.accuracy == (0.75 if converted else 0.25)
    assert found.log_loss == pytest.approx(reference.log_loss(outcomes, probabilities, labels=[False, True]))


def test_an_empty_holdout_gives_a_report_without_a_single_invented_figure() -> None:
    holdout = Holdout(np.array([], "U1"), np.array([], np.int64), np.array([], bool))
    report = evaluate("20260315060000", np.array([]), holdout, RecordCounts(0, 0, 0, {}, ""))
    assert (report.holdout_records, report.holdout_rows, report.base_rate) == (0, 0, 0.0)
    assert (report.metrics.roc_auc, report.metrics.average_precision) == (None, None)
    assert (report.calibration, report.lift, report.by_age, report.roc_curve) == ((), (), (), ())


def test_a_certain_mistake_costs_much_and_not_infinitely_much() -> None:
    found = metrics_of(np.array([0.0, 1.0]), np.array([True, False]))
    assert 30 < found.log_loss < 40
    assert found.brier_score == 1.0


def test_precision_and_f1_are_0_when_nothing_is_predicted_to_convert() -> None:
    found = metrics_of(np.array([0.1, 0.2]), np.array([True, False]))
    assert (found.precision, found.recall, found.f1_score, found.accuracy) == (0.0, 0.0, 0.0, 0.5)


def test_calibration_bins_hold_their_lower_end_and_the_last_one_both() -> None:
    probabilities = np.array([0.0, 0.05, 0.1, 0.95, 1.0])
    assert calibration_of(probabilities, np.array([False, True, True, True, False])) == (
        CalibrationBin(0.0, 0.1, 2, pytest.approx(0.025), 0.5),
        CalibrationBin(0.1, 0.2, 1, 0.1, 1.0),
        CalibrationBin(0.9, 1.0, 2, pytest.approx(0.975), 0.5),
    )


def test_lift_says_what_contacting_the_best_rows_reaches() -> None:
    probabilities = np.linspace(1, 0.1, 10)
    converted = np.array([1, 1, 0, 1, 0, 0, 0, 0, 0, 1], bool)
    steps = lift_of(probabilities, converted)
    assert steps[0] == LiftStep(0.1, 0.25, 2.5)
    assert steps[1] == LiftStep(0.2, 0.5, 2.5)
    assert steps[4] == LiftStep(0.5, 0.75, 1.5)
    assert steps[-1] == LiftStep(1.0, 1.0, 1.0)


def test_lift_of_fewer_rows_than_steps_contacts_at_least_one() -> None:
    steps = lift_of(np.array([0.9, 0.1]), np.array([True, False]))
    assert (len(steps), steps[0], steps[-1]) == (10, LiftStep(0.5, 1.0, 2.0), LiftStep(1.0, 1.0, 1.0))
    assert lift_of(np.array([0.9]), np.array([False])) == ()


def test_a_report_counts_leads_once_and_judges_each_age_alone() -> None:
    holdout = Holdout(
        lead_ids=np.array(["a", "a", "b", "b", "c"]),
        landmark_days=np.array([0, 7, 0, 7, 0]),
        converted=np.array([True, True, False, False, False]),
    )
    probabilities = np.array([0.9, 0.2, 0.1, 0.8, 0.4])
    report = evaluate("20260315060000", probabilities, holdout, RecordCounts(50, 20, 120, {}, ""))
    assert (report.records, report.converted_records, report.base_rate) == (50, 20, 0.4)
    assert (report.holdout_records, report.holdout_converted_records, report.holdout_rows) == (3, 1, 5)
    assert [(age.landmark_days, age.rows, age.roc_auc) for age in report.by_age] == [(0, 3, 1.0), (7, 2, 0.0)]
    assert report.by_age[1].brier_score == pytest.approx(0.64)
    assert math.isclose(report.by_age[0].conversion_rate, 1 / 3)


def test_a_lead_is_counted_once_when_it_was_youngest() -> None:
    """Leads a to e, whose scores when they were new are 0.9, 0.8 … 0.5; what is said of them later does not count."""
    holdout = Holdout(
        lead_ids=np.array(["a", "a", "b", "c", "b", "d", "e"]),
        landmark_days=np.array([3, 0, 14, 0, 3, 0, 1]),
        converted=np.array([True, True, False, True, False, False, False]),
    )
    probabilities = np.array([0.1, 0.9, 0.99, 0.7, 0.8, 0.6, 0.5])
    assert holdout.is_youngest().tolist() == [False, True, False, True, True, True, True]
    found = lead_quality_of(probabilities, holdout)
    assert found == LeadQuality(5, 2, 1, 1, pytest.approx(5 / 6), pytest.approx(0.27))
    assert found.top_reached == 0.5


def test_without_conversions_the_best_leads_reach_no_share() -> None:
    nobody = Holdout(np.array(["a", "b"]), np.array([0, 0]), np.zeros(2, dtype=bool))
    found = lead_quality_of(np.array([0.5, 0.4]), nobody)
    assert (found.top_reached, found.roc_auc) == (None, None)
