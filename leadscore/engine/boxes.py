"""A forest's leaves as boxes, laid out for the engine: streams of bytes, read from front to back for each row.

A leaf is a box: for each feature j on its path an interval (low_j, high_j], whether an unknown value is let in, and
the share z_j of the training rows that the splits on j let through. Leaves whose paths hold the same features are a
group, see `groups`, so that all of a group's contributions go to the same places. Groups stand in the order of the
number d of their features; leaves stand in blocks of sixteen, one per lane of a vector, a group's last block filled up
with leaves of value 0. A block has d parts, one for each of its features:

    16 times the first rank inside, 16 times the last (uint16), 16 shares (float32)

Beside the parts stand, in the same order, a bit per leaf that is set where an unknown value is let in, which only rows
with unknown values read; and beside the blocks their leaves' values, so that forests that differ in nothing else share
the blocks.

Each row reads all blocks, and what else stood in the processor's cache has to make room for them. So they hold ranks,
see `ranks`, with which they are two thirds as large as with the intervals' bounds. Shares and values are float32, and
so are the products and sums of the leaves of one group, of which a vector holds twice as many as of float64; the sums
over groups are float64. That moves contributions by some 1e-8 of what trees give at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from leadscore.arrays import Flags, Float32s, Floats, Int32s, Ints
from leadscore.engine.groups import with_full_blocks
from leadscore.engine.ranks import RankTable, Thresholds

LANES = 16
# a leaf with more features on its path has no kernel
MOST_FEATURES = 16
PART = np.dtype([("first", np.uint16, LANES), ("last", np.uint16, LANES), ("share", np.float32, LANES)])

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Leaves:
    """Leaves that have a path; arrays of shape (leaves, features), `value` of shape (leaves,).

    A feature that is not used lets everything in: low and high are infinite, unknown values pass, the share is 1.
    """

    is_used: Flags
    low: Float32s
    high: Float32s
    lets_unknown: Flags
    share: Floats
    value: Floats


@dataclass(frozen=True)
class Boxes:
    """Groups of leaves: which features, `path_features`, their blocks, and what stands beside these.

    `groups`, shape (groups, 4), has the place of a group's first feature, of its first part and of its first block, and
    how many blocks it has. `blocks` are the parts' bytes, `lets_unknown` is of shape (parts,), `values` of shape
    (blocks * LANES,). `thresholds` are what the ranks count.
    """

    groups: Int32s
    path_features: Bytes
    blocks: Bytes
    lets_unknown: Words
    values: Float32s
    thresholds: Thresholds

    def is_sound(self, feature_count: int) -> bool:
        """Return whether the groups fill these arrays exactly, and name features of a row of so many."""
        if not (self.thresholds.is_sound() and self.thresholds.features <= feature_count):
            return False
        lengths, counts = self.path_lengths, self.block_counts
        is_known = self.path_features < self.thresholds.features
        is_ordered = (np.diff(lengths, prepend=1) >= 0).all() and lengths.max(initial=0) <= self.thresholds.features
        if not (is_known.all() and is_ordered and ((counts > 0) & (counts <= len(self.values))).all()):
            return False
        parts, blocks = int((lengths * counts).sum()), int(counts.sum())
        sizes = (len(self.blocks), len(self.lets_unknown), len(self.values))
        fills = sizes == (parts * PART.itemsize, parts, blocks * LANES)
        return fills and np.array_equal(self.groups, groups_of(lengths, counts))

    @cached_property
    def path_lengths(self) -> Ints:
        """How many features each group's leaves have on their path."""
        starts: Ints = np.append(self.groups[:, 0].astype(np.int64), len(self.path_features))
        return starts[1:] - starts[:-1]

    @cached_property
    def block_counts(self) -> Ints:
        """How many blocks each group has."""
        return self.groups[:, 3].astype(np.int64)

    @cached_property
    def most_features(self) -> int:
        """The largest number of features on a path; 0 for a forest of lone roots."""
        return int(self.path_lengths.max(initial=0))

    def segments(self, most_features: int) -> Ints:
        """Return, per number of features up to `most_features`, the first group and the one behind the last."""
        bounds = np.searchsorted(self.path_lengths, np.arange(most_features + 2))
        return np.ascontiguousarray(np.stack([bounds[:-1], bounds[1:]], axis=1), np.int64)

    def by_length(self) -> Iterator[Blocks]:
        """Yield the blocks of each number of features."""
        lengths, parts = self.path_lengths, self.blocks.view(PART)
        for d in np.unique(lengths).tolist():
            places, first_part, first_block, counts = self.groups[lengths == d].astype(np.int64).T
            count = int(counts.sum())
            here = slice(first_part[0], first_part[0] + count * d)
            bits = self.lets_unknown[here].reshape(count, d, 1) >> np.arange(LANES, dtype=np.uint16) & 1
            values = self.values[first_block[0] * LANES :][: count * LANES].reshape(count, LANES)
            features = self.path_features[np.repeat(places, counts)[:, None] + np.arange(d)]
            yield Blocks(parts[here].reshape(count, d), bits > 0, values, features)

    def shares(self) -> Floats:
        """Return each leaf's share of its tree's training rows, in the order of the values; 1 where there is none."""
        found = [np.empty(0)]
        for blocks in self.by_length():
            of_features = np.moveaxis(blocks.parts["share"].astype(np.float64), 1, 0)
            # one after the other, so that every processor rounds alike
            found.append(reduce(np.multiply, of_features).ravel())
        return np.concatenate(found)


