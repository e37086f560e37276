"""Boxes are checked before a kernel reads them, lie in memory as the kernels believe, and are integrated exactly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from leadscore.engine.boxes import LANES, PART, Boxes, quadrature
from leadscore.forest import Forest


def test_boxes_that_do_not_fill_their_arrays_are_no_boxes(make_forest: Callable[..., Forest]) -> None:
    boxes = make_forest().scorer.boxes
    assert boxes.is_sound(11)
    assert not boxes.is_sound(0)
    wrong: list[Boxes] = [
        dataclasses.replace(boxes, groups=boxes.groups + np.array(change)) for change in np.eye(4, dtype=int).tolist()
    ]
    wrong += [
        dataclasses.replace(boxes, groups=np.repeat(boxes.groups, 2, axis=0)),
        dataclasses.replace(boxes, groups=boxes.groups * [1, 1, 1, 0]),
        dataclasses.replace(boxes, groups=boxes.groups * [1, 1, 1, 2**30]),
        dataclasses.replace(boxes, groups=boxes.groups * [1, 1, 1, -1]),
        dataclasses.replace(boxes, path_features=boxes.path_features + np.uint8(1)),
        dataclasses.replace(boxes, path_features=np.zeros(0, np.uint8)),
        dataclasses.replace(boxes, path_features=np.zeros(12, np.uint8)),
        dataclasses.replace(boxes, blocks=boxes.blocks[:-1]),
        dataclasses.replace(boxes, lets_unknown=boxes.lets_unknown[:-1]),
        dataclasses.replace(boxes, values=boxes.values[:-1]),
    ]
    assert not any(some.is_sound(11) for some in wrong)


def test_a_part_is_as_large_as_the_kernels_believe() -> None:
    """Two uint16 and a float32 for each of its leaves, one after the other."""
    assert (LANES, PART.itemsize) == (16, 128)
    assert {name: offset for name, (_, offset) in (PART.fields or {}).items()} == {"first": 0, "last": 32, "share": 64}


@pytest.mark.parametrize("degree", range(1, 17))
def test_the_quadrature_is_exact_below_its_degree(degree: int) -> None:
    for power in range(degree):
        assert sum(weight * node**power for node, weight in quadrature(degree)) == pytest.approx(1 / (power + 1))
