"""Grades A to D: the cut points on the probability, and by which rule they are made.

Cut points are made once, when a rule is set, and stay when the model changes. So a grade keeps its meaning: a lead
moves from B to A because its probability rose, not because other leads came or a new version spreads wider.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from leadscore.arrays import Floats

GRADES = np.array(["A", "B", "C", "D"], object)
Rule = Literal["base_rate", "capacity"]
CAPACITY_WEEKS = 8
# an org that scores each morning sees a lead first in its first day
CAPACITY_AGE_DAYS = 1


class CutPoints(NamedTuple):
    """The lowest probabilities of the grades A, B and C, from 0 to 1, falling."""

    a: float
    b: float
    c: float

    def grades(self, probabilities: Floats) -> list[str]:
        """Return the grade of each probability."""
        places = np.select([probabilities >= cut for cut in self], [0, 1, 2], 3)
        grades: list[str] = GRADES[places].tolist()
        return grades


def by_base_rate(base_rate: float) -> CutPoints:
    """Return cut points at 2, 1 and ½ times the org's base rate.

    Where twice the base rate is out of reach, A begins half-way between the base rate and 1.
    """
    return CutPoints(min(2 * base_rate, (1 + base_rate) / 2), base_rate, base_rate / 2)


def by_capacity(probabilities: Floats, weeks: float, weekly_capacity: int) -> CutPoints:
    """Return the cut points at which the best `weekly_capacity` new leads of a week have grade A.

    As many more have B, and twice as many C. `probabilities`, shape (leads,), are those of the new leads of the last
    `weeks`. A cut point that so few leads cannot reach is 0: all of them are worth a call.
    """
    best_first = np.sort(probabilities)[::-1]
    places = [round(share * weekly_capacity * weeks) for share in (1, 2, 4)]
    return CutPoints(*(float(best_first[place - 1]) if place <= len(best_first) else 0.0 for place in places))
