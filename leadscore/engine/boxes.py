"""A forest's leaves as boxes, laid out for the engine: streams of bytes, read from front to back for each row.

A leaf is a box: for each feature j on its path an interval (low_j, high_j], whether an unknown value is let in, and
the share z_j of the training rows that the splits on j let through. Leaves whose paths hold the same features are a
group, see `groups`, so that all of a group's contributions go to the same places. Groups stand in the order of the
number d of their features; leaves stand in blocks of eight, a group's last block filled up with leaves of value 0. A
block is

    for each of its d features: 8 times the first rank inside, 8 times the last (uint16), 8 shares (float32)
    for each of its d features: a bit per leaf, set where an unknown value is let in; filled up to 8 bytes

Each row reads all blocks, and what else stood in the processor's cache has to make room for them. So they hold ranks,
see `ranks`, with which they are two thirds as large as with the intervals' bounds. Beside the blocks stand their
leaves' values, so that forests that differ in nothing else share the blocks.

The shares are rounded to float32, which moves contributions by about 1e-9; the base value is computed from the same
rounded shares, so that it and the contributions add up to the probability as exactly as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from leadscore.engine.groups import with_full_blocks
from leadscore.engine.ranks import RankTable, Thresholds

LANES = 8
# a leaf with more features on its path has no kernel
MOST_FEATURES = 16
_FEATURE = np.dtype([("first", np.uint16, LANES), ("last", np.uint16, LANES), ("share", np.float32, LANES)])

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Parts = tuple[Ints, Ints, Ints, npt.NDArray[np.uint8], Floats]
_NONE: Parts = (np.empty(0, np.int64),) * 3 + (np.empty(0, np.uint8), np.empty(0))


def block_bytes(features: Ints) -> Ints:
    """Return the size of a block for leaves with so many features on their path."""
    return features * _FEATURE.itemsize + (features + 7) // 8 * 8


def block_type(features: int) -> np.dtype[Any]:
    """Return the record that a block is, for leaves with so many features on their path."""
    return np.dtype([("boxes", _FEATURE, (features,)), ("lets_unknown", np.uint8, (-(-features // 8) * 8,))])


@dataclass(frozen=True)
class Leaves:
    """Leaves that have a path; arrays of shape (leaves, features), `value` of shape (leaves,).

    A feature that is not used lets everything in: low and high are infinite, unknown values pass, the share is 1.
    """

    is_used: npt.NDArray[np.bool_]
    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]
    lets_unknown: npt.NDArray[np.bool_]
    share: Floats
    value: Floats


@dataclass(frozen=True)
class Boxes:
    """Groups of leaves: which features, `path_features`, their blocks, and the leaves' values, eight for each block.

    `groups`, shape (groups, 4), has the place of a group's first feature, byte and value, and how many blocks it has.
    `thresholds` are what the blocks' ranks count.
    """

    groups: Ints
    path_features: Ints
    blocks: npt.NDArray[np.uint8]
    values: Floats
    thresholds: Thresholds

    def is_sound(self, feature_count: int) -> bool:
        """Return whether the groups fill these arrays exactly, and name features of a row of so many."""
        if not (self.thresholds.is_sound() and self.thresholds.features <= feature_count):
            return False
        features, lengths, counts = self.thresholds.features, self.path_lengths, self.block_counts
        is_known = (self.path_features >= 0) & (self.path_features < features)
        is_ordered = (np.diff(lengths, prepend=1) >= 0).all() and lengths.max(initial=0) <= features
        if not (is_known.all() and is_ordered and ((counts > 0) & (counts <= len(self.values))).all()):
            return False
        fills = (block_bytes(lengths) * counts).sum() == len(self.blocks) and counts.sum() * LANES == len(self.values)
        return bool(fills) and np.array_equal(self.groups, groups_of(lengths, counts))

    @property
    def path_lengths(self) -> Ints:
        """How many features each group's leaves have on their path."""
        return np.diff(self.groups[:, 0], append=len(self.path_features))

    @property
    def block_counts(self) -> Ints:
        """How many blocks each group has."""
        counts: Ints = self.groups[:, 3]
        return counts

    @cached_property
    def most_features(self) -> int:
        """The largest number of features on a path; 0 for a forest of lone roots."""
        return int(self.path_lengths.max(initial=0))

    def segments(self, most_features: int) -> Ints:
        """Return, per number of features up to `most_features`, the first group and the one behind the last."""
        bounds = np.searchsorted(self.path_lengths, np.arange(most_features + 2))
        return np.ascontiguousarray(np.stack([bounds[:-1], bounds[1:]], axis=1), np.int64)

    def by_length(self) -> Iterator[tuple[npt.NDArray[Any], Floats, Ints]]:
        """Yield, per number d of features, the blocks, their values, (blocks, 8), and their features, (blocks, d)."""
        lengths = self.path_lengths
        for d in np.unique(lengths).tolist():
            places, first_byte, first_value, counts = self.groups[lengths == d].T
            end = first_byte[-1] + counts[-1] * block_type(d).itemsize
            blocks = self.blocks[first_byte[0] : end].view(block_type(d))
            values = self.values[first_value[0] :][: len(blocks) * LANES].reshape(-1, LANES)
            yield blocks, values, self.path_features[np.repeat(places, counts)[:, None] + np.arange(d)]

    def shares(self) -> Floats:
        """Return each leaf's share of its tree's training rows, in the order of the values; 1 where there is none."""
        parts = [np.empty(0)]
        for blocks, _, _ in self.by_length():
            of_features = np.moveaxis(blocks["boxes"]["share"].astype(np.float64), 1, 0)
            # one after the other, so that every processor rounds alike
            parts.append(reduce(np.multiply, of_features).ravel())
        return np.concatenate(parts)


