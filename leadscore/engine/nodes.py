"""A forest's nodes as the engine walks them: one word of 64 bits for each, so that a step loads one place of memory.

    bits  0 to 31   the threshold, a float32: a value that is not above it goes left
    bits 32 to 38   the feature
    bit  39         set where an unknown value goes left
    bits 40 to 63   the place of the left child; the right child stands behind it

Bits 32 to 39 together are a place in a table of a row's values, whose second half has them for nodes that send an
unknown value left.

A leaf leads to itself: its threshold is infinite, an unknown value goes left, and left is where it stands. So every
walker takes the same number of steps, the forest's depth, without a test whether it has arrived.
The nodes of a tree stand together, level by level. Behind the last tree stands a leaf of value 0 that belongs to none,
and the roots are filled up with it to whole packs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leadscore.arrays import Flags, Float32s, Floats, Int32s, Ints

WALKERS = 16
MOST_FEATURES_IN_WORDS = (1 << 7) - 1
MOST_NODES = 1 << 24
AGREEMENT = 0.5
ROWS_AT_A_TIME = 4_096

Words = npt.NDArray[np.uint64]

_INFINITE = 0x7F800000
FEATURE_BITS, MISSING_BIT, LEFT_SHIFT = 0x7F, 0x80, 8
PLACE_BITS, PLACES_OF_KNOWN = FEATURE_BITS | MISSING_BIT, MISSING_BIT
# a leaf's word but for its place, and the smallest step from one place to the next
_LEAF, _ONE_FURTHER = np.uint64(MISSING_BIT << 32 | _INFINITE), np.uint64(1 << 40)


@dataclass(frozen=True)
class Nodes:
    """The nodes of all trees; `words` and `values`, shape (nodes,), and the places of the roots, in whole packs.

    `values` has a leaf's share of converted leads, and 0 at all other nodes.
    """

    words: Words
    values: Floats
    roots: Int32s
    trees: int
    depth: int

    def is_sound(self, feature_count: int) -> bool:
        """Return whether a walk stays inside these arrays, comes to an end, and reads only so many features."""
        count, roots, values = len(self.words), self.roots, self.values
        if not (0 < count <= MOST_NODES and count == len(values) and 0 < self.trees <= len(roots)):
            return False
        if len(roots) % WALKERS or not 0 <= self.depth < count or roots.min() < 0 or roots.max() >= count:
            return False
        # the left child is what a word begins with, so words compare as left children do
        own = np.arange(count, dtype=np.uint64) << np.uint64(40)
        leads_on = (self.words >= own + _ONE_FURTHER) & (self.words < np.uint64((count - 2) << 40 if count > 1 else 0))
        is_leaf = self.words == own | _LEAF
        features = (self.words >> np.uint64(32)) & np.uint64(FEATURE_BITS)
        thresholds = self.words.view(np.float32)[::2]
        is_share = values.min() >= 0 and values.max() <= 1 and values[-1] == 0
        return bool(
            (is_leaf | leads_on).all()
            and is_leaf[-1]
            and features.max() < feature_count
            and is_share
            and not np.isnan(thresholds.min())
        )

    @property
    def is_leaf(self) -> Flags:
        """Which nodes are leaves: nodes that lead to themselves for every value."""
        found: Flags = self.words == _leaf_words(np.arange(len(self.words)))
        return found

    @property
    def lone_roots(self) -> Ints:
        """The places of the trees' roots that are leaves."""
        roots = self.roots[: self.trees].astype(np.int64)
        lone: Ints = roots[self.words[roots] == _leaf_words(roots)]
        return lone

    def unpacked(self) -> tuple[Float32s, Ints, Flags, Ints]:
        """Return, of each node, the threshold, the feature, whether an unknown value goes left, and the left child."""
        threshold, rest = self._halves()
        return (
            threshold,
            (rest & FEATURE_BITS).astype(np.int64),
            (rest & MISSING_BIT) > 0,
            (rest >> LEFT_SHIFT).astype(np.int64),
        )

    def _halves(self) -> tuple[Float32s, npt.NDArray[np.uint32]]:
        thresholds, rest = self.words.view(np.uint32).reshape(-1, 2).T
        return thresholds.copy().view(np.float32), rest.copy()

    def ends(self, table: Float32s) -> Iterator[Ints]:
        """Yield where each row ends in each tree, shape (rows, trees), some thousand rows at a time; by numpy."""
        threshold, feature, missing_goes_left, left = self.unpacked()
        roots, children = self.roots[: self.trees].astype(np.int64), np.stack([left, left + 1], axis=1)
        yield from walked(table, roots, self.depth, Steps(threshold, feature, missing_goes_left, children))


