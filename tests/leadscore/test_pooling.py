"""A forest that is moved to another base value is a forest still: exact, additive, and as sure of itself as before."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.ensemble import RandomForestClassifier

from leadscore.arrays import Floats
from leadscore.engine.by_numpy import tree_values
from leadscore.engine.scorer import Scorer
from leadscore.evaluation import roc_auc_of
from leadscore.forest import Forest
from leadscore.pooling import PRIOR_LEADS, base_value_of_org, shift_to_base_value
from leadscore_assets.training.estimator import flatten

with warnings.catch_warnings():
    # shap draws its colours at import, in a way that the plotting library will not like in a later release
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    import shap

BASE_VALUES = [0.15, 0.3, 0.5, 0.65]


def _data(seed: int = 1, rows: int = 1_500) -> tuple[Floats, npt.NDArray[np.int8]]:
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
def scorer(estimator: RandomForestClassifier) -> Scorer:
    """Give the same forest as it is served."""
    return flatten(estimator).scorer


@pytest.mark.parametrize("base_value", BASE_VALUES)
def test_the_base_value_is_the_one_asked_for(scorer: Scorer, base_value: float) -> None:
    assert shift_to_base_value(scorer, base_value).base_value == pytest.approx(base_value, abs=1e-7)


def test_a_forests_own_base_value_changes_nothing(scorer: Scorer) -> None:
    assert shift_to_base_value(scorer, scorer.base_value).leaf_values == pytest.approx(scorer.leaf_values, abs=1e-7)


def test_every_leaf_takes_the_same_step_of_log_odds_and_those_of_0_and_1_stay(scorer: Scorer) -> None:
    before, after = scorer.nodes.values, shift_to_base_value(scorer, 0.6).nodes.values
    is_certain = (before == 0) | (before == 1)
    assert is_certain.any()
    assert (after[is_certain] == before[is_certain]).all()
    steps = [np.log(p / (1 - p)) for p in (before[~is_certain], after[~is_certain])]
    assert np.ptp(steps[1] - steps[0]) == pytest.approx(0, abs=1e-7)


def test_a_higher_base_value_lowers_no_probability(scorer: Scorer) -> None:
    rows, _ = _data(seed=2)
    scores = [shift_to_base_value(scorer, base_value).probabilities(rows) for base_value in BASE_VALUES]
    assert (np.diff(scores, axis=0) >= 0).all()


@pytest.mark.parametrize("base_value", BASE_VALUES)
def test_each_tree_ranks_as_before_and_their_mean_nearly_so(scorer: Scorer, base_value: float) -> None:
    """The mean of moved trees is not the moved mean, so the ranking between leads is kept approximately only."""
    rows, outcome = _data(seed=3)
    moved = shift_to_base_value(scorer, base_value)
    before, after = (tree_values(each.nodes, rows.astype(np.float32)) for each in (scorer, moved))
    in_order = np.argsort(before, axis=0, kind="stable")
    assert (np.diff(np.take_along_axis(after, in_order, axis=0), axis=0) >= 0).all()
    aucs = [roc_auc_of(tree_scores.mean(axis=1), outcome.astype(bool)) for tree_scores in (before, after)]
    assert aucs[0] == pytest.approx(aucs[1], abs=0.02)


@pytest.mark.parametrize("base_value", BASE_VALUES)
def test_contributions_of_a_moved_forest_are_those_of_shap_and_add_up(
    estimator: RandomForestClassifier, base_value: float
) -> None:
    forest = flatten(estimator)
    scorer = shift_to_base_value(forest.scorer, base_value)
    rows = _data(seed=4)[0][:25]
    explainer = shap.TreeExplainer(_with_leaves_of(scorer), feature_perturbation="tree_path_dependent")
    contributions = scorer.contributions(rows)
    assert contributions == pytest.approx(explainer.shap_values(rows, check_additivity=False)[:, :, 1], abs=2e-7)
    assert scorer.base_value + contributions.sum(axis=1) == pytest.approx(scorer.probabilities(rows), abs=2e-7)


def _with_leaves_of(scorer: Scorer) -> RandomForestClassifier:
    """Return an estimator as the fixture's, whose leaves have the values of `scorer`; inner nodes get their mean."""
    rows, outcome = _data()
    copied = RandomForestClassifier(30, max_depth=8, min_samples_leaf=3, random_state=1).fit(rows, outcome)
    table = rows.astype(np.float32)
    by_tree = tree_values(scorer.nodes, table)
    for number, member in enumerate(copied.estimators_):
        tree = member.tree_
        is_leaf = tree.children_left == tree.children_right
        values = np.zeros(tree.node_count)
        values[member.apply(table)] = by_tree[:, number]
        for node in np.flatnonzero(~is_leaf)[::-1]:
            children = [tree.children_left[node], tree.children_right[node]]
            values[node] = np.average(values[children], weights=tree.weighted_n_node_samples[children])
        tree.value[:, 0, :] = np.column_stack([1 - values, values])
    return copied


