"""The forest's probabilities are scikit-learn's, its contributions shap's; what is no forest is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.ensemble import RandomForestClassifier

from leadscore.arrays import Float32s, Floats
from leadscore.engine import native, scorer
from leadscore.engine.nodes import ROWS_AT_A_TIME
from leadscore.errors import Damaged
from leadscore.forest import LEAF, Forest, largest_float32_not_above
from leadscore_assets.training.estimator import flatten

with warnings.catch_warnings():
    # shap draws its colours at import, in a way that the plotting library will not like in a later release
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    import shap


@pytest.fixture(autouse=True, params=["compiled", "numpy"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fact here holds for the compiled kernels and without them."""
    assert native.kernels() is not None
    if request.param == "numpy":
        monkeypatch.setattr(scorer, "kernels", lambda: None)


FEATURES = 11
# of contributions, which are computed in float32 and promised to 1e-6; probabilities are exact
EXACT = 2e-7
SHAPES: dict[str, dict[str, Any]] = {
    "as_trained": {"n_estimators": 30, "max_depth": 10, "min_samples_split": 10, "min_samples_leaf": 5},
    "unlimited": {"n_estimators": 10},
    "stumps": {"n_estimators": 20, "max_depth": 1},
    "large_leaves": {"n_estimators": 10, "min_samples_leaf": 40},
    "all_features": {"n_estimators": 10, "max_features": None, "max_depth": 6},
    "one_feature_a_split": {"n_estimators": 10, "max_features": 1, "max_depth": 8},
    "one_tree": {"n_estimators": 1, "bootstrap": False},
}


def _data(seed: int, *, with_unknown: bool, rows: int = 300) -> tuple[Floats, npt.NDArray[np.int8]]:
    """Make rows with continuous, whole, two-valued and constant features, and an outcome that depends on some."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, FEATURES))
    table[:, 3] = np.round(table[:, 3] * 2)
    table[:, 4] = table[:, 4] > 0
    table[:, 7] = 5.0
    outcome = table[:, 0] + table[:, 3] * table[:, 4] + rng.normal(size=rows) > 0.5
    if with_unknown:
        table[rng.random(table.shape) < 0.1] = np.nan
    return table, outcome.astype(np.int8)


def _trained(shape: str, *, with_unknown: bool) -> tuple[RandomForestClassifier, Forest, Floats]:
    table, outcome = _data(len(shape), with_unknown=with_unknown)
    estimator = RandomForestClassifier(**SHAPES[shape], random_state=1).fit(table.astype(np.float32), outcome)
    return estimator, flatten(estimator), table


def _on_thresholds(forest: Forest, rows: int = 200) -> Float32s:
    """Make rows whose values sit on the forest's thresholds, one float32 below, or one above."""
    rng = np.random.default_rng(5)
    table = np.zeros((rows, FEATURES), np.float32)
    for column in range(FEATURES):
        own = forest.threshold[forest.feature == column]
        if len(own):
            table[:, column] = rng.choice(own, rows)
    beside = rng.choice(np.array([-np.inf, np.inf], np.float32), table.shape)
    return np.where(rng.random(table.shape) < 1 / 3, table, np.nextafter(table, beside))


def _shap_values(estimator: RandomForestClassifier, rows: Floats) -> Floats:
    explainer = shap.TreeExplainer(estimator, feature_perturbation="tree_path_dependent")
    values: Floats = explainer.shap_values(rows, check_additivity=False)[:, :, 1]
    return values


def _walk_by_hand(estimator: RandomForestClassifier, row: Floats) -> float:
    """Follow scikit-learn's own nodes; it refuses unknown values that it never saw in training, its trees do not."""
    reached = []
    for member in estimator.estimators_:
        tree, node = member.tree_, 0
        while tree.children_left[node] != tree.children_right[node]:
            value = np.float32(row[tree.feature[node]])
            goes_left = tree.missing_go_to_left[node] if np.isnan(value) else value <= tree.threshold[node]
            node = (tree.children_left if goes_left else tree.children_right)[node]
        reached.append(tree.value[node, 0, 1])
    return float(np.mean(reached))


