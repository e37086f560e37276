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
⌈d/2⌉ nodes is exact. The cost of a row is proportional to the sum of d² over the leaves, whatever the trees' depth.
`engine.boxes` lays the leaves out, once per forest.

Both are computed by `engine`'s compiled kernels where there are any, and by numpy where there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from leadscore.engine.boxes import MOST_FEATURES, Boxes, Leaves, lay_out, quadrature
from leadscore.engine.native import address, kernels
from leadscore.errors import Damaged

Floats = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

LEAF = -1
AGREEMENT = 0.5
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

    def verdicts(self, rows: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Return, both of shape (rows,), the probability of conversion and the number of trees that say 0.5 or more."""
        compiled = kernels()
        if compiled is None:
            by_tree = self.tree_probabilities(rows)
            return by_tree.mean(axis=1), (by_tree >= AGREEMENT).sum(axis=1).astype(np.float64)
        sums = compiled.walk(self._node_addresses, len(self.roots), self._table(rows))
        return sums[:, 0] / len(self.roots), sums[:, 1]

    def probabilities(self, rows: npt.ArrayLike) -> Floats:
        """Return the probability of conversion, shape (rows,), for `rows` of shape (rows, features)."""
        return self.verdicts(rows)[0]

    def contributions(self, rows: npt.ArrayLike) -> Floats:
        """Return the SHAP values on the probability scale, shape (rows, features).

        `base_value` plus a row's contributions is the row's probability.
        """
        table, compiled = self._table(rows), kernels()
        if compiled is None or self.boxes.most_features > MOST_FEATURES:
            return contributions_by_numpy(self.boxes, table) / len(self.roots)
        return compiled.contributions(self._box_addresses, table) / len(self.roots)

    @cached_property
    def base_value(self) -> float:
        """The probability with no feature known: the mean over the training rows that each tree saw."""
        lone = sum(float(self.value[root]) for root in self.roots if self.feature[root] == LEAF)
        return (self.boxes.base() + lone) / len(self.roots)

    def _table(self, rows: npt.ArrayLike) -> Float32s:
        """Return the rows as the kernels read them, which look at no bounds: every feature must have its column."""
        table = np.ascontiguousarray(rows, dtype=np.float32)
        if table.ndim != 2 or table.shape[1] < self._width:  # noqa: PLR2004 (rows and features)
            raise ValueError(f"rows of shape {table.shape} do not hold the {self._width} features of this forest")
        return table

    @cached_property
    def _width(self) -> int:
        return int(self.feature.max()) + 1

    @cached_property
    def _node_addresses(self) -> tuple[int, ...]:
        names = ("feature", "threshold", "left", "right", "missing_goes_left", "value", "roots")
        return tuple(address(getattr(self, name)) for name in names)

    @cached_property
    def _segments(self) -> npt.NDArray[np.int64]:
        return self.boxes.segments(MOST_FEATURES)

    @cached_property
    def _box_addresses(self) -> tuple[int, ...]:
        boxes = self.boxes
        arrays = (self._segments, boxes.groups, boxes.path_features, boxes.blocks, boxes.values)
        return tuple(address(array) for array in arrays)

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

    def with_moved_leaves(self, move: Callable[[Floats], Floats]) -> Forest:
        """Return this forest with `move(values)` at its leaves, which leaves a 0 a 0; inner nodes get their mean.

        `move` works item by item. Both forests share every array but the values, also those that were derived.
        """
        value, is_leaf = self.value.copy(), self.feature == LEAF
        value[is_leaf] = move(value[is_leaf])
        for parent in reversed([*self._levels()]):
            left, right = self.left[parent], self.right[parent]
            weight, other = self.cover[left], self.cover[right]
            value[parent] = (value[left] * weight + value[right] * other) / (weight + other)
        forest = replace(self, value=value)
        boxes = replace(self.boxes, values=move(self.boxes.values))
        vars(boxes)["groups"] = self.boxes.groups
        vars(forest).update(leaf_shares=self.leaf_shares, boxes=boxes)
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
    def boxes(self) -> Boxes:
        """The leaves as boxes; a lone root has no path, and is none."""
        is_used, low, high, lets_unknown, share = self._node_boxes(self._width)
        at = np.flatnonzero((self.feature == LEAF) & is_used.any(axis=1))
        return lay_out(Leaves(is_used[at], low[at], high[at], lets_unknown[at], share[at], self.value[at]))

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


def contributions_by_numpy(boxes: Boxes, rows: Float32s) -> Floats:
    """Return the sum of what all leaves give each feature, shape (rows, features), without compiled kernels."""
    given = np.zeros(rows.shape)
    for blocks, values, features in boxes.by_length():
        low, high, share = np.moveaxis(blocks["boxes"], 2, 0)
        lets_unknown = (
            np.unpackbits(blocks["lets_unknown"][:, : features.shape[1], None], axis=2, bitorder="little") > 0
        )
        share = share.astype(np.float64)
        for place, row in enumerate(rows):
            known = row[features][:, :, None]
            inside = ((known > low) & (known <= high) | np.isnan(known) & lets_unknown).astype(np.float64)
            by_leaf = values[:, None, :] * (inside - share) * _integrals(inside, share)
            given[place] += np.bincount(features.ravel(), by_leaf.sum(axis=2).ravel(), minlength=len(row))
    return given


def _integrals(inside: Floats, share: Floats) -> Floats:
    """Return, for each feature on a leaf's path (axis 1), the integral over the product of the others' factors."""
    integrals = np.zeros_like(share)
    for node, weight in quadrature(share.shape[1]):
        factors = inside * node + share * (1 - node)
        integrals += weight * factors.prod(axis=1, keepdims=True) / factors
    return integrals


def largest_float32_not_above(thresholds: Floats) -> Float32s:
    """Return, for each float64 threshold, the largest float32 t such that x <= t is x <= threshold for float32 x."""
    rounded = thresholds.astype(np.float32)
    is_above = rounded.astype(np.float64) > thresholds
    rounded[is_above] = np.nextafter(rounded[is_above], np.float32(-np.inf))
    return rounded