class Steps(NamedTuple):
    """What a walk by numpy asks of each node, shape (nodes,); `children` has the left and the right one of each.

    A leaf's children are the leaf itself, or it sends every value to such a left child.
    """

    threshold: Float32s
    feature: Ints
    missing_goes_left: Flags
    children: Ints


def walked(table: Float32s, roots: Ints, depth: int, steps: Steps) -> Iterator[Ints]:
    """Yield where each row ends below each of the roots, shape (rows, roots), some thousand rows at a time."""
    children = steps.children.ravel()
    for start in range(0, len(table), ROWS_AT_A_TIME):
        rows = table[start : start + ROWS_AT_A_TIME]
        at, of_row = np.broadcast_to(roots, (len(rows), len(roots))), np.arange(len(rows))[:, None]
        for _ in range(depth):
            values = rows[of_row, steps.feature[at]]
            goes_left = (values <= steps.threshold[at]) | np.isnan(values) & steps.missing_goes_left[at]
            at = children[2 * at + ~goes_left]
        yield at


@dataclass(frozen=True)
class Branches:
    """Nodes as a training leaves them, shape (nodes,) each; a leaf's feature is negative."""

    feature: npt.NDArray[np.int16]
    threshold: Float32s
    left: Int32s
    right: Int32s
    missing_goes_left: Flags
    value: Floats

    def levels(self, roots: Int32s) -> Iterator[Int32s]:
        """Yield the nodes of each level, the roots' first; children side by side, in the order of their parents."""
        level = roots
        while len(level):
            yield level
            parents = level[self.feature[level] >= 0]
            level = np.stack([self.left[parents], self.right[parents]], axis=1).ravel()


def pack(branches: Branches, roots: Int32s) -> Nodes:
    """Return the nodes below `roots` as words. Raises ValueError when they are too many, or use too many features."""
    nodes, features = len(branches.feature), int(branches.feature.max()) + 1
    if nodes >= MOST_NODES or features > MOST_FEATURES_IN_WORDS:
        raise ValueError(
            f"a forest of {nodes:,} nodes over {features} features is too large to be served: fewer than"
            f" {MOST_NODES:,} nodes over at most {MOST_FEATURES_IN_WORDS} features are expected; train a smaller one"
        )
    levels, trees, tree = [], [], np.arange(len(roots))
    for level in branches.levels(roots):
        levels.append(level)
        trees.append(tree)
        tree = np.repeat(tree[branches.feature[level] >= 0], 2)
    by_tree = np.argsort(np.concatenate(trees), kind="stable")
    order = np.concatenate(levels)[by_tree]
    place = np.empty(len(order) + 1, np.int64)
    place[order] = np.arange(len(order))
    padding = np.full(-len(roots) % WALKERS, len(order))
    return Nodes(
        words=np.append(_words(branches, order, place), _leaf_words(np.array([len(order)]))),
        values=np.append(np.where(branches.feature[order] < 0, branches.value[order], 0.0), 0.0),
        roots=np.append(place[roots], padding).astype(np.int32),
        trees=len(roots),
        depth=len(levels) - 1,
    )


def _words(branches: Branches, order: Int32s, place: Ints) -> Words:
    feature, left = branches.feature[order], place[branches.left[order]]
    words = branches.threshold[order].view(np.uint32).astype(np.uint64)
    words |= feature.astype(np.uint64) << np.uint64(32)
    words |= branches.missing_goes_left[order].astype(np.uint64) << np.uint64(39)
    words |= left.astype(np.uint64) << np.uint64(40)
    return np.where(feature < 0, _leaf_words(np.arange(len(order))), words)


def _leaf_words(places: Ints) -> Words:
    return (places.astype(np.uint64) << np.uint64(40)) | _LEAF
