"""Samples of arrays."""

from __future__ import annotations

import pytest

from leadscore.arrays import evenly_spread


@pytest.mark.parametrize(
    ("length", "most", "places"),
    [(0, 3, []), (1, 3, [0]), (3, 5, [0, 1, 2]), (5, 3, [0, 2, 4]), (10, 4, [0, 3, 6, 9]), (4, 1, [0])],
)
def test_a_sample_is_evenly_spread_from_the_first_place_to_the_last(length: int, most: int, places: list[int]) -> None:
    assert evenly_spread(length, most).tolist() == places
