"""Stretches a shrunk forest's probabilities away from their mean, as far as leads that it left out say they should be.

A mean of many trees keeps too near to the middle: of leads that it gives 10 %, fewer convert, and of those that it
gives 60 %, more. The line outcome = a + b * probability, fitted by least squares to what the trees say of the leads
that they left out, has a slope b above 1 then. Every leaf's value v becomes a + b * v, which gives the mean of the
trees the same line and scales each contribution by b: they stay exact. A leaf that would leave [0, 1] is put to its
border before the forest is stored, so that what is stored, served and explained is the same.

A slope from few leads is mostly luck. It is drawn towards 1 by what is usual: slopes vary by USUAL_SPREAD from org to
org, so a slope with the standard error s keeps USUAL_SPREAD² / (USUAL_SPREAD² + s²) of its distance from 1 (the
empirical Bayes estimate). A slope below 1 is left to the shrinkage.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from leadscore.arrays import Flags, Floats, Indices

USUAL_SPREAD = 0.15
MOST = 1.6
# finer than any line is known, and coarse enough that no processor's rounding shows in the forest's bytes
DIGITS = 4


class Stretch(NamedTuple):
    """The line `centre` + `slope` * (probability - `centre`)."""

    centre: float
    slope: float

    def of(self, probabilities: Floats) -> Floats:
        """Return the probabilities on the line, kept in [0, 1]."""
        stretched: Floats = (self.centre + self.slope * (probabilities - self.centre)).clip(0.0, 1.0)
        return stretched


NONE = Stretch(0.0, 1.0)


def stretch_of(left_out: Floats, converted: Flags, leads: Indices) -> Stretch:
    """Return the stretch for a forest whose trees say `left_out` of the leads that they left out, shape (rows,).

    `leads` holds each row's lead, counted from 0; the rows of a lead go together. NONE where all rows got the same.
    """
    centre = round(float(left_out.mean()), DIGITS)
    away = left_out - centre
    spread = float(away @ away)
    if spread == 0:
        return NONE
    outcomes = converted - converted.mean()
    slope = float(away @ outcomes) / spread
    of_lead = np.bincount(leads, weights=away * (outcomes - slope * away))
    error = float(np.sqrt(of_lead @ of_lead)) / spread
    kept = USUAL_SPREAD**2 / (USUAL_SPREAD**2 + error**2)
    return Stretch(centre, round(1 + (min(max(slope, 1.0), MOST) - 1) * kept, DIGITS))


def stretch(estimator: RandomForestClassifier, line: Stretch) -> None:
    """Stretch all nodes of a fitted two-class forest, in place; their shares are rounded to float32."""
    for member in estimator.estimators_:
        shares = line.of(member.tree_.value[:, 0, 1]).astype(np.float32).astype(np.float64)
        member.tree_.value[:, 0, :] = np.stack([1 - shares, shares], axis=1)
