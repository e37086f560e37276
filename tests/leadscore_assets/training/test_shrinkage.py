"""Shrinking draws values towards their parents', keeps every mean, and leaves splits, covers and exactness alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from leadscore.arrays import Floats, Indices
from leadscore.forest import LEAF, Forest
from leadscore_assets.training.estimator import flatten
from leadscore_assets.training.shrinkage import shrink, shrunk_shares

with warnings.catch_warnings():
    # shap draws its colours at import, in a way that the plotting library will not like in a later release
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    import shap

STRENGTHS = (0.0, 1.0, 30.0, 1e4)
Grown = tuple[RandomForestClassifier, Floats]


@pytest.fixture
def grown(make_leads: Callable[..., Any]) -> Grown:
    leads = make_leads(150)
    estimator = RandomForestClassifier(20, min_samples_leaf=2, random_state=1)
    return estimator.fit(leads.rows.astype(np.float32), leads.converted.astype(np.int8)), leads.rows


def _children_mean(forest: Forest, inner: Indices) -> Floats:
    left, right = forest.left[inner], forest.right[inner]
    weighted = forest.value[left] * forest.cover[left] + forest.value[right] * forest.cover[right]
    mean: Floats = weighted / forest.cover[inner]
    return mean


def test_a_strength_of_nothing_changes_nothing(grown: Grown) -> None:
    for member in grown[0].estimators_:
        [shares] = shrunk_shares([member.tree_], np.array([0.0]))
        assert shares[:, 0] == pytest.approx(member.tree_.value[:, 0, 1], abs=1e-15)


def test_a_boundless_strength_leaves_the_roots_share_everywhere(grown: Grown) -> None:
    for member in grown[0].estimators_:
        [shares] = shrunk_shares([member.tree_], np.array([1e15]))
        assert shares[:, 0] == pytest.approx(np.full(len(shares), member.tree_.value[0, 0, 1]), abs=1e-7)


def test_a_step_under_a_parent_of_as_many_rows_as_the_strength_is_halved(grown: Grown) -> None:
    tree = grown[0].estimators_[0].tree_
    strength, left = float(tree.weighted_n_node_samples[0]), int(tree.children_left[0])
    shares = shrunk_shares([tree], np.array([strength]))[0][:, 0]
    assert shares[left] == pytest.approx((tree.value[0, 0, 1] + tree.value[left, 0, 1]) / 2)


def test_all_trees_and_strengths_at_once_are_each_alone(grown: Grown) -> None:
    trees = [member.tree_ for member in grown[0].estimators_]
    for tree, together in zip(trees, shrunk_shares(trees, np.array(STRENGTHS)), strict=True):
        alone = [shrunk_shares([tree], np.array([strength]))[0][:, 0] for strength in STRENGTHS]
        assert together.T.tolist() == np.array(alone).tolist()


@pytest.mark.parametrize("strength", STRENGTHS)
def test_every_node_stays_the_mean_of_its_children_and_siblings_keep_their_order(grown: Grown, strength: float) -> None:
    before = flatten(grown[0])
    shrink(grown[0], strength)
    after = flatten(grown[0])
    inner = np.flatnonzero(before.feature != LEAF)
    assert after.value[inner] == pytest.approx(_children_mean(after, inner), abs=1e-7)
    assert after.base_value == pytest.approx(before.base_value, abs=1e-7)
    was, now = (forest.value[forest.left[inner]] - forest.value[forest.right[inner]] for forest in (before, after))
    assert (now * was >= 0).all()
    assert (np.abs(now) <= np.abs(was) + 1e-7).all()


def test_splits_and_covers_stay_and_values_stay_shares(grown: Grown) -> None:
    before = flatten(grown[0]).to_arrays()
    shrink(grown[0], 30.0)
    after = flatten(grown[0]).to_arrays()
    assert all(np.array_equal(before[name], after[name]) for name in before if name != "value")
    assert not np.array_equal(before["value"], after["value"])
    assert after["value"].tolist() == after["value"].astype(np.float32).tolist()
    Forest.from_arrays(after, before["feature"].max() + 1)


def test_contributions_of_a_shrunk_forest_are_those_of_shap_and_add_up(grown: Grown) -> None:
    estimator, rows = grown
    shrink(estimator, 30.0)
    forest, some = flatten(estimator), rows[:25]
    assert np.isnan(some).any()
    explainer = shap.TreeExplainer(estimator, feature_perturbation="tree_path_dependent")
    contributions = forest.contributions(some)
    assert contributions == pytest.approx(explainer.shap_values(some)[:, :, 1], abs=1e-7)
    assert forest.base_value == pytest.approx(explainer.expected_value[1], abs=1e-7)
    assert forest.base_value + contributions.sum(axis=1) == pytest.approx(estimator.predict_proba(some)[:, 1], abs=1e-7)


def test_a_lone_root_stays_what_it_is(make_leads: Callable[..., Any]) -> None:
    leads = make_leads(20)
    estimator = RandomForestClassifier(3, min_samples_leaf=50, random_state=1).fit(leads.rows, leads.converted)
    before = estimator.predict_proba(leads.rows)
    shrink(estimator, 30.0)
    assert estimator.predict_proba(leads.rows) == pytest.approx(before, abs=1e-7)
