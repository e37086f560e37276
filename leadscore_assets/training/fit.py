"""Fitting the forest, and turning what scikit-learn built into the arrays that are served."""

from __future__ import annotations

import io
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier

from leadscore.forest import LEAF, Floats, Forest, largest_float32_not_above

# the same numbers for every org; the seed makes the same records give the same bytes
PARAMETERS: dict[str, Any] = {
    "n_estimators": 100,
    "max_depth": 10,
    "min_samples_split": 10,
    "min_samples_leaf": 5,
    "max_features": "sqrt",
    "random_state": 42,
}
ROWS_WORTH_TWO_CORES = 10_000
CONVERTED = 1


def fit(rows: Floats, converted: npt.NDArray[np.bool_]) -> RandomForestClassifier:
    """Return a forest fitted to `rows`, shape (rows, features), NaN for unknown, and their outcomes, shape (rows,).

    Both outcomes must occur. The number of cores used changes the time, not the result.
    """
    estimator = RandomForestClassifier(**PARAMETERS, n_jobs=-1 if len(rows) >= ROWS_WORTH_TWO_CORES else 1)
    estimator.fit(rows.astype(np.float32), converted.astype(np.int8))
    return estimator.set_params(n_jobs=1)


def flatten(estimator: RandomForestClassifier) -> Forest:
    """Return the fitted two-class `estimator` as arrays that give the same probabilities."""
    trees = [member.tree_ for member in estimator.estimators_]
    starts = np.cumsum([0] + [tree.node_count for tree in trees])
    class_index = int(np.flatnonzero(estimator.classes_ == CONVERTED)[0])
    parts = [_tree_arrays(tree, start, class_index) for tree, start in zip(trees, starts[:-1], strict=True)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Forest(**joined, roots=starts[:-1].astype(np.int32))


def _tree_arrays(tree: Any, start: int, class_index: int) -> dict[str, npt.NDArray[Any]]:
    is_leaf = tree.children_left == tree.children_right
    return {
        "feature": np.where(is_leaf, LEAF, tree.feature).astype(np.int16),
        "threshold": largest_float32_not_above(np.where(is_leaf, 0.0, tree.threshold)),
        "left": np.where(is_leaf, LEAF, tree.children_left + start).astype(np.int32),
        "right": np.where(is_leaf, LEAF, tree.children_right + start).astype(np.int32),
        "missing_goes_left": tree.missing_go_to_left.astype(bool),
        "value": tree.value[:, 0, class_index].astype(np.float64),
        "cover": tree.weighted_n_node_samples.astype(np.float64),
    }


def estimator_bytes(estimator: RandomForestClassifier) -> bytes:
    """Return the estimator as a joblib file, for notebooks; the server never opens it."""
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer, compress=3)
    return buffer.getvalue()
