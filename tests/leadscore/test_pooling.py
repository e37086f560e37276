"""A forest that is moved to another base value is a forest still: exact, additive, and as sure of itself as before."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.ensemble import RandomForestClassifier

from leadscore.evaluation import roc_auc_of
from leadscore.forest import LEAF, Forest
from leadscore.pooling import PRIOR_LEADS, base_value_of_org, shift_to_base_value
from leadscore_assets.training.fit import flatten

with warnings.catch_warnings():
    # shap draws its colours at import, in a way that the plotting library will not like in a later release
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    import shap

Rows = npt.NDArray[np.float64]
BASE_VALUES = [0.15, 0.3, 0.5, 0.65]


def _data(seed: int = 1, rows: int = 1_500) -> tuple[Rows, npt.NDArray[np.int8]]:
    """Make rows with unknown values, of which about a third converted."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, 5))
    outcome = table[:, 0] + table[:, 1] * (table[:, 2] > 0) + rng.normal(size=rows) > 0.8
    table[rng.random(table.shape) < 0.1] = np.nan
    return table, outcome.astype(np.int8)


@pytest.fixture(scope="module")
def estimator() -> RandomForestClassifier:
    """Give a forest as scikit-learn fitted it, some of whose leaves are 0 and 1."""
    rows, outcome = _data()
    return RandomForestClassifier(30, max_depth=8, min_samples_leaf=3, random_state=1).fit(rows, outcome)


@pytest.fixture
def forest(estimator: RandomForestClassifier) -> Forest:
    """Give the same forest as arrays."""
    return flatten(estimator)


@pytest.mark.parametrize("base_value", BASE_VALUES)
def test_the_base_value_is_the_one_asked_for(forest: Forest, base_value: float) -> None:
    assert shift_to_base_value(forest, base_value).base_value == pytest.approx(base_value, abs=1e-7)


def test_a_forests_own_base_value_changes_nothing(forest: Forest) -> None:
    assert shift_to_base_value(forest, forest.base_value).value == pytest.approx(forest.value, abs=1e-7)


def test_every_leaf_takes_the_same_step_of_log_odds_and_those_of_0_and_1_stay(forest: Forest) -> None:
    before, after = forest.leaf_values, shift_to_base_value(forest, 0.6).leaf_values
    is_certain = (before == 0) | (before == 1)
    assert is_certain.any()
    assert (after[is_certain] == before[is_certain]).all()
    steps = [np.log(p / (1 - p)) for p in (before[~is_certain], after[~is_certain])]
    assert np.ptp(steps[1] - steps[0]) == pytest.approx(0, abs=1e-7)


def test_a_higher_base_value_lowers_no_probability(forest: Forest) -> None:
    rows, _ = _data(seed=2)
    scores = [shift_to_base_value(forest, base_value).probabilities(rows) for base_value in BASE_VALUES]
    assert (np.diff(scores, axis=0) >= 0).all()


@pytest.mark.parametrize("base_value", BASE_VALUES)
def test_each_tree_ranks_as_before_and_their_mean_nearly_so(forest: Forest, base_value: float) -> None:
    """The mean of moved trees is not the moved mean, so the ranking between leads is kept approximately only."""
    rows, outcome = _data(seed=3)
    moved = shift_to_base_value(forest, base_value)
    before, after = forest.tree_probabilities(rows), moved.tree_probabilities(rows)
    in_order = np.argsort(before, axis=0, kind="stable")
    assert (np.diff(np.take_along_axis(after, in_order, axis=0), axis=0) >= 0).all()
    aucs = [roc_auc_of(tree_scores.mean(axis=1), outcome.astype(bool)) for tree_scores in (before, after)]
    assert aucs[0] == pytest.approx(aucs[1], abs=0.02)


@pytest.mark.parametrize("base_value", BASE_VALUES)
def test_contributions_of_a_moved_forest_are_those_of_shap_and_add_up(
    estimator: RandomForestClassifier, base_value: float
) -> None:
    forest = shift_to_base_value(flatten(estimator), base_value)
    rows = _data(seed=4)[0][:25]
    explainer = shap.TreeExplainer(_with_values_of(forest), feature_perturbation="tree_path_dependent")
    contributions = forest.contributions(rows)
    assert contributions == pytest.approx(explainer.shap_values(rows, check_additivity=False)[:, :, 1], abs=1e-7)
    assert forest.base_value + contributions.sum(axis=1) == pytest.approx(forest.probabilities(rows), abs=1e-7)


