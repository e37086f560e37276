"""The trend of a lead: its score now against what the same model version says of the lead as it was 7 days ago.

Both scores are of one version, so a new version never looks like a trend.
"""

from __future__ import annotations

import numpy as np

from leadscore.arrays import Floats
from leadscore_assets.scoring.grades import GRADES, CutPoints

TREND_DAYS = 7
# a move is worth telling when it is this large, as a probability and as a share of the former one
FEWEST_POINTS = 0.03
SMALLEST_SHARE = 0.2

IMPROVING, STEADY, DECLINING, NOT_ENOUGH_HISTORY = "improving", "steady", "declining", "not_enough_history"
_TRENDS = np.array([NOT_ENOUGH_HISTORY, IMPROVING, DECLINING, STEADY], object)
_PLACES = {grade: place for place, grade in enumerate(GRADES)}


def trends(now: Floats, before: Floats, cuts: CutPoints) -> list[str]:
    """Return the trend of each lead, from probabilities of shape (leads,); `before` is NaN for leads that are younger.

    A move counts when it is large, or when it leads to another grade.
    """
    has_history = ~np.isnan(before)
    move = np.where(has_history, now - before, 0.0)
    is_large = (abs(move) >= FEWEST_POINTS) & (abs(move) >= SMALLEST_SHARE * before)
    is_large |= has_history & (_grade_places(now, cuts) != _grade_places(before, cuts))
    places = np.select([~has_history, is_large & (move > 0), is_large & (move < 0)], [0, 1, 2], 3)
    found: list[str] = _TRENDS[places].tolist()
    return found


def _grade_places(probabilities: Floats, cuts: CutPoints) -> Floats:
    return np.array([_PLACES[grade] for grade in cuts.grades(probabilities)], np.float64)
