"""Cut points keep their meaning: multiples of the base rate, or what an org can call in a week."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore_assets.scoring.grades import CutPoints, by_base_rate, by_capacity


def test_a_grade_begins_at_its_cut_point() -> None:
    cuts = CutPoints(0.4, 0.2, 0.1)
    assert cuts.grades(np.array([0.4, 0.39999, 0.2, 0.1, 0.09999, 0.0, 1.0])) == ["A", "B", "B", "C", "D", "D", "A"]


def test_the_base_rate_is_where_b_begins() -> None:
    assert by_base_rate(0.2) == (0.4, 0.2, 0.1)


@pytest.mark.parametrize("base_rate", [0.0, 0.01, 1 / 3, 0.4, 0.5, 0.9, 1.0])
def test_every_base_rate_gives_reachable_cut_points(base_rate: float) -> None:
    a, b, c = by_base_rate(base_rate)
    assert c <= b <= a <= 1
    assert a <= (1 + base_rate) / 2


def test_capacity_is_the_best_new_leads_of_a_week() -> None:
    probabilities = np.arange(1, 81) / 100  # of 8 weeks, ten a week
    cuts = by_capacity(probabilities, weeks=8, weekly_capacity=2)
    assert cuts.grades(probabilities).count("A") == 2 * 8
    assert cuts.grades(probabilities).count("B") == 2 * 8
    assert cuts.grades(probabilities).count("C") == 4 * 8


def test_an_org_with_fewer_leads_than_it_can_call_calls_all() -> None:
    assert by_capacity(np.array([0.1, 0.5]), weeks=1, weekly_capacity=40) == (0, 0, 0)
    assert by_capacity(np.array([]), weeks=1, weekly_capacity=40) == (0, 0, 0)