def groups_of(path_lengths: Ints, block_counts: Ints) -> Ints:
    """Return the groups of Boxes with so many features and blocks each."""
    sizes = (path_lengths, block_bytes(path_lengths) * block_counts, block_counts * LANES)
    return np.stack([*(np.cumsum(size) - size for size in sizes), block_counts], axis=1)


def lay_out(leaves: Leaves) -> Boxes:
    """Return the leaves as the engine reads them. Raises ValueError when a feature has too many thresholds."""
    leaves = replace(leaves, is_used=with_full_blocks(leaves.is_used, LANES))
    lengths, thresholds = leaves.is_used.sum(axis=1), Thresholds.of(leaves.low, leaves.high)
    intervals = thresholds.intervals(leaves.low, leaves.high)
    parts = [_of_length(leaves, intervals, np.flatnonzero(lengths == d), d) for d in np.unique(lengths).tolist()]
    path_lengths, block_counts, *arrays = (np.concatenate(arrays) for arrays in zip(_NONE, *parts, strict=True))
    path_features, blocks, values = arrays
    return Boxes(groups_of(path_lengths, block_counts), path_features, blocks, values, thresholds)


def _of_length(leaves: Leaves, intervals: tuple[RankTable, RankTable], which: Ints, features: int) -> Parts:
    """Return path lengths, block counts, path features, blocks and values of the leaves `which`, of one length."""
    columns = np.nonzero(leaves.is_used[which])[1].reshape(-1, features)
    order = np.lexsort(columns.T[::-1])
    which, columns = which[order], columns[order]
    starts = np.flatnonzero((np.diff(columns, axis=0, prepend=-1) != 0).any(axis=1))
    sizes = np.diff(starts, append=len(which))
    block_counts = -(-sizes // LANES)
    shifts = (np.cumsum(block_counts) - block_counts) * LANES - starts
    places = np.arange(len(which)) + np.repeat(shifts, sizes)

    def laid(array: npt.NDArray[Any], filling: float) -> npt.NDArray[Any]:
        """Return the array's items, block by block, shape (blocks, d, 8)."""
        table = np.full((int(block_counts.sum()) * LANES, features), filling, array.dtype)
        table[places] = array[which[:, None], columns]
        return table.reshape(-1, LANES, features).transpose(0, 2, 1)

    blocks = np.zeros(int(block_counts.sum()), block_type(features))
    blocks["boxes"]["first"], blocks["boxes"]["last"] = (laid(ranks, 0) for ranks in intervals)
    blocks["boxes"]["share"] = laid(leaves.share, 1)
    blocks["lets_unknown"][:, :features] = np.packbits(laid(leaves.lets_unknown, 0), axis=2, bitorder="little")[:, :, 0]
    values = np.zeros(len(blocks) * LANES)
    values[places] = leaves.value[which]
    return np.full(len(starts), features), block_counts, columns[starts].ravel(), blocks.view(np.uint8), values


def quadrature(degree: int) -> list[tuple[float, float]]:
    """Return Gauss-Legendre nodes and weights on [0, 1], exact for polynomials below `degree`."""
    nodes, weights = np.polynomial.legendre.leggauss((degree + 1) // 2)
    return [(float(node + 1) / 2, float(weight) / 2) for node, weight in zip(nodes, weights, strict=True)]
