"""What shuffling a feature costs."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore_assets.report.importance import permutation_importance

NAMES = ("useless", "useful", "ignored")


def rows_and_outcomes(count: int = 400):
    random = np.random.default_rng(3)
    rows = random.normal(size=(count, len(NAMES)))
    return rows, rows[:, 1] + 0.3 * random.normal(size=count) > 0.5


def score(rows):
    return 1 / (1 + np.exp(-2 * rows[:, 1] - 0.01 * rows[:, 0]))


def test_the_feature_that_matters_is_found():
    rows, converted = rows_and_outcomes()
    useful, useless, ignored = permutation_importance(score, NAMES, rows, converted)
    assert (useful.feature, useless.feature, ignored.feature) == ("useful", "useless", "ignored")
    assert useful.mean == pytest.approx(0.5, abs=0.06)
    assert abs(useless.mean) < 0.01
    assert (ignored.low, ignored.mean, ignored.high) == (0, 0, 0)


def test_the_spread_holds_the_mean_and_the_seed_is_fixed():
    rows, converted = rows_and_outcomes()
    drops = permutation_importance(score, NAMES, rows, converted)
    assert drops == permutation_importance(score, NAMES, rows, converted)
    assert all(drop.low <= drop.mean <= drop.high for drop in drops)
    assert drops[0].low < drops[0].high


def test_with_one_outcome_nothing_can_be_ranked():
    rows, _ = rows_and_outcomes()
    assert permutation_importance(score, NAMES, rows, np.zeros(len(rows), dtype=bool)) == ()
    assert permutation_importance(score, NAMES, rows[:0], np.zeros(0, dtype=bool)) == ()