class Blocks(NamedTuple):
    """Blocks of leaves with d features: (blocks, d) parts and features, (blocks, d, LANES) flags, (blocks, LANES)."""

    parts: npt.NDArray[Any]
    lets_unknown: Flags
    values: Float32s
    features: Bytes


def groups_of(path_lengths: Ints, block_counts: Ints) -> Int32s:
    """Return the groups of Boxes with so many features and blocks each."""
    sizes = (path_lengths, path_lengths * block_counts, block_counts)
    return np.stack([*(np.cumsum(size) - size for size in sizes), block_counts], axis=1).astype(np.int32)


def lay_out(leaves: Leaves) -> Boxes:
    """Return the leaves as the engine reads them. Raises ValueError when a feature has too many thresholds."""
    leaves = replace(leaves, is_used=with_full_blocks(leaves.is_used, LANES))
    lengths, thresholds = leaves.is_used.sum(axis=1), Thresholds.of(leaves.low, leaves.high)
    intervals = thresholds.intervals(leaves.low, leaves.high)
    found = [_of_length(leaves, intervals, np.flatnonzero(lengths == d), d) for d in np.unique(lengths).tolist()]
    path_lengths, block_counts, *arrays = (np.concatenate(arrays) for arrays in zip(_NONE, *found, strict=True))
    path_features, parts, lets_unknown, values = arrays
    groups = groups_of(path_lengths, block_counts)
    return Boxes(groups, path_features, parts.view(np.uint8), lets_unknown, values, thresholds)


_NONE = (
    *(np.empty(0, np.int64),) * 2,
    *(np.empty(0, kind) for kind in (np.uint8, PART, np.uint16, np.float32)),
)


def _of_length(
    leaves: Leaves, intervals: tuple[RankTable, RankTable], which: Ints, features: int
) -> tuple[npt.NDArray[Any], ...]:
    """Return path lengths, block counts, path features, parts, flags and values of leaves of one length."""
    columns = np.nonzero(leaves.is_used[which])[1].reshape(-1, features)
    order = np.lexsort(columns.T[::-1])
    which, columns = which[order], columns[order]
    starts = np.flatnonzero((np.diff(columns, axis=0, prepend=-1) != 0).any(axis=1))
    sizes = np.diff(starts, append=len(which))
    block_counts = -(-sizes // LANES)
    count = int(block_counts.sum())
    shifts = (np.cumsum(block_counts) - block_counts) * LANES - starts
    places = np.arange(len(which)) + np.repeat(shifts, sizes)

    def laid(array: npt.NDArray[Any], filling: float) -> npt.NDArray[Any]:
        """Return the array's items, block by block, shape (blocks, d, LANES)."""
        table = np.full((count * LANES, features), filling, array.dtype)
        table[places] = array[which[:, None], columns]
        return table.reshape(-1, LANES, features).transpose(0, 2, 1)

    parts = np.zeros((count, features), PART)
    parts["first"], parts["last"] = (laid(ranks, 0) for ranks in intervals)
    parts["share"] = laid(leaves.share, 1)
    bits = laid(leaves.lets_unknown, 0).astype(np.uint16) << np.arange(LANES, dtype=np.uint16)
    values = np.zeros(count * LANES, np.float32)
    values[places] = leaves.value[which]
    lets_unknown = np.bitwise_or.reduce(bits, axis=2)
    features_of = columns[starts].ravel().astype(np.uint8)
    return np.full(len(starts), features), block_counts, features_of, parts.ravel(), lets_unknown.ravel(), values


def quadrature(degree: int) -> list[tuple[float, float]]:
    """Return Gauss-Legendre nodes and weights on [0, 1], exact for polynomials below `degree`."""
    nodes, weights = np.polynomial.legendre.leggauss((degree + 1) // 2)
    return [(float(node + 1) / 2, float(weight) / 2) for node, weight in zip(nodes, weights, strict=True)]
