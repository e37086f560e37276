"""A random forest as plain arrays: probabilities exactly as scikit-learn gives them, and exact SHAP contributions.

Probability. A row is cast to float32 and walks every tree, as in scikit-learn; a row's probability is the mean of
the values of its leaves. Thresholds are stored as the largest float32 that is not above scikit-learn's float64
threshold, which keeps every comparison with a float32 value the same. An unknown value (NaN) takes the side that
the node learned for it.

Contributions. These are the path-dependent SHAP values of tree models (Lundberg et al. 2020, "From local
explanations to global understanding with explainable AI for trees"). A leaf of value v is a box: for each feature
j on its path an interval, and the share z_j of the training rows that the splits on j let through. With o_j = 1 when
the row lies inside the interval and 0 otherwise, the Shapley weights are Beta integrals, so the leaf gives feature i

    v (o_i - z_i) ∫₀¹ ∏_{j≠i} (o_j t + z_j (1 - t)) dt.

The integrand is a polynomial of degree d - 1 for d features on the path, for which Gauss-Legendre quadrature with
⌈d/2⌉ nodes is exact. Leaves with the same d are computed together. The cost of a row is proportional to the sum of
d² over the leaves, whatever the trees' depth; the boxes are derived once per forest, when first needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from leadscore.errors import Damaged

Floats = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

LEAF = -1
ROWS_AT_A_TIME = 4_096
_ARRAY_TYPES = {
    "feature": np.int16,
    "threshold": np.float32,
    "left": np.int32,
    "right": np.int32,
    "missing_goes_left": np.bool_,
    "value": np.float64,
    "cover": np.float64,
    "roots": np.int32,
}


@dataclass(frozen=True)
class _LeafBoxes:
    """All leaves with d features on their path; arrays of shape (d, leaves), `leaf` and `value` of shape (leaves,).

    `leaf` holds their places among all leaves of the forest.
    """

    leaf: npt.NDArray[np.intp]
    feature: npt.NDArray[np.intp]
    low: Float32s
    high: Float32s
    takes_missing: npt.NDArray[np.bool_]
    cover_share: Floats
    value: Floats

    def contributions(self, row: Float32s, feature_count: int) -> Floats:
        """Return what these leaves give each feature, shape (features,)."""
        values = row[self.feature]
        is_inside = (values > self.low) & (values <= self.high) | np.isnan(values) & self.takes_missing
        inside, share = is_inside.astype(np.float64), self.cover_share
        integral = np.zeros_like(share)
        for node, weight in zip(*_quadrature(len(share)), strict=True):
            factors = inside * node + share * (1 - node)
            integral += weight * factors.prod(axis=0) / factors
        given = self.value * (inside - share) * integral
        return np.bincount(self.feature.ravel(), weights=given.ravel(), minlength=feature_count).astype(np.float64)


@dataclass(frozen=True)
class Forest:
    """The nodes of all trees, one after the other; a child stands after its parent.

    `feature` is LEAF at a leaf, where `left` and `right` are not used. `value` is a node's share of converted rows,
    in a shrunk forest drawn towards its parent's; `cover` the weight of the training rows that reached it. `roots`
    holds the index of each tree's first node.
    """

    feature: npt.NDArray[np.int16]
    threshold: Float32s
    left: Ints
    right: Ints
    missing_goes_left: npt.NDArray[np.bool_]
    value: Floats
    cover: Floats
    roots: Ints

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]], feature_count: int) -> Forest:
        """Return the forest in `arrays`. Raises Damaged when they are no forest over `feature_count` features."""
        expected = {field.name for field in fields(cls)}
        if arrays.keys() != expected:
            raise Damaged(f"the forest's arrays are {sorted(arrays)}, expected {sorted(expected)}; train again")
        forest = cls(**arrays)
        if not (forest._is_typed() and forest._is_sound(feature_count)):
            raise Damaged("the forest's nodes do not form trees; train again")
        return forest

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by name, as `from_arrays` takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _is_typed(self) -> bool:
        arrays = self.to_arrays()
        sizes = {array.shape for name, array in arrays.items() if name != "roots"}
        return len(sizes) == 1 and all(
            array.ndim == 1 and array.dtype == _ARRAY_TYPES[name] and len(array) for name, array in arrays.items()
        )

    def _is_sound(self, feature_count: int) -> bool:
        inner = np.flatnonzero(self.feature != LEAF)
        children = np.concatenate([self.left[inner], self.right[inner]])
        # every node is a root or some node's child, and only once: no cycle, no shared branch, nothing out of reach
        reached = np.sort(np.concatenate([self.roots, children]))
        is_tree = np.array_equal(reached, np.arange(len(self.feature))) and (children > np.tile(inner, 2)).all()
        known = (self.feature >= LEAF) & (self.feature < feature_count)
        shares = (self.value >= 0) & (self.value <= 1)
        weights = (self.cover > 0) & np.isfinite(self.cover)
        return bool(is_tree and known.all() and shares.all() and weights.all() and not np.isnan(self.threshold).any())

    def tree_probabilities(self, rows: npt.ArrayLike) -> Floats:
        """Return each tree's probability, shape (rows, trees), for `rows` of shape (rows, features)."""
        parts = [self.value[nodes] for nodes in self._ends(rows)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.roots)))

    def probabilities(self, rows: npt.ArrayLike) -> Floats:
        """Return the probability of conversion, shape (rows,), for `rows` of shape (rows, features)."""
        means: Floats = self.tree_probabilities(rows).mean(axis=1)
        return means

    def contributions(self, rows: npt.ArrayLike) -> Floats:
        """Return the SHAP values on the probability scale, shape (rows, features).

        `base_value` plus a row's contributions is the row's probability.
        """
        table = np.ascontiguousarray(rows, dtype=np.float32)
        out = np.zeros(table.shape)
        for index, row in enumerate(table):
            out[index] = sum(boxes.contributions(row, table.shape[1]) for boxes in self._boxes)
        return out / len(self.roots)

    @cached_property
    def base_value(self) -> float:
        """The probability with no feature known: the mean over the training rows that each tree saw."""
        total = sum(float((boxes.value * boxes.cover_share.prod(axis=0)).sum()) for boxes in self._boxes)
        lone = sum(float(self.value[root]) for root in self.roots if self.feature[root] == LEAF)
        return (total + lone) / len(self.roots)

    @property
    def leaf_values(self) -> Floats:
        """The leaves' values, shape (leaves,), in the order of the nodes."""
        return self._at_leaves(self.value)

    @cached_property
    def leaf_shares(self) -> Floats:
        """Each leaf's weight in `base_value`, shape (leaves,): the share of the training rows that it got."""
        share = np.zeros(len(self.feature))
        share[self.roots] = 1 / len(self.roots)
        for parent in self._levels():
            for child in (self.left[parent], self.right[parent]):
                share[child] = share[parent] * self.cover[child] / self.cover[parent]
        return self._at_leaves(share)

    def leaf_shares_of(self, rows: npt.ArrayLike) -> Floats:
        """Return each leaf's weight in the mean probability of `rows`, shape (leaves,); there is at least one row."""
        counts = np.zeros(len(self.feature))
        for nodes in self._ends(rows):
            counts += np.bincount(nodes.ravel(), minlength=len(counts))
        return self._at_leaves(counts / counts.sum())

    def with_leaf_values(self, values: Floats) -> Forest:
        """Return this forest with other values at its leaves, shape (leaves,); inner nodes get the mean of theirs.

        Both forests share every array but the values, also those that were derived.
        """
        value = self.value.copy()
        value[self.feature == LEAF] = values
        for parent in reversed([*self._levels()]):
            left, right = self.left[parent], self.right[parent]
            weight, other = self.cover[left], self.cover[right]
            value[parent] = (value[left] * weight + value[right] * other) / (weight + other)
        forest = replace(self, value=value)
        boxes = tuple(replace(group, value=values[group.leaf]) for group in self._boxes)
        vars(forest).update(leaf_shares=self.leaf_shares, _steps=self._steps, _depth=self._depth, _boxes=boxes)
        return forest

    def _at_leaves(self, of_nodes: Floats) -> Floats:
        of_leaves: Floats = of_nodes[self.feature == LEAF]
        return of_leaves

    def _ends(self, rows: npt.ArrayLike) -> Iterator[Ints]:
        """Yield the node in which each row ends in each tree, some thousand rows at a time, shape (rows, trees)."""
        table = np.ascontiguousarray(rows, dtype=np.float32)
        for start in range(0, len(table), ROWS_AT_A_TIME):
            yield self._walk(table[start : start + ROWS_AT_A_TIME])

    def _walk(self, table: Float32s) -> Ints:
        feature, threshold, left, right = self._steps
        at = np.broadcast_to(self.roots, (len(table), len(self.roots))).astype(np.int32)
        of_row = np.arange(len(table))[:, None]
        has_missing = bool(np.isnan(table).any())
        for _ in range(self._depth):
            values = table[of_row, feature[at]]
            goes_left = values <= threshold[at]
            if has_missing:
                goes_left |= np.isnan(values) & self.missing_goes_left[at]
            at = np.where(goes_left, left[at], right[at])
        return at

    @cached_property
    def _steps(self) -> tuple[npt.NDArray[np.int16], Float32s, Ints, Ints]:
        """Node arrays in which a leaf leads back to itself, so that all rows can walk the same number of steps."""
        is_leaf = self.feature == LEAF
        itself = np.arange(len(self.feature), dtype=np.int32)
        return (
            np.where(is_leaf, np.int16(0), self.feature),
            self.threshold,
            np.where(is_leaf, itself, self.left),
            np.where(is_leaf, itself, self.right),
        )

    @cached_property
    def _depth(self) -> int:
        return sum(1 for _ in self._levels())

    def _levels(self) -> Iterator[Ints]:
        """Yield the inner nodes of each level, the roots' first."""
        level = self.roots[self.feature[self.roots] != LEAF]
        while len(level):
            yield level
            below = np.concatenate([self.left[level], self.right[level]])
            level = below[self.feature[below] != LEAF]

    @cached_property
    def _boxes(self) -> tuple[_LeafBoxes, ...]:
        """The leaves as boxes, grouped by how many features stand on their path; lone roots have none."""
        width = int(self.feature.max()) + 1
        leaves = np.flatnonzero(self.feature == LEAF)
        is_used, low, high, missing, share = (array[leaves] for array in self._node_boxes(width))
        path_length = is_used.sum(axis=1)
        groups = []
        for length in np.unique(path_length[path_length > 0]):
            which = np.flatnonzero(path_length == length)
            on_path = np.nonzero(is_used[which])[1].reshape(-1, length).T
            pick = (which[None, :], on_path)
            groups.append(
                _LeafBoxes(which, on_path, low[pick], high[pick], missing[pick], share[pick], self.leaf_values[which])
            )
        return tuple(groups)

    def _node_boxes(self, width: int) -> tuple[npt.NDArray[Any], ...]:
        """Return, shape (nodes, features) each: on the path or not, low, high, takes missing, share of cover."""
        shape = (len(self.feature), width)
        is_used, takes_missing = np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool)
        low, high = np.full(shape, -np.inf, dtype=np.float32), np.full(shape, np.inf, dtype=np.float32)
        share = np.ones(shape)
        boxes = (is_used, low, high, takes_missing, share)
        for parent in self._levels():
            split, threshold = self.feature[parent], self.threshold[parent]
            for child, is_left in ((self.left[parent], True), (self.right[parent], False)):
                for array in boxes:
                    array[child] = array[parent]
                is_used[child, split] = True
                takes_missing[child, split] &= self.missing_goes_left[parent] == is_left
                share[child, split] *= self.cover[child] / self.cover[parent]
                if is_left:
                    high[child, split] = np.minimum(high[child, split], threshold)
                else:
                    low[child, split] = np.maximum(low[child, split], threshold)
        return boxes


def _quadrature(degree: int) -> tuple[Floats, Floats]:
    """Return Gauss-Legendre nodes and weights on [0, 1], exact for polynomials below `degree`."""
    nodes, weights = np.polynomial.legendre.leggauss((degree + 1) // 2)
    return (nodes + 1) / 2, weights / 2


def largest_float32_not_above(thresholds: Floats) -> Float32s:
    """Return, for each float64 threshold, the largest float32 t such that x <= t is x <= threshold for float32 x."""
    rounded = thresholds.astype(np.float32)
    is_above = rounded.astype(np.float64) > thresholds
    rounded[is_above] = np.nextafter(rounded[is_above], np.float32(-np.inf))
    return rounded