def _assert_explains(forest: Forest, estimator: RandomForestClassifier, rows: Floats) -> None:
    contributions = forest.contributions(rows)
    assert contributions == pytest.approx(_shap_values(estimator, rows), abs=EXACT)
    assert forest.base_value + contributions.sum(axis=1) == pytest.approx(forest.probabilities(rows), abs=EXACT)


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_end_in_the_leaves_where_scikit_learn_sees_them(shape: str) -> None:
    estimator, forest, rows = _trained(shape, with_unknown=True)
    for table in (rows, _on_thresholds(forest)):
        ends = forest.ends(table)
        assert (forest.feature[ends] == LEAF).all()
        by_tree = [member.tree_.apply(table.astype(np.float32)) for member in estimator.estimators_]
        assert (ends - forest.roots).T.tolist() == np.array(by_tree).tolist()


@pytest.mark.parametrize("with_unknown", [False, True], ids=["all_known", "with_unknown"])
@pytest.mark.parametrize("shape", SHAPES)
def test_probabilities_and_contributions_are_those_of_scikit_learn_and_shap(shape: str, with_unknown: bool) -> None:
    estimator, forest, rows = _trained(shape, with_unknown=with_unknown)
    assert forest.probabilities(rows) == pytest.approx(estimator.predict_proba(rows)[:, 1], abs=1e-12)
    _assert_explains(forest, estimator, rows[:25])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_value_on_a_threshold_or_one_float32_beside_it_goes_where_scikit_learn_sends_it(shape: str) -> None:
    estimator, forest, _ = _trained(shape, with_unknown=False)
    rows = _on_thresholds(forest)
    assert forest.probabilities(rows) == pytest.approx(estimator.predict_proba(rows)[:, 1], abs=1e-12)
    _assert_explains(forest, estimator, rows[:25].astype(np.float64))


@pytest.mark.parametrize("shape", ["as_trained", "unlimited", "stumps"])
def test_an_unknown_value_that_training_never_saw_follows_the_trees_nodes(shape: str) -> None:
    estimator, forest, rows = _trained(shape, with_unknown=False)
    rows = rows[:25].copy()
    rows[np.random.default_rng(3).random(rows.shape) < 0.4] = np.nan
    expected = [_walk_by_hand(estimator, row) for row in rows]
    assert forest.probabilities(rows) == pytest.approx(expected, abs=1e-12)
    _assert_explains(forest, estimator, rows)


def test_a_row_of_which_nothing_is_known_is_scored_and_explained() -> None:
    estimator, forest, _ = _trained("as_trained", with_unknown=True)
    nothing = np.full((1, FEATURES), np.nan)
    assert forest.probabilities(nothing) == pytest.approx([_walk_by_hand(estimator, nothing[0])], abs=1e-12)
    _assert_explains(forest, estimator, nothing)


def test_weighted_training_rows_weigh_in_the_explanation() -> None:
    rows, outcome = _data(4, with_unknown=True)
    estimator = RandomForestClassifier(10, max_depth=5, class_weight="balanced", random_state=1).fit(rows, outcome)
    _assert_explains(flatten(estimator), estimator, rows[:25])


def test_a_forest_of_lone_leaves_gives_its_base_value_and_explains_nothing() -> None:
    rows, outcome = _data(1, with_unknown=False, rows=40)
    estimator = RandomForestClassifier(5, min_samples_leaf=30, random_state=1).fit(rows, outcome)
    forest = flatten(estimator)
    assert len(forest.feature) == 5
    assert forest.probabilities(rows) == pytest.approx(estimator.predict_proba(rows)[:, 1], abs=1e-12)
    assert forest.probabilities(rows[:1]) == pytest.approx([forest.base_value], abs=1e-12)
    assert not forest.contributions(rows).any()


def test_features_that_no_tree_uses_contribute_nothing(make_forest: Callable[..., Forest]) -> None:
    forest = make_forest()
    rows = np.array([[1.0, *[9.0] * 10], [2.0, *[9.0] * 10]])
    assert forest.contributions(rows).tolist() == [[-0.25, *[0.0] * 10], [0.25, *[0.0] * 10]]


def test_a_batch_longer_than_one_walk_takes_is_the_same_as_its_rows() -> None:
    _, forest, rows = _trained("stumps", with_unknown=True)
    batch = np.resize(rows, (ROWS_AT_A_TIME * 2 + 3, FEATURES))
    assert forest.probabilities(batch).tolist() == np.resize(forest.probabilities(rows), len(batch)).tolist()


