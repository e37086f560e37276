"""A forest's trees leave out whole leads in turns, and scikit-learn cannot tell the forest from its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from leadscore_assets.training.shapes import FINE, FOLDS, SHAPES, TREES, bag, grow, is_bagged, left_out

Make = Callable[..., Any]


def _grown(leads: Any) -> RandomForestClassifier:
    return grow(leads.rows.astype(np.float32), leads.converted, leads.numbers, FINE)


def test_five_trees_in_a_row_leave_out_every_lead_once_with_all_its_rows() -> None:
    leads = np.repeat(np.arange(103), 3)
    for first in (0, FOLDS):
        out = np.array([left_out(number, leads) for number in range(first, first + FOLDS)])
        assert (out.sum(axis=0) == 1).all()
        assert (out.reshape(FOLDS, 103, 3) == out[:, ::3, None]).all()
        sizes = out[:, ::3].sum(axis=1)
        assert sizes.max() - sizes.min() <= 1


def test_the_next_five_trees_leave_out_others_together() -> None:
    leads = np.arange(100)
    assert (left_out(0, leads) != left_out(FOLDS, leads)).any()


def test_a_tree_draws_rows_of_the_leads_that_it_keeps_as_many_as_there_are() -> None:
    leads = np.repeat(np.arange(200), 5)
    for number in range(2 * FOLDS):
        drawn, out = bag(number, leads), left_out(number, leads)
        assert drawn[out].sum() == 0
        assert drawn.sum() == (~out).sum()
        assert (drawn[~out] > 0).mean() == pytest.approx(1 - np.exp(-1), abs=0.05)


def test_no_two_trees_draw_the_same_rows() -> None:
    leads = np.arange(50)
    assert len({bag(number, leads).tobytes() for number in range(TREES)}) == TREES


def test_half_of_the_trees_are_a_random_forests_on_its_bags_and_half_extremely_randomized_on_all_kept_rows(
    make_leads: Make,
) -> None:
    leads = make_leads(60)
    members = _grown(leads).estimators_
    kinds = {DecisionTreeClassifier: bag, ExtraTreeClassifier: lambda number, leads: ~left_out(number, leads)}
    for number, member in enumerate(members):
        drawn = kinds[type(member)](number, leads.numbers)
        assert is_bagged(number) == (type(member) is DecisionTreeClassifier)
        assert {name: member.get_params()[name] for name in SHAPES[FINE]} == SHAPES[FINE]
        assert member.tree_.weighted_n_node_samples[0] == drawn.sum()
        assert member.tree_.n_node_samples[0] == (drawn > 0).sum()
    assert sum(is_bagged(number) for number in range(len(members))) == TREES / 2


def test_each_lead_is_out_of_as_many_trees_of_either_kind() -> None:
    leads = np.arange(50)
    for kind in (True, False):
        out = sum(left_out(number, leads).astype(int) for number in range(TREES) if is_bagged(number) == kind)
        assert set(np.asarray(out).tolist()) == {TREES // FOLDS // 2}


def test_the_forest_does_what_scikit_learns_own_does(make_leads: Make) -> None:
    leads = make_leads(120)
    rows, forest = leads.rows.astype(np.float32), _grown(leads)
    own = RandomForestClassifier(TREES, **SHAPES[FINE], random_state=1).fit(rows, leads.converted.astype(np.int8))
    fitted = {name for name in vars(own) if name.endswith("_") and not name.startswith("_")}
    assert fitted - set(vars(forest)) <= {"estimator_"}
    assert forest.classes_.tolist() == own.classes_.tolist()
    assert forest.predict(rows).dtype == own.predict(rows).dtype
    assert forest.feature_importances_ == pytest.approx(own.feature_importances_, abs=0.1)
    assert np.corrcoef(forest.predict_proba(rows)[:, 1], own.predict_proba(rows)[:, 1])[0, 1] > 0.9
    by_tree = np.mean([member.predict_proba(rows)[:, 1] for member in forest.estimators_], axis=0)
    assert forest.predict_proba(rows)[:, 1] == pytest.approx(by_tree)
