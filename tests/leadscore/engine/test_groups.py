"""Leaves stand in groups that hold all of their features, in as few blocks as the groups' free lanes allow."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore.arrays import Flags
from leadscore.engine import groups
from leadscore.engine.groups import with_full_blocks

LANES = 8


def paths(*counted: tuple[int, set[int]]) -> Flags:
    """Return, shape (leaves, 3), so many leaves with these features each."""
    return np.array([[j in used for j in range(3)] for count, used in counted for _ in range(count)], bool)


def counts(is_used: Flags) -> dict[tuple[int, ...], int]:
    keys, sizes = np.unique(is_used, axis=0, return_counts=True)
    return {tuple(np.flatnonzero(key).tolist()): size for key, size in zip(keys, sizes.tolist(), strict=True)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([(3, {0}), (5, {0, 1})], {(0, 1): 8}),
        ([(11, {0}), (5, {0, 1})], {(0,): 8, (0, 1): 8}),
        ([(3, {0}), (6, {0, 1})], {(0,): 3, (0, 1): 6}),
        ([(3, {0}), (6, {0, 1}), (7, {0, 1, 2})], {(0, 1): 8, (0, 1, 2): 8}),
        ([(3, {0}), (5, {1, 2})], {(0,): 3, (1, 2): 5}),
        ([(8, {0}), (5, {0, 1})], {(0,): 8, (0, 1): 5}),
        ([(1, {0}), (1, {0, 1}), (1, {0, 1, 2})], {(0, 1, 2): 3}),
    ],
)
def test_leaves_that_fill_no_block_stand_in_the_free_lanes_of_groups_with_more_features(
    before: list[tuple[int, set[int]]], after: dict[tuple[int, ...], int]
) -> None:
    assert counts(with_full_blocks(paths(*before), LANES)) == after


@pytest.mark.parametrize("leaves", [0, 1, 40, 700, 3_000])
def test_every_leaf_keeps_its_features_and_no_block_is_added(leaves: int) -> None:
    is_used = np.random.default_rng(leaves).random((leaves, 7)) < 0.4
    found = with_full_blocks(is_used, LANES)
    assert (found >= is_used).all()
    assert counts(found).keys() <= counts(is_used).keys()
    blocks, blocks_before = (sum(-(-size // LANES) for size in counts(some).values()) for some in (found, is_used))
    assert blocks <= blocks_before - (leaves >= 40) * 8


def test_groups_that_are_too_many_to_compare_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    is_used = paths((3, {0}), (5, {0, 1}))
    monkeypatch.setattr(groups, "MOST_GROUPS", 1)
    assert with_full_blocks(is_used, LANES).tolist() == is_used.tolist()