def test_no_rows_give_no_scores(make_forest: Callable[..., Forest]) -> None:
    nothing = np.empty((0, FEATURES))
    assert make_forest().probabilities(nothing).shape == (0,)
    assert make_forest().contributions(nothing).shape == (0, FEATURES)


def test_thresholds_keep_every_comparison_when_they_become_float32() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=2_000).astype(np.float32)
    beside = rng.choice(np.array([0.0, 1e-12, -1e-12, 1e-9, -1e-9]), len(values))
    thresholds = values.astype(np.float64) * (1 + beside)
    kept = largest_float32_not_above(thresholds)
    assert ((values <= kept) == (values.astype(np.float64) <= thresholds)).all()


def test_arrays_read_back_as_the_same_forest(make_forest: Callable[..., Forest]) -> None:
    forest = Forest.from_arrays(make_forest().to_arrays(), FEATURES)
    assert forest.probabilities([[1.0] * FEATURES, [2.0] * FEATURES]).tolist() == [0.25, 0.75]


def _changed(forest: Forest, name: str, index: int, value: float) -> Forest:
    array = getattr(forest, name).copy()
    array[index] = value
    return replace(forest, **{name: array})


FORGED: dict[str, Callable[[Forest], Forest]] = {
    "a node that is its own child": lambda forest: _changed(forest, "left", 0, 0),
    "a child beyond the last node": lambda forest: _changed(forest, "right", 0, 3),
    "a child before the first node": lambda forest: _changed(forest, "right", 0, -2),
    "one child on both sides": lambda forest: _changed(forest, "right", 0, 1),
    "a root that is a child, too": lambda forest: replace(forest, roots=np.array([0, 1], np.int32)),
    "a node that nothing leads to": lambda forest: replace(forest, roots=np.array([1], np.int32)),
    "a root beyond the last node": lambda forest: _changed(forest, "roots", 0, 3),
    "a root before the first node": lambda forest: _changed(forest, "roots", 0, -1),
    "no roots": lambda forest: replace(forest, roots=np.array([], np.int32)),
    "an unknown feature": lambda forest: _changed(forest, "feature", 0, FEATURES),
    "a feature below the mark of leaves": lambda forest: _changed(forest, "feature", 1, LEAF - 1),
    "a value that is no number": lambda forest: _changed(forest, "value", 1, np.nan),
    "an infinite value": lambda forest: _changed(forest, "value", 1, np.inf),
    "a value that is no share": lambda forest: _changed(forest, "value", 1, 1.5),
    "a threshold that is no number": lambda forest: _changed(forest, "threshold", 0, np.nan),
    "a node that no row reached": lambda forest: _changed(forest, "cover", 1, 0),
    "an infinite weight": lambda forest: _changed(forest, "cover", 1, np.inf),
    "a weight that is no number": lambda forest: _changed(forest, "cover", 1, np.nan),
    "one value too few": lambda forest: replace(forest, value=forest.value[:2]),
    "a table in place of a list": lambda forest: replace(forest, value=forest.value[:, None]),
    "features of another type": lambda forest: replace(forest, feature=forest.feature.astype(np.float64)),
    "thresholds of another type": lambda forest: replace(forest, threshold=forest.threshold.astype(np.float64)),
}


@pytest.mark.parametrize("forgery", FORGED)
def test_arrays_that_form_no_forest_are_damaged(forgery: str, make_forest: Callable[..., Forest]) -> None:
    with pytest.raises(Damaged, match="train again"):
        Forest.from_arrays(FORGED[forgery](make_forest()).to_arrays(), FEATURES)


def test_a_cycle_further_down_is_damaged() -> None:
    _, forest, _ = _trained("one_tree", with_unknown=False)
    deepest = int(np.flatnonzero(forest.feature != LEAF)[-1])
    with pytest.raises(Damaged, match="do not form trees"):
        Forest.from_arrays(_changed(forest, "left", deepest, 1).to_arrays(), FEATURES)


@pytest.mark.parametrize("name", ["feature", "roots"])
def test_a_missing_or_unknown_array_is_damaged(name: str, make_forest: Callable[..., Forest]) -> None:
    arrays = make_forest().to_arrays()
    with pytest.raises(Damaged, match="the forest's arrays are"):
        Forest.from_arrays({**arrays, "weights": arrays["value"]}, FEATURES)
    del arrays[name]
    with pytest.raises(Damaged, match="the forest's arrays are"):
        Forest.from_arrays(arrays, FEATURES)
