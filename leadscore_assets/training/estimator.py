"""A forest as an estimator of scikit-learn and back, and the file that keeps one for notebooks."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import NODE_DTYPE, Tree

from leadscore.arrays import Floats
from leadscore.forest import LEAF, Forest, largest_float32_not_above
from leadscore.registry.safetensors import compressed

CONVERTED = 1
CLASSES = np.array([0, CONVERTED], dtype=np.int8)
# how scikit-learn marks what a leaf does not have
NO_CHILD, NO_FEATURE = -1, -2


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


def estimator_of(forest: Forest, feature_count: int) -> RandomForestClassifier:
    """Return `forest`, over so many features, as an estimator that gives the same probabilities.

    It is fitted, and not to be fitted again.
    """
    ends = np.append(forest.roots[1:], len(forest.feature))
    members = [
        _member(forest, int(root), int(end), feature_count) for root, end in zip(forest.roots, ends, strict=True)
    ]
    estimator = RandomForestClassifier(n_estimators=len(members), n_jobs=1)
    estimator.estimators_ = members
    estimator.n_features_in_, estimator.n_outputs_ = feature_count, 1
    estimator.classes_, estimator.n_classes_ = CLASSES, len(CLASSES)
    return estimator


def _member(forest: Forest, root: int, end: int, feature_count: int) -> DecisionTreeClassifier:
    at = slice(root, end)
    is_leaf = forest.feature[at] == LEAF
    nodes = np.zeros(end - root, dtype=NODE_DTYPE)
    nodes["left_child"] = np.where(is_leaf, NO_CHILD, forest.left[at] - root)
    nodes["right_child"] = np.where(is_leaf, NO_CHILD, forest.right[at] - root)
    nodes["feature"] = np.where(is_leaf, NO_FEATURE, forest.feature[at])
    nodes["threshold"] = np.where(is_leaf, NO_FEATURE, forest.threshold[at].astype(np.float64))
    nodes["impurity"] = 2 * forest.value[at] * (1 - forest.value[at])
    nodes["weighted_n_node_samples"] = forest.cover[at]
    nodes["n_node_samples"] = forest.cover[at].astype(np.int64)
    nodes["missing_go_to_left"] = forest.missing_goes_left[at]
    values = np.stack([1 - forest.value[at], forest.value[at]], axis=1)[:, None, :]
    member = DecisionTreeClassifier()
    member.tree_ = _tree(nodes, values, feature_count)
    member.n_features_in_, member.n_outputs_, member.max_features_ = feature_count, 1, feature_count
    member.classes_, member.n_classes_ = CLASSES, len(CLASSES)
    return member


def _tree(nodes: npt.NDArray[Any], values: Floats, feature_count: int) -> Tree:
    tree = Tree(feature_count, np.array([len(CLASSES)], dtype=np.intp), 1)
    # scikit-learn takes the memory for a path by the depth, and trusts it
    state = {
        "max_depth": _depth(nodes),
        "node_count": len(nodes),
        "nodes": nodes,
        "values": np.ascontiguousarray(values),
    }
    tree.__setstate__(state)
    return tree


def _depth(nodes: npt.NDArray[Any]) -> int:
    """Return how many splits stand above the deepest leaf; a child stands behind its parent."""
    depth = np.zeros(len(nodes), dtype=np.intp)
    for place in np.flatnonzero(nodes["left_child"] != NO_CHILD).tolist():
        depth[[nodes["left_child"][place], nodes["right_child"][place]]] = depth[place] + 1
    return int(depth.max())


def estimator_bytes(estimator: RandomForestClassifier) -> bytes:
    """Return the estimator as a file for `joblib.load`, for notebooks; the server never opens it.

    That reads any pickle, compressed or not. `joblib.dump` takes twice the time for the same.
    """
    return compressed(pickle.dumps(estimator, protocol=5))
