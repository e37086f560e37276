"""Fits the forest with scikit-learn, and converts it into the arrays that are served."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier

from leadscore.arrays import Flags, Floats, Indices
from leadscore.forest import LEAF, Forest, largest_float32_not_above
from leadscore.registry.safetensors import compressed
from leadscore_assets.training.selection import Choice, choose
from leadscore_assets.training.shapes import SEED, SHAPES, TREES
from leadscore_assets.training.shrinkage import shrink

CONVERTED = 1


@dataclass(frozen=True)
class Fitted:
    """A fitted forest, and what was tried and chosen on the way, as plain numbers and texts for the manifest."""

    estimator: RandomForestClassifier
    parameters: dict[str, Any]


def fit(rows: Floats, converted: Flags, lead_numbers: Indices) -> Fitted:
    """Return the forest chosen for `rows`, shape (rows, features), NaN for unknown; outcomes and leads, shape (rows,).

    Both outcomes must occur. The same rows give the same forest, byte for byte. With few leads the time is that of
    growing the forest; with many, a forest of another shape is grown, too.
    """
    table, leads = rows.astype(np.float32), np.unique(lead_numbers, return_inverse=True)[1]
    choice, estimator = choose(table, converted, leads)
    shrink(estimator, choice.option.strength)
    return Fitted(estimator, _parameters(choice))


def _parameters(choice: Choice) -> dict[str, Any]:
    return {
        "n_estimators": TREES,
        **SHAPES[choice.option.shape],
        "random_state": SEED,
        "shape": choice.option.shape,
        "shrinkage": choice.option.strength,
        "left_out_leads": {
            **choice.figures,
            "tried": [
                {"shape": option.shape, "shrinkage": option.strength, "log_loss": loss}
                for option, loss in choice.log_loss.items()
            ],
        },
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
    """Return the estimator as a file for `joblib.load`, for notebooks; the server never opens it.

    That reads any pickle, compressed or not. `joblib.dump` takes twice the time for the same.
    """
    return compressed(pickle.dumps(estimator, protocol=5))
