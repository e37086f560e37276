"""A forest is judged on leads outside its bags, and the choice says so in figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from leadscore_assets.training.bagging import TREES, BaggedForest, draw_bags, grow
from leadscore_assets.training.fit import SHAPES
from leadscore_assets.training.selection import STRENGTHS, Trial, choose, standard_error, trial

Make = Callable[..., Any]


def _trial(leads: Any, *, bag_rows: bool = False) -> Trial:
    rows, outcomes = leads.rows.astype(np.float32), leads.converted.astype(np.int8)
    grown = grow(rows, outcomes, np.arange(len(rows)) if bag_rows else leads.numbers, SHAPES["fine"])
    return trial(grown, rows, leads.converted)


def _losses(values: list[float]) -> Trial:
    """Make a trial of leads with one row each, whose losses are `values` whatever the strength."""
    return Trial(np.zeros((len(values), 1)), np.array(values)[:, None])


def test_all_rows_of_a_lead_are_in_a_bag_or_none(make_leads: Make) -> None:
    leads = make_leads(40, rows_each=4)
    grown = grow(leads.rows.astype(np.float32), leads.converted, leads.numbers, SHAPES["fine"])
    by_lead = grown.is_outside.reshape(TREES, 40, 4)
    assert (by_lead == by_lead[:, :, :1]).all()
    assert 0.3 < by_lead.mean() < 0.43


def test_a_bag_draws_as_many_leads_as_there_are() -> None:
    bags = draw_bags(50)
    assert bags.shape == (TREES, 50)
    assert set(bags.sum(axis=1)) == {50}
    assert len({bag.tobytes() for bag in bags}) == TREES


def test_a_tree_counts_a_lead_as_often_as_it_was_drawn(make_leads: Make) -> None:
    leads = make_leads(30, rows_each=2)
    grown = grow(leads.rows.astype(np.float32), leads.converted, leads.numbers, SHAPES["fine"])
    for member, bag in zip(grown.estimator.estimators_, draw_bags(30), strict=True):
        converted = bag @ leads.converted[::2] / bag.sum()
        assert member.tree_.weighted_n_node_samples[0] == 60
        assert member.tree_.value[0, 0, 1] == pytest.approx(converted)


def test_a_row_is_judged_by_the_trees_that_never_saw_its_lead(make_leads: Make) -> None:
    leads = make_leads(40)
    rows = leads.rows.astype(np.float32)
    grown = grow(rows, leads.converted, leads.numbers, SHAPES["fine"])
    tried = trial(grown, rows, leads.converted)
    by_tree = np.array([member.tree_.predict(rows)[:, 1] for member in grown.estimator.estimators_])
    outside = [by_tree[grown.is_outside[:, row], row].mean() for row in range(len(rows))]
    assert tried.probabilities[:, 0] == pytest.approx(outside)
    assert tried.losses.mean(axis=0)[0] == pytest.approx(
        -np.log(np.where(leads.converted, outside, 1 - np.array(outside))).mean()
    )


def test_copies_of_a_lead_make_a_choice_over_rows_overfit_and_a_choice_over_leads_not(make_leads: Make) -> None:
    leads = make_leads(120, rows_each=6, signal=0.2, alike=True)
    over_leads, over_rows = _trial(leads), _trial(leads, bag_rows=True)
    assert over_rows.best == 0
    assert over_rows.losses[:, 0].mean() < 0.4
    assert STRENGTHS[over_leads.best] == max(STRENGTHS)
    assert over_leads.losses[:, over_leads.best].mean() > 0.5


def test_noise_is_shrunk_and_a_clear_signal_is_not(make_leads: Make) -> None:
    noise, clear = _trial(make_leads(200, signal=0.0)), _trial(make_leads(200, signal=30.0))
    assert STRENGTHS[noise.best] > STRENGTHS[clear.best]


def test_a_probability_of_nought_for_a_lead_that_converted_costs_a_bounded_loss() -> None:
    rows, outcomes = np.array([[0.0], [0.0], [1.0], [1.0]], np.float32), np.array([False, False, True, True])
    estimator = RandomForestClassifier(1, bootstrap=False, random_state=1).fit(rows, outcomes)
    wrong = trial(BaggedForest(estimator, np.ones((1, 4), dtype=bool)), rows, ~outcomes)
    assert np.isfinite(wrong.losses).all()


def test_a_later_shape_is_taken_only_when_it_is_surely_better() -> None:
    leads = np.arange(4)
    first = _losses([1.0, 1.0, 1.0, 1.0])
    assert choose([first], leads) == 0
    assert choose([first, _losses([0.9, 0.9, 0.8, 0.8])], leads) == 1
    assert choose([first, _losses([0.0, 1.9, 0.1, 1.9])], leads) == 0
    assert choose([first, first], leads) == 0


def test_the_standard_error_is_over_leads_not_rows(make_leads: Make) -> None:
    values = np.random.default_rng(1).normal(size=500)
    one_row_each = standard_error(values, np.arange(500))
    assert one_row_each == pytest.approx(values.std() / np.sqrt(500))
    assert standard_error(np.repeat(values, 4), np.repeat(np.arange(500), 4)) == pytest.approx(one_row_each)