def test_a_moved_scorer_can_be_stored_and_read(scorer: Scorer) -> None:
    moved = shift_to_base_value(scorer, 0.6)
    read = Scorer.from_arrays(moved.to_arrays(), 5)
    rows, _ = _data(seed=5)
    assert read.base_value == moved.base_value
    assert (read.probabilities(rows) == moved.probabilities(rows)).all()
    assert (read.contributions(rows[:5]) == moved.contributions(rows[:5])).all()


def test_a_moved_scorer_shares_all_but_the_values(scorer: Scorer) -> None:
    before, after = scorer.to_arrays(), shift_to_base_value(scorer, 0.6).to_arrays()
    shared = {name for name in before if after[name] is before[name]}
    assert before.keys() - shared == {"node_values", "leaf_values", "base_value", "trees_and_depth"}
    assert after["trees_and_depth"].tolist() == before["trees_and_depth"].tolist()


def test_a_base_value_that_certain_leaves_put_out_of_reach_is_approached(make_forest: Callable[..., Forest]) -> None:
    scorer = make_forest(value_on_the_right=0.0).scorer
    assert shift_to_base_value(scorer, 0.9).base_value == pytest.approx(0.5, abs=1e-4)


def test_a_forest_of_lone_leaves_moves_too() -> None:
    rows, outcome = _data(rows=40)
    lone = flatten(RandomForestClassifier(5, min_samples_leaf=30, random_state=1).fit(rows, outcome)).scorer
    assert shift_to_base_value(lone, 0.6).probabilities(rows[:1]) == pytest.approx([0.6])


def test_an_orgs_rows_get_its_own_rate_on_average(scorer: Scorer) -> None:
    """Also an org whose leads differ from the others': what the features explain is not counted twice."""
    rows = _data(seed=6)[0]
    better = rows[rows[:, 0] > 0.5]
    assert scorer.probabilities(better).mean() > scorer.base_value + 0.2
    base_value = base_value_of_org(scorer, better, conversion_rate=0.4, leads=10**9)
    assert base_value < scorer.base_value
    assert shift_to_base_value(scorer, base_value).probabilities(better).mean() == pytest.approx(0.4, abs=1e-6)


def test_a_few_leads_move_an_orgs_base_value_a_little(scorer: Scorer) -> None:
    """At PRIOR_LEADS leads the org's own rate and the forest's expectation weigh the same."""
    rows = _data(seed=6)[0]
    expected = scorer.probabilities(rows).mean()
    moved = shift_to_base_value(scorer, base_value_of_org(scorer, rows, conversion_rate=1.0, leads=PRIOR_LEADS))
    assert moved.probabilities(rows).mean() == pytest.approx((1 + expected) / 2, abs=1e-6)


def test_an_org_that_converts_as_expected_keeps_the_base_value(scorer: Scorer) -> None:
    rows = _data(seed=6)[0]
    expected = float(scorer.probabilities(rows).mean())
    assert base_value_of_org(scorer, rows, expected, leads=500) == pytest.approx(scorer.base_value, abs=1e-7)


def test_leaves_weigh_as_often_as_rows_end_in_them(make_forest: Callable[..., Forest]) -> None:
    rows = np.array([[1.0], [2.0], [2.0], [2.0]])
    scorer = replace(make_forest(), cover=np.array([8.0, 2.0, 6.0])).scorer
    assert scorer.node_shares_of(rows).tolist() == [0, 0.25, 0.75, 0]
    assert scorer.leaf_shares.tolist() == [0.25, 0.75, *[1.0] * 14]
    assert scorer.leaf_values.tolist() == [0.25, 0.75, *[0.0] * 14]
