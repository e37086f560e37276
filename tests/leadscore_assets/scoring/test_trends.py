"""A trend is a move that is worth telling, and never the work of a new version."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore_assets.scoring.grades import CutPoints
from leadscore_assets.scoring.trends import trends

CUTS = CutPoints(0.4, 0.2, 0.1)


@pytest.mark.parametrize(
    ("now", "before", "trend"),
    [
        (0.31, 0.25, "improving"),
        (0.25, 0.30, "steady"),  # less than a fifth of what it was
        (0.23, 0.30, "declining"),
        (0.06, 0.04, "steady"),  # two points are few
        (0.41, 0.39, "improving"),  # another grade
        (0.19, 0.21, "declining"),
        (0.30, 0.30, "steady"),
        (0.30, np.nan, "not_enough_history"),
    ],
)
def test_a_move_counts_when_it_is_large_or_leads_to_another_grade(now: float, before: float, trend: str) -> None:
    assert trends(np.array([now]), np.array([before]), CUTS) == [trend]
