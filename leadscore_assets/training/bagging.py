"""A random forest whose bags hold whole leads, so that it knows how good it is on leads that it never saw.

A lead gives several rows, one for each age at which it was open, and they resemble each other. When single rows are
drawn, nearly every lead is in nearly every bag, and a row that is out of the bag is answered by its siblings in it:
judged that way, a forest never wants to be held back. Here a tree's bag is a bootstrap of the leads, with all rows of
a lead in it as often as the lead was drawn. The trees are scikit-learn's; each is grown with the bag as row weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier

TREES = 100
SEED = 42

Float32s = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class BaggedForest:
    """A fitted forest, and for each tree which rows belong to leads outside its bag, shape (trees, rows)."""

    estimator: RandomForestClassifier
    is_outside: Flags


def grow(rows: Float32s, converted: Flags, leads: Numbers, shape: dict[str, Any]) -> BaggedForest:
    """Return a forest of `shape` (arguments of RandomForestClassifier), grown on bags of whole leads.

    `rows` has shape (rows, features), NaN for unknown; `leads` holds each row's lead, counted from 0. Seeded: the
    same rows give the same forest.
    """
    estimator = RandomForestClassifier(**shape, random_state=SEED, bootstrap=False, warm_start=True, n_jobs=1)
    bags = draw_bags(int(leads.max()) + 1)
    for number, bag in enumerate(bags, start=1):
        # a warm start keeps the trees that there are, and grows one more with the weights of its own bag
        estimator.set_params(n_estimators=number).fit(rows, converted, sample_weight=bag[leads].astype(np.float64))
    return BaggedForest(estimator.set_params(warm_start=False), bags[:, leads] == 0)


def draw_bags(lead_count: int) -> Numbers:
    """Return how often each lead is drawn into each tree's bag, shape (trees, leads); a bag is as large as the set."""
    random = np.random.default_rng(SEED)
    drawn = random.integers(lead_count, size=(TREES, lead_count))
    return np.array([np.bincount(bag, minlength=lead_count) for bag in drawn])
