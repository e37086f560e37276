"""A straight line learns from rows with unknown values, and goes on where no row has been."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from leadscore_assets.report.straight_line import line_probabilities

ROWS = np.linspace(-1, 1, 40)[:, None]
CONVERTED = (np.arange(40) % 3 == 0) | (ROWS[:, 0] > 0.5)


def test_it_is_the_logistic_regression_of_the_scaled_features():
    scaled = (ROWS - ROWS.mean()) / ROWS.std()
    expected = LogisticRegression().fit(scaled, CONVERTED).predict_proba(scaled)[:, 1]
    assert line_probabilities(1_000 * ROWS + 5, CONVERTED, 1_000 * ROWS + 5) == pytest.approx(expected, abs=1e-6)


def test_it_tells_values_apart_that_it_has_not_seen():
    assert np.all(np.diff(line_probabilities(ROWS, CONVERTED, np.array([[2.0], [3.0], [4.0]]))) > 0)


def test_an_unknown_value_is_the_median_and_a_feature_of_its_own():
    """Where only leads without the value convert, the line gives them more."""
    rows = np.where(CONVERTED[:, None], np.nan, ROWS)
    known, unknown = line_probabilities(rows, CONVERTED, np.array([[0.0], [np.nan]]))
    assert (unknown > 0.8, known < 0.2) == (True, True)


def test_what_was_never_known_or_never_unknown_is_no_problem():
    rows = np.hstack([ROWS, np.full_like(ROWS, np.nan)])
    asked = np.array([[np.nan, 1.0], [0.0, np.nan]])
    assert np.isfinite(line_probabilities(rows, CONVERTED, asked)).all()
