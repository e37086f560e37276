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

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from leadscore.arrays import Floats, Indices


def shrunk_shares(trees: Sequence[Any], strengths: Floats) -> list[Floats]:
    """Return, per tree, each node's share of the second class under each strength, shape (nodes, strengths).

    `trees` are the `tree_` of members of a two-class forest. A strength is a number of rows: 0 changes nothing, and a
    step under a parent of that many rows is halved. All trees together take little longer than one.
    """
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])
    shares = np.concatenate([tree.value[:, 0, 1] for tree in trees])
    covers = np.concatenate([tree.weighted_n_node_samples for tree in trees])
    left, right = (
        np.concatenate([getattr(tree, side) + start for tree, start in zip(trees, starts, strict=False)])
        for side in ("children_left", "children_right")
    )
    shrunk: Floats = np.repeat(shares[:, None], len(strengths), axis=1)
    for parents in _inner_levels(left, right, starts[:-1]):
        keep = 1 / (1 + strengths / covers[parents, None])
        for children in (left[parents], right[parents]):
            shrunk[children] = shrunk[parents] + (shares[children] - shares[parents])[:, None] * keep
    # a sum of rounded steps may pass 0 or 1 by its last bit
    return np.split(shrunk.clip(0.0, 1.0), starts[1:-1])


def shrink(estimator: RandomForestClassifier, strength: float) -> None:
    """Shrink all trees of a fitted two-class forest, in place.

    Their shares are rounded to float32, as the engine's are: they move by less than 1e-7, and what is stored of a
    version gets smaller by a fifth.
    """
    trees = [member.tree_ for member in estimator.estimators_]
    for tree, shares in zip(trees, shrunk_shares(trees, np.array([strength])), strict=True):
        rounded = shares.astype(np.float32).astype(np.float64)
        tree.value[:, 0, :] = np.hstack([1 - rounded, rounded])


def _inner_levels(left: Indices, right: Indices, roots: Indices) -> Iterator[Indices]:
    """Yield the inner nodes of each level of all trees, the roots' first; a leaf has one place for both children."""
    is_inner = left != right
    level = roots[is_inner[roots]]
    while len(level):
        yield level
        below = np.concatenate([left[level], right[level]])
        level = below[is_inner[below]]
