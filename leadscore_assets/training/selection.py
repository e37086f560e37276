"""The choice of a forest: of which shape, and how strongly shrunk, by the log loss on leads outside the bags.

No extra fit is needed to judge a strength: a row's leaves are known, and only their values change with it. So the
budget is one forest per shape. The strength with the least loss is taken. A later shape is taken only when it beats
the one before by more than the standard error of the difference over leads (Breiman's one-standard-error rule), since
on few leads the smaller of two losses is mostly luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadscore_assets.training.bagging import BaggedForest, Flags, Float32s, Numbers
from leadscore_assets.training.shrinkage import shrunk_shares

# rows behind a step; beyond the last, every forest that was measured had become too flat
STRENGTHS = (0.0, 10.0, 30.0, 60.0, 100.0, 200.0)
# one row to which a third of the trees gave 0 must not outweigh all others
LEAST_PROBABILITY = 1e-6

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """One forest's probabilities for the rows of leads outside its bags under each strength, (rows, strengths)."""

    probabilities: Floats
    losses: Floats

    @property
    def best(self) -> int:
        """The place in STRENGTHS of the least mean loss."""
        return int(self.losses.mean(axis=0).argmin())


def trial(forest: BaggedForest, rows: Float32s, converted: Flags) -> Trial:
    """Return what `forest` gives to each of its training rows by the trees that did not see the row's lead."""
    total = np.zeros((len(rows), len(STRENGTHS)))
    for member, is_outside in zip(forest.estimator.estimators_, forest.is_outside, strict=True):
        shares = shrunk_shares(member.tree_, np.array(STRENGTHS))
        total[is_outside] += shares[member.tree_.apply(rows[is_outside])]
    probabilities = total / forest.is_outside.sum(axis=0)[:, None]
    right = np.where(converted[:, None], probabilities, 1 - probabilities)
    return Trial(probabilities, -np.log(np.maximum(right, LEAST_PROBABILITY)))


def choose(trials: Sequence[Trial], leads: Numbers) -> int:
    """Return the place of the trial to take, each at its best strength; the first unless another is surely better."""
    chosen = 0
    for place in range(1, len(trials)):
        gain = trials[chosen].losses[:, trials[chosen].best] - trials[place].losses[:, trials[place].best]
        if gain.mean() > standard_error(gain, leads):
            chosen = place
    return chosen


def standard_error(values: Floats, leads: Numbers) -> float:
    """Return the standard error of the mean of `values`, shape (rows,), when the rows of a lead go together."""
    of_lead = np.bincount(leads, weights=values - values.mean())
    return float(np.sqrt((of_lead**2).sum()) / len(values))
