"""A forest as it is served: probabilities exactly as scikit-learn gives them, and exact SHAP contributions.

Probability. A row is cast to float32 and walks every tree, as in scikit-learn; a row's probability is the mean of
the values of its leaves. `nodes` has what is walked. An unknown value (NaN) takes the side that the node learned.

Contributions. These are the path-dependent SHAP values of tree models (Lundberg et al. 2020, "From local
explanations to global understanding with explainable AI for trees"). A leaf of value v is a box: for each feature
j on its path an interval, and the share z_j of the training rows that the splits on j let through. With o_j = 1 when
the row lies inside the interval and 0 otherwise, the Shapley weights are Beta integrals, so the leaf gives feature i

    v (o_i - z_i) ∫₀¹ ∏_{j≠i} (o_j t + z_j (1 - t)) dt.

The integrand is a polynomial of degree d - 1 for d features on the path, for which Gauss-Legendre quadrature with
⌈d/2⌉ nodes is exact. The cost of a row is proportional to the sum of d² over the leaves, whatever the trees' depth.

Compiled kernels compute both or, where there are none, `by_numpy`. The kernels do not check bounds, so arrays from a
file are checked here, once.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from leadscore.arrays import Float32s, Floats, Ints
from leadscore.engine.boxes import MOST_FEATURES, Boxes
from leadscore.engine.by_numpy import contributions_by_numpy, tree_values
from leadscore.engine.native import address, kernels
from leadscore.engine.nodes import AGREEMENT, WALKERS, Nodes
from leadscore.engine.ranks import Thresholds
from leadscore.errors import Damaged

_ARRAYS: dict[str, tuple[type, int]] = {
    "words": (np.uint64, 1),
    "node_values": (np.float64, 1),
    "roots": (np.int32, 1),
    "trees_and_depth": (np.int64, 1),
    "groups": (np.int32, 2),
    "path_features": (np.uint8, 1),
    "blocks": (np.uint8, 1),
    "lets_unknown": (np.uint16, 1),
    "leaf_values": (np.float32, 1),
    "thresholds": (np.float32, 1),
    "threshold_starts": (np.int64, 1),
    "base_value": (np.float64, 1),
}
_SHAPES = {"trees_and_depth": (2,), "base_value": (1,)}
_GROUP_NUMBERS = 4
_VERDICT_BYTES = 16


@dataclass(frozen=True)
class Scorer:
    """Scores and explains rows of at least `width` features. All of its arrays can lie in a mapped file.

    `base_value` is the probability with no feature known: the mean over the training rows that each tree saw.
    """

    nodes: Nodes
    boxes: Boxes
    base_value: float
    width: int

    @classmethod
    def of(cls, nodes: Nodes, boxes: Boxes, width: int) -> Scorer:
        """Return the scorer of these, with its base value."""
        scorer = cls(nodes, boxes, 0.0, width)
        return replace(scorer, base_value=scorer.mean_of_leaves())

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]], width: int) -> Scorer:
        """Return the scorer in `arrays`. Raises Damaged when they are not a scorer for rows of `width` features."""
        if arrays.keys() != _ARRAYS.keys():
            raise Damaged(f"the engine's arrays are {sorted(arrays)}, expected {sorted(_ARRAYS)}; train again")
        is_typed = all(
            (array.dtype.type, array.ndim) == _ARRAYS[name] and _SHAPES.get(name, array.shape) == array.shape
            for name, array in arrays.items()
        )
        if is_typed and arrays["groups"].shape[1] == _GROUP_NUMBERS:
            trees, depth = arrays["trees_and_depth"].tolist()
            nodes = Nodes(arrays["words"], arrays["node_values"], arrays["roots"], trees, depth)
            thresholds = Thresholds(arrays["thresholds"], arrays["threshold_starts"])
            groups, path_features, blocks = arrays["groups"], arrays["path_features"], arrays["blocks"]
            boxes = Boxes(groups, path_features, blocks, arrays["lets_unknown"], arrays["leaf_values"], thresholds)
            if nodes.is_sound(width) and boxes.is_sound(width):
                return cls(nodes, boxes, float(arrays["base_value"][0]), width)
        raise Damaged("the engine's arrays do not fit each other; train again")

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by name, as `from_arrays` takes them."""
        return {
            "words": self.nodes.words,
            "node_values": self.nodes.values,
            "roots": self.nodes.roots,
            "trees_and_depth": np.array([self.nodes.trees, self.nodes.depth], np.int64),
            "groups": self.boxes.groups,
            "path_features": self.boxes.path_features,
            "blocks": self.boxes.blocks,
            "lets_unknown": self.boxes.lets_unknown,
            "leaf_values": self.boxes.values,
            "thresholds": self.boxes.thresholds.values,
            "threshold_starts": self.boxes.thresholds.starts,
            "base_value": np.array([self.base_value]),
        }

    @property
    def trees(self) -> int:
        """How many trees there are."""
        return self.nodes.trees

    def explain(self, row: Sequence[float], *, with_contributions: bool = True) -> tuple[float, float, list[float]]:
        """Return one row's probability, the number of trees that say 0.5 or more, and its contributions, if asked for.

        `row` has `width` numbers or more, NaN for what is unknown. The fastest way to all three.
        """
        if len(row) < self.width:
            raise ValueError(f"the row has {len(row)} values, but this forest has {self.width} features")
        compiled = kernels()
        if compiled is None or self.boxes.most_features > MOST_FEATURES:
            table = np.array([row], np.float64)
            (probability,), (votes,) = self.verdicts(table)
            contributions = self.contributions(table)[0].tolist() if with_contributions else []
            return float(probability), float(votes), contributions
        width = len(row)
        row_type, result_type = _types(width)
        result = result_type()
        place = ctypes.addressof(result) + _VERDICT_BYTES if with_contributions else None
        compiled.score_one(self._model_address, row_type(*row), 1, width, result, place)
        return result[0], result[1], result[2:] if with_contributions else []

    def prepare(self) -> None:
        """Compute derived arrays in advance, so that the first row need not wait for them."""
        if kernels() is not None:
            _ = self._model_address, self.boxes.most_features

    def verdicts(self, rows: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Return, both of shape (rows,), the probability of conversion and the number of trees that say 0.5 or more."""
        table, compiled = self._table(rows), kernels()
        if compiled is None:
            by_tree = tree_values(self.nodes, table)
            return by_tree.mean(axis=1), (by_tree >= AGREEMENT).sum(axis=1).astype(np.float64)
        verdicts = compiled.verdicts(self._model_address, table)
        return verdicts[:, 0], verdicts[:, 1]

    def probabilities(self, rows: npt.ArrayLike) -> Floats:
        """Return the probability of conversion, shape (rows,), for `rows` of shape (rows, features)."""
        return self.verdicts(rows)[0]

    def contributions(self, rows: npt.ArrayLike) -> Floats:
        """Return the SHAP values on the probability scale, shape (rows, features).

        `base_value` plus a row's contributions is the row's probability.
        """
        table, compiled = self._table(rows), kernels()
        if compiled is None or self.boxes.most_features > MOST_FEATURES:
            return contributions_by_numpy(self.boxes, table) / self.trees
        return compiled.contributions(self._model_address, table)

    @cached_property
    def leaf_values(self) -> Floats:
        """The leaves' values, shape (leaves,): those with a path, in blocks filled up with 0, then the lone roots'."""
        return np.concatenate([self.boxes.values, self.nodes.values[self.nodes.lone_roots]])

    @cached_property
    def leaf_shares(self) -> Floats:
        """Each leaf's weight in `base_value`, shape (leaves,)."""
        return np.concatenate([self.boxes.shares(), np.ones(len(self.nodes.lone_roots))]) / self.trees

    def mean_of_leaves(self) -> float:
        """Return the leaves' mean by their weights, the same to the last bit on every machine."""
        return math.fsum((self.leaf_shares * self.leaf_values).tolist())

    def node_shares_of(self, rows: npt.ArrayLike) -> Floats:
        """Return each node's weight in the mean probability of `rows`, shape (nodes,); there is at least one row."""
        counts = np.zeros(len(self.nodes.words))
        for ends in self.nodes.ends(self._table(rows)):
            counts += np.bincount(ends.ravel(), minlength=len(counts))
        shares: Floats = counts / counts.sum()
        return shares

    def with_moved_leaves(self, move: Callable[[Floats], Floats]) -> Scorer:
        """Return this scorer with `move(values)` at its leaves; `move` works item by item and leaves a 0 a 0.

        Both share every array but the values.
        """
        nodes = replace(self.nodes, values=move(self.nodes.values))
        values = move(self.boxes.values.astype(np.float64)).astype(np.float32)
        scorer = Scorer(nodes, replace(self.boxes, values=values), 0.0, self.width)
        mean = math.fsum((self.leaf_shares * move(self.leaf_values)).tolist())
        return replace(scorer, base_value=mean)

    def _table(self, rows: npt.ArrayLike) -> Float32s:
        table = np.ascontiguousarray(rows, dtype=np.float32)
        if table.ndim != 2 or table.shape[1] < self.width:  # noqa: PLR2004 (rows and features)
            raise ValueError(f"the rows have the shape {table.shape}, but this forest has {self.width} features")
        return table

    @cached_property
    def _model_address(self) -> int:
        return address(self._model)

    @cached_property
    def _model(self) -> Ints:
        """The model as the kernels read it, followed by the segments to which it points."""
        nodes, boxes = self.nodes, self.boxes
        segments = boxes.segments(MOST_FEATURES).ravel()
        before = [address(array) for array in (nodes.words, nodes.values, nodes.roots)]
        leaves = (boxes.groups, boxes.path_features, boxes.blocks, boxes.lets_unknown, boxes.values)
        after = [address(array) for array in (*leaves, boxes.thresholds.values, boxes.thresholds.starts)]
        numbers = [len(nodes.roots) // WALKERS, nodes.depth, nodes.trees, boxes.thresholds.features]
        model = np.array([*before, 0, *after, *numbers, *segments.tolist()], np.int64)
        model[len(before)] = address(model[-len(segments) :])
        return model


@cache
def _types(width: int) -> tuple[Any, Any]:
    """Return the types of a row, and of its results: the two numbers of its verdict, and the contributions."""
    return ctypes.c_float * width, ctypes.c_double * (2 + width)
