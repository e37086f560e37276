"""A stretch follows what left-out leads show, is drawn towards none on few leads, and scales every contribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from leadscore.arrays import Flags, Floats, Indices
from leadscore_assets.training.estimator import flatten
from leadscore_assets.training.shapes import FINE, grow
from leadscore_assets.training.shrinkage import shrink
from leadscore_assets.training.stretch import MOST, NONE, Stretch, stretch, stretch_of

Make = Callable[..., Any]


def _said(leads: int, slope: float, *, rows_each: int = 1) -> tuple[Floats, Flags, Indices]:
    """Return what trees say of leads whose chance is 0.3 plus `slope` times its distance from 0.3."""
    random = np.random.default_rng(5)
    said = random.uniform(0.2, 0.4, leads)
    converted = random.random(leads) < 0.3 + slope * (said - 0.3)
    numbers = np.repeat(np.arange(leads), rows_each)
    return said[numbers], converted[numbers], numbers


def test_many_leads_give_the_slope_that_they_show() -> None:
    line = stretch_of(*_said(60_000, 1.4))
    assert line.slope == pytest.approx(1.4, abs=0.05)
    assert line.centre == pytest.approx(0.3, abs=0.001)


def test_few_leads_hardly_stretch_and_copies_of_their_rows_do_not_make_them_more() -> None:
    few, copied = stretch_of(*_said(150, 1.5)), stretch_of(*_said(150, 1.5, rows_each=7))
    assert 1 <= few.slope < 1.2
    assert copied == few


def test_probabilities_are_never_drawn_together_nor_stretched_without_bound() -> None:
    assert stretch_of(*_said(60_000, 0.4)).slope == 1
    assert 1.5 < stretch_of(*_said(60_000, 2.4)).slope <= MOST


def test_where_all_leads_got_the_same_there_is_nothing_to_stretch() -> None:
    assert stretch_of(np.full(8, 0.25), np.arange(8) % 4 == 0, np.arange(8)) == NONE


def test_every_contribution_is_scaled_and_the_sum_stays_exact(make_leads: Make) -> None:
    leads = make_leads(150)
    rows = leads.rows.astype(np.float32)
    assert np.isnan(rows).any()
    estimator = grow(rows, leads.converted, leads.numbers, FINE)
    shrink(estimator, 100.0)
    before = flatten(estimator)
    stretch(estimator, Stretch(0.3, 1.2))
    after = flatten(estimator)
    assert 0 < after.value.min() < after.value.max() < 1
    assert after.probabilities(rows) == pytest.approx(0.3 + 1.2 * (before.probabilities(rows) - 0.3), abs=1e-7)
    assert after.contributions(rows) == pytest.approx(1.2 * before.contributions(rows), abs=1e-6)
    sums = after.base_value + after.contributions(rows).sum(axis=1)
    assert sums == pytest.approx(after.probabilities(rows), abs=1e-6)


def test_a_leaf_that_would_leave_the_shares_is_stored_at_their_border(make_leads: Make) -> None:
    leads = make_leads(150, signal=5.0)
    rows = leads.rows.astype(np.float32)
    estimator = grow(rows, leads.converted, leads.numbers, FINE)
    stretch(estimator, Stretch(0.5, 1.5))
    forest = flatten(estimator)
    assert (forest.value.min(), forest.value.max()) == (0, 1)
    assert estimator.predict_proba(rows)[:, 1] == pytest.approx(forest.probabilities(rows), abs=1e-9)
    sums = forest.base_value + forest.contributions(rows).sum(axis=1)
    assert sums == pytest.approx(forest.probabilities(rows), abs=1e-6)
