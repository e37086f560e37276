"""Fitting the forest, and turning what scikit-learn built into the arrays that are served."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier

from leadscore.evaluation import brier_score_of, log_loss_of, roc_auc_of
from leadscore.forest import LEAF, Floats, Forest, largest_float32_not_above
from leadscore_assets.training.bagging import SEED, TREES, Flags, Numbers, grow
from leadscore_assets.training.selection import STRENGTHS, Trial, choose, trial
from leadscore_assets.training.shrinkage import shrink

# fine trees are better for most orgs; coarse ones for some with thousands of leads, and faster to score
SHAPES: dict[str, dict[str, Any]] = {
    "fine": {"max_depth": 10, "min_samples_split": 10, "min_samples_leaf": 5, "max_features": "sqrt"},
    "coarse": {"max_depth": 10, "min_samples_split": 80, "min_samples_leaf": 40, "max_features": 0.6},
}
# with fewer leads the coarse shape was never surely better, so it is not grown
LEADS_WORTH_A_CHOICE = 1_000
ROWS_WORTH_TWO_CORES = 10_000
CONVERTED = 1


@dataclass(frozen=True)
class Fitted:
    """A fitted forest, and what was tried and chosen on the way, as plain numbers and texts for the manifest."""

    estimator: RandomForestClassifier
    parameters: dict[str, Any]


def fit(rows: Floats, converted: Flags, lead_numbers: Numbers) -> Fitted:
    """Return the forest chosen for `rows`, shape (rows, features), NaN for unknown; outcomes and leads, shape (rows,).

    Both outcomes must occur. One forest per shape is grown; `selection` says how they are judged. The number of
    cores used changes the time, not the result.
    """
    table, outcomes = rows.astype(np.float32), converted.astype(np.int8)
    leads = np.unique(lead_numbers, return_inverse=True)[1]
    shapes = list(SHAPES.values())[: 1 if leads.max() + 1 < LEADS_WORTH_A_CHOICE else None]
    cores = joblib.Parallel(n_jobs=2 if len(rows) >= ROWS_WORTH_TWO_CORES else 1, prefer="threads")
    forests = cores(joblib.delayed(grow)(table, outcomes, leads, shape) for shape in shapes)
    trials = [trial(forest, table, converted) for forest in forests]
    chosen = choose(trials, leads)
    estimator = forests[chosen].estimator
    shrink(estimator, STRENGTHS[trials[chosen].best])
    return Fitted(estimator, _parameters(trials, chosen, converted))


def _parameters(trials: list[Trial], chosen: int, converted: Flags) -> dict[str, Any]:
    names, best = list(SHAPES), trials[chosen].best
    probabilities = trials[chosen].probabilities[:, best]
    return {
        "shape": names[chosen],
        **SHAPES[names[chosen]],
        "n_estimators": TREES,
        "random_state": SEED,
        "bootstrap": "of leads",
        "shrinkage": STRENGTHS[best],
        "out_of_bag": {
            "log_loss": log_loss_of(probabilities, converted),
            "brier_score": brier_score_of(probabilities, converted),
            "roc_auc": roc_auc_of(probabilities, converted),
        },
        "tried": [
            {"shape": name, "shrinkage": strength, "log_loss": float(loss)}
            for name, tried in zip(names, trials, strict=False)
            for strength, loss in zip(STRENGTHS, tried.losses.mean(axis=0), strict=True)
        ],
    }


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
