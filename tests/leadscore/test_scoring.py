"""A score's fields, and the recommended action at and around each threshold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from leadscore.engine.scorer import Scorer
from leadscore.forest import Forest
from leadscore.scoring import Action, action_policy_from, score_row, score_rows
from leadscore.settings import Settings

POLICY = action_policy_from(Settings())
BELOW = np.nextafter


@pytest.mark.parametrize(
    ("probability", "confidence", "action"),
    [
        (1.0, 1.0, "HIGH_PRIORITY"),
        (0.7, 0.8, "HIGH_PRIORITY"),
        (BELOW(0.7, 0), 0.8, "MEDIUM_PRIORITY"),
        (0.7, BELOW(0.8, 0), "MEDIUM_PRIORITY"),
        (1.0, 0.7, "MEDIUM_PRIORITY"),
        (0.5, 0.7, "MEDIUM_PRIORITY"),
        (BELOW(0.5, 0), 1.0, "NURTURE"),
        (1.0, BELOW(0.7, 0), "NURTURE"),
        (0.5, 0.5, "NURTURE"),
        (0.3, 0.0, "NURTURE"),
        (BELOW(0.3, 0), 1.0, "LOW_PRIORITY"),
        (0.0, 1.0, "LOW_PRIORITY"),
    ],
)
def test_a_threshold_itself_qualifies_and_anything_below_it_does_not(
    probability: float, confidence: float, action: str
) -> None:
    assert POLICY.action(probability, confidence) is Action(action)
    assert POLICY.actions(np.array([probability, 0.0]), np.array([confidence, 0.0])) == [action, "LOW_PRIORITY"]


def test_the_policy_is_the_settings() -> None:
    policy = action_policy_from(Settings(nurture_probability=0.4, high_priority_confidence=0.6))
    assert policy.action(0.3, 1.0) is Action.LOW_PRIORITY
    assert policy.action(0.7, 0.6) is Action.HIGH_PRIORITY


def _three_trees(make_forest: Callable[..., Forest]) -> Scorer:
    """Make three trees that give a lead of source score 2 the probabilities 0.9, 0.9 and 0.3."""
    forest = make_forest()
    offsets = np.array([0, 3, 6], np.int32)
    trees = replace(
        forest,
        **{name: np.tile(getattr(forest, name), 3) for name in ("feature", "threshold", "missing_goes_left", "cover")},
        left=np.concatenate([forest.left + offset for offset in offsets]).astype(np.int32),
        right=np.concatenate([forest.right + offset for offset in offsets]).astype(np.int32),
        value=np.array([0.5, 0.1, 0.9, 0.5, 0.1, 0.9, 0.2, 0.1, 0.3]),
        roots=offsets,
    )
    return trees.scorer


ONE_ROW = np.array([[2.0, *[0.0] * 10]])


def test_a_score_says_how_probable_how_sure_and_why(make_forest: Callable[..., Forest]) -> None:
    scorer = _three_trees(make_forest)
    scores = score_rows(scorer, ONE_ROW, POLICY)
    assert scores.probabilities == pytest.approx([0.7])
    assert scores.predictions == [1]
    assert scores.confidences == pytest.approx([2 / 3])
    assert scores.actions == [Action.NURTURE]
    assert scorer.base_value == pytest.approx(0.4)
    assert scores.contributions[0] == pytest.approx([0.3, *[0.0] * 10])


def test_a_row_alone_is_scored_as_among_others(make_forest: Callable[..., Forest]) -> None:
    scorer = _three_trees(make_forest)
    for value in (1.0, 2.0, math.nan):
        row = [value, *[0.0] * 10]
        alone, among_others = score_row(scorer, row, POLICY), score_rows(scorer, np.array([row]), POLICY)
        assert list(alone[:-1]) == [column[0] for column in among_others[:-1]]
        assert alone.contributions == pytest.approx(among_others.contributions[0])
        assert score_row(scorer, row, POLICY, with_contributions=False) == (*alone[:-1], [])


def test_confidence_counts_the_trees_that_agree_with_a_prediction_of_no(make_forest: Callable[..., Forest]) -> None:
    scores = score_rows(_three_trees(make_forest), np.array([[1.0, *[0.0] * 10]]), POLICY)
    assert (scores.predictions, scores.confidences, scores.actions) == ([0], [1.0], [Action.LOW_PRIORITY])


def test_a_probability_of_one_half_predicts_a_conversion(make_forest: Callable[..., Forest]) -> None:
    scores = score_rows(make_forest(value_on_the_right=0.5).scorer, ONE_ROW, POLICY)
    assert (scores.probabilities, scores.predictions, scores.confidences) == ([0.5], [1], [1.0])


def test_scores_keep_the_rows_order_and_are_the_same_without_contributions(make_forest: Callable[..., Forest]) -> None:
    rows = np.array([[source, *[0.0] * 10] for source in (2.0, 1.0, 2.0)])
    explained = score_rows(make_forest().scorer, rows, POLICY)
    plain = score_rows(make_forest().scorer, rows, POLICY, with_contributions=False)
    assert explained.probabilities == plain.probabilities == [0.75, 0.25, 0.75]
    assert plain == explained._replace(contributions=[])


def test_no_rows_give_no_scores(make_forest: Callable[..., Forest]) -> None:
    assert score_rows(make_forest().scorer, np.empty((0, 11)), POLICY) == ([], [], [], [], [])
