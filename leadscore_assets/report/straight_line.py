"""A straight line to set against a forest: a logistic regression on scaled features.

A tree gives a value beyond all that it was grown on what it gives the nearest that it knows, so it cannot tell such
values apart. A line goes on.
"""

from __future__ import annotations

from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from leadscore.arrays import Flags, Floats

MOST_STEPS = 1_000


def straight_line() -> Pipeline:
    """Return a line to fit to rows, NaN for unknown: that becomes the median, with a mark where it occurred."""
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(imputer, StandardScaler(), LogisticRegression(max_iter=MOST_STEPS))


def line_probabilities(rows: Floats, converted: Flags, asked: Floats) -> Floats:
    """Fit a line to `rows`, shape (rows, features), and their outcomes, and return what it gives each row of `asked`.

    Both outcomes must occur.
    """
    probabilities: Floats = straight_line().fit(rows, converted).predict_proba(asked)[:, 1]
    return probabilities
