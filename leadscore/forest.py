"""A random forest as plain arrays, as a training leaves it and a version keeps it; `engine` scores with it.

Thresholds are stored as the largest float32 that is not above scikit-learn's float64 threshold, which keeps every
comparison with a float32 value the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from leadscore.arrays import Flags, Float32s, Floats, Int32s
from leadscore.engine.boxes import Boxes, Leaves, lay_out
from leadscore.engine.nodes import Branches, Steps, pack, walked
from leadscore.engine.scorer import Scorer
from leadscore.errors import Damaged

LEAF = -1
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
    left: Int32s
    right: Int32s
    missing_goes_left: Flags
    value: Floats
    cover: Floats
    roots: Int32s

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]], feature_count: int) -> Forest:
        """Return the forest in `arrays`. Raises Damaged when they are not a forest over `feature_count` features."""
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

    @cached_property
    def scorer(self) -> Scorer:
        """The scorer of this forest. Raises ValueError when the forest is too large for the engine."""
        width = int(self.feature.max()) + 1
        branches = Branches(self.feature, self.threshold, self.left, self.right, self.missing_goes_left, self.value)
        return Scorer.of(pack(branches, self.roots), self._boxes(width), width)

    def verdicts(self, rows: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Return what `Scorer.verdicts` does."""
        return self.scorer.verdicts(rows)

    def probabilities(self, rows: npt.ArrayLike) -> Floats:
        """Return what `Scorer.probabilities` does."""
        return self.scorer.probabilities(rows)

    def contributions(self, rows: npt.ArrayLike) -> Floats:
        """Return what `Scorer.contributions` does."""
        return self.scorer.contributions(rows)

    @property
    def base_value(self) -> float:
        """The scorer's base value."""
        return self.scorer.base_value

    def ends(self, rows: npt.ArrayLike) -> Int32s:
        """Return the leaf where each row ends in each tree, shape (rows, trees), for `rows`, shape (rows, features)."""
        table = np.ascontiguousarray(rows, dtype=np.float32)
        is_leaf, itself = (self.feature == LEAF)[:, None], np.arange(len(self.feature))[:, None]
        children = np.where(is_leaf, itself, np.stack([self.left, self.right], axis=1))
        feature, depth = np.maximum(self.feature, 0).astype(np.int64), sum(1 for _ in self.levels())
        steps = Steps(self.threshold, feature, self.missing_goes_left, children)
        parts = (ends.astype(np.int32) for ends in walked(table, self.roots.astype(np.int64), depth, steps))
        return np.concatenate([np.empty((0, len(self.roots)), np.int32), *parts])

    def levels(self) -> Iterator[Int32s]:
        """Yield the inner nodes of each level, the roots' first."""
        level = self.roots[self.feature[self.roots] != LEAF]
        while len(level):
            yield level
            below = np.concatenate([self.left[level], self.right[level]])
            level = below[self.feature[below] != LEAF]

    def _boxes(self, width: int) -> Boxes:
        """Return the leaves as boxes; a lone root has no path, and is none."""
        is_used, low, high, lets_unknown, share = self._node_boxes(width)
        at = np.flatnonzero((self.feature == LEAF) & is_used.any(axis=1))
        return lay_out(Leaves(is_used[at], low[at], high[at], lets_unknown[at], share[at], self.value[at]))

    def _node_boxes(self, width: int) -> tuple[npt.NDArray[Any], ...]:
        """Return, shape (nodes, features) each: on the path or not, low, high, takes missing, share of cover."""
        shape = (len(self.feature), width)
        is_used, takes_missing = np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool)
        low, high = np.full(shape, -np.inf, dtype=np.float32), np.full(shape, np.inf, dtype=np.float32)
        share = np.ones(shape)
        boxes = (is_used, low, high, takes_missing, share)
        for parent in self.levels():
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


def largest_float32_not_above(thresholds: Floats) -> Float32s:
    """Return, for each float64 threshold, the largest float32 t such that x <= t is x <= threshold for float32 x."""
    rounded = thresholds.astype(np.float32)
    is_above = rounded.astype(np.float64) > thresholds
    rounded[is_above] = np.nextafter(rounded[is_above], np.float32(-np.inf))
    return rounded
