"""Hierarchical shrinkage: the values of a fitted tree's nodes are drawn towards their parents'; its splits stay.

A leaf of few rows believes them too much. After Agarwal, Tan, Ronen, Singh and Yu, "Hierarchical Shrinkage: improving
the accuracy and interpretability of tree-based methods" (ICML 2022), every step from the root to a leaf is shortened
by the rows that stood behind it:

    shrunk(node) = shrunk(parent) + (value(node) - value(parent)) / (1 + strength / cover(parent)).

Both children move by the same factor, so a node stays the mean of its children by cover, the root and with it the
base value stay what they were, and all values stay shares. Structure and cover do not change: contributions are as
exact and additive as before. The cost is one pass over the nodes, for all strengths at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from leadscore.arrays import Floats, Indices


def shrunk_shares(tree: Any, strengths: Floats) -> Floats:
    """Return each node's share of the estimator's second class under each strength, shape (nodes, strengths).

    `tree` is the `tree_` of a member of a two-class forest. A strength is a number of rows: 0 changes nothing, and a
    step under a parent of that many rows is halved.
    """
    shares = tree.value[:, 0, 1]
    shrunk: Floats = np.repeat(shares[:, None], len(strengths), axis=1)
    for parents in _inner_levels(tree):
        keep = 1 / (1 + strengths / tree.weighted_n_node_samples[parents, None])
        for children in (tree.children_left[parents], tree.children_right[parents]):
            shrunk[children] = shrunk[parents] + (shares[children] - shares[parents])[:, None] * keep
    # a sum of rounded steps may pass 0 or 1 by its last bit
    return shrunk.clip(0.0, 1.0)


def shrink(estimator: RandomForestClassifier, strength: float) -> None:
    """Shrink all trees of a fitted two-class forest, in place."""
    for member in estimator.estimators_:
        shares = shrunk_shares(member.tree_, np.array([strength]))
        member.tree_.value[:, 0, :] = np.hstack([1 - shares, shares])


def _inner_levels(tree: Any) -> Iterator[Indices]:
    """Yield the inner nodes of each level, the root's first."""
    is_inner = tree.children_left != tree.children_right
    level = np.flatnonzero(is_inner[:1])
    while len(level):
        yield level
        below = np.concatenate([tree.children_left[level], tree.children_right[level]])
        level = below[is_inner[below]]
