"""The kernels' computations in numpy: slower, but with the same results, for machines that cannot compile."""

from __future__ import annotations

import numpy as np

from leadscore.arrays import Float32s, Floats
from leadscore.engine.boxes import Boxes, quadrature
from leadscore.engine.nodes import Nodes
from leadscore.engine.ranks import UNKNOWN


def tree_values(nodes: Nodes, table: Float32s) -> Floats:
    """Return the value of the leaf that each row reaches in each tree, shape (rows, trees)."""
    return np.concatenate([np.empty((0, nodes.trees)), *(nodes.values[ends] for ends in nodes.ends(table))])


def contributions_by_numpy(boxes: Boxes, rows: Float32s) -> Floats:
    """Return the sum of what all leaves give each feature, shape (rows, features), without compiled kernels."""
    given, ranks = np.zeros(rows.shape), boxes.thresholds.ranks(rows)
    for parts, lets_unknown, values, features in boxes.by_length():
        first, last, share = parts["first"], parts["last"], parts["share"].astype(np.float64)
        for place, row in enumerate(ranks):
            rank = row[features[:, :, None]]
            inside = ((first <= rank) & (rank <= last) | (rank == UNKNOWN) & lets_unknown).astype(np.float64)
            by_leaf = values[:, None, :] * (inside - share) * _integrals(inside, share)
            given[place] += np.bincount(features.ravel(), by_leaf.sum(axis=2).ravel(), minlength=rows.shape[1])
    return given


def _integrals(inside: Floats, share: Floats) -> Floats:
    """Return, for each feature on a leaf's path (axis 1), the integral over the product of the others' factors."""
    integrals = np.zeros_like(share)
    for node, weight in quadrature(share.shape[1]):
        factors = inside * node + share * (1 - node)
        integrals += weight * factors.prod(axis=1, keepdims=True) / factors
    return integrals