def _with_values_of(forest: Forest) -> RandomForestClassifier:
    """Return an estimator as the fixture's, whose trees have the values of `forest`."""
    rows, outcome = _data()
    copied = RandomForestClassifier(30, max_depth=8, min_samples_leaf=3, random_state=1).fit(rows, outcome)
    for member, start in zip(copied.estimators_, forest.roots, strict=True):
        values = forest.value[start : start + member.tree_.node_count]
        member.tree_.value[:, 0, :] = np.column_stack([1 - values, values])
    return copied


def test_inner_nodes_hold_the_mean_of_what_is_below_them(forest: Forest) -> None:
    """As scikit-learn's do; so the roots' mean is the base value."""
    moved = shift_to_base_value(forest, 0.6)
    inner = np.flatnonzero(moved.feature != LEAF)
    children = np.stack([moved.left[inner], moved.right[inner]])
    assert moved.value[inner] == pytest.approx(np.average(moved.value[children], axis=0, weights=moved.cover[children]))
    assert moved.value[moved.roots].mean() == pytest.approx(0.6)


def test_a_moved_forest_can_be_stored_and_read(forest: Forest) -> None:
    moved = shift_to_base_value(forest, 0.6)
    read = Forest.from_arrays(moved.to_arrays(), feature_count=5)
    rows, _ = _data(seed=5)
    assert (read.probabilities(rows) == moved.probabilities(rows)).all()
    assert (read.contributions(rows[:5]) == moved.contributions(rows[:5])).all()


def test_a_moved_forest_shares_all_but_the_values(forest: Forest) -> None:
    """What is derived for one is derived for both."""
    moved = shift_to_base_value(forest, 0.6)
    names = [name for name in forest.to_arrays() if name != "value"]
    assert all(getattr(moved, name) is getattr(forest, name) for name in names)
    assert moved.leaf_shares is forest.leaf_shares
    assert moved.boxes.blocks is forest.boxes.blocks


def test_a_base_value_that_certain_leaves_put_out_of_reach_is_approached(make_forest: Callable[..., Forest]) -> None:
    forest = make_forest(value_on_the_right=0.0)
    assert shift_to_base_value(forest, 0.9).base_value == pytest.approx(0.5, abs=1e-4)


def test_a_forest_of_lone_leaves_moves_too() -> None:
    rows, outcome = _data(rows=40)
    lone = flatten(RandomForestClassifier(5, min_samples_leaf=30, random_state=1).fit(rows, outcome))
    assert shift_to_base_value(lone, 0.6).probabilities(rows[:1]) == pytest.approx([0.6])


def test_an_orgs_rows_get_its_own_rate_on_average(forest: Forest) -> None:
    """Also an org whose leads differ from the others': what the features explain is not counted twice."""
    rows = _data(seed=6)[0]
    better = rows[rows[:, 0] > 0.5]
    assert forest.probabilities(better).mean() > forest.base_value + 0.2
    base_value = base_value_of_org(forest, better, conversion_rate=0.4, leads=10**9)
    assert base_value < forest.base_value
    assert shift_to_base_value(forest, base_value).probabilities(better).mean() == pytest.approx(0.4, abs=1e-6)


def test_a_few_leads_move_an_orgs_base_value_a_little(forest: Forest) -> None:
    """At PRIOR_LEADS leads the org's own rate and the forest's expectation weigh the same."""
    rows = _data(seed=6)[0]
    expected = forest.probabilities(rows).mean()
    moved = shift_to_base_value(forest, base_value_of_org(forest, rows, conversion_rate=1.0, leads=PRIOR_LEADS))
    assert moved.probabilities(rows).mean() == pytest.approx((1 + expected) / 2, abs=1e-6)


def test_an_org_that_converts_as_expected_keeps_the_base_value(forest: Forest) -> None:
    rows = _data(seed=6)[0]
    expected = float(forest.probabilities(rows).mean())
    assert base_value_of_org(forest, rows, expected, leads=500) == pytest.approx(forest.base_value, abs=1e-7)


def test_leaves_weigh_as_often_as_rows_end_in_them(make_forest: Callable[..., Forest]) -> None:
    rows = np.array([[1.0], [2.0], [2.0], [2.0]])
    forest = replace(make_forest(), cover=np.array([8.0, 2.0, 6.0]))
    assert forest.leaf_shares_of(rows).tolist() == [0.25, 0.75]
    assert forest.leaf_shares.tolist() == [0.25, 0.75]
