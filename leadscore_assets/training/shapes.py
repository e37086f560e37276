"""The shapes that a forest may take, and how one is grown: the same few numbers for every org.

Half of the trees are a random forest's (Breiman 2001): each split is the best one over a random part of the features,
on rows drawn with replacement. The other half are extremely randomized trees (Geurts, Ernst and Wehenkel 2006): one
random threshold per feature, of which the best is taken, on all rows. The halves err in different ways, so that their
mean is better than either, and most so on few leads; `benchmarks.models.small_orgs` has the figures.

Each tree leaves out a fifth of the leads. Five trees in a row leave out a fifth each, so every lead is out of a fifth
of all trees. A lead's rows resemble each other: of a lead of which it saw a row, a tree has all but seen the others.
What it says of the leads that it left out it says of leads that are new to it; `selection` judges by that, and needs no
forest but the one that is grown anyway.

The trees are scikit-learn's, and so is the forest that they are put into. Its own way to make 100 trees costs a third
more than growing them one after the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from leadscore.arrays import Flags, Float32s, Indices, Ints

FINE, COARSE = "fine", "coarse"
# fine trees are better for one org's leads, whatever their number; coarse ones for leads that other orgs get, too
SHAPES: dict[str, dict[str, Any]] = {
    FINE: {"max_depth": 10, "min_samples_split": 10, "min_samples_leaf": 5},
    COARSE: {"max_depth": 10, "min_samples_split": 80, "min_samples_leaf": 40},
}
# which part of the features a random forest's split may choose from
FEATURES_PER_SPLIT: dict[str, Any] = {FINE: "sqrt", COARSE: 0.6}
TREES = 100
FOLDS = 5
SEED = 42
ROWS_WORTH_TWO_CORES = 10_000


def grow(rows: Float32s, converted: Flags, leads: Indices, shape: str, trees: int = TREES) -> RandomForestClassifier:
    """Return a forest of a shape, fitted to `rows`, shape (rows, features), NaN for unknown; seeded.

    `leads` holds each row's lead, counted from 0. Both outcomes must occur. The number of cores used changes the time,
    not the result.
    """
    outcomes = converted.astype(np.int8)

    def tree(number: int) -> DecisionTreeClassifier:
        weights = bag(number, leads) if is_bagged(number) else (~left_out(number, leads)).astype(np.int64)
        return _unfitted(number, shape).fit(rows, outcomes, sample_weight=weights)

    cores = -1 if len(rows) >= ROWS_WORTH_TWO_CORES else 1
    members = Parallel(n_jobs=cores, prefer="threads")(delayed(tree)(number) for number in range(trees))
    return _forest_of(members, shape)


def is_bagged(number: int) -> bool:
    """Return whether the tree of that number is a random forest's, on drawn rows: five are, the next five are not."""
    return number // FOLDS % 2 == 0


def _unfitted(number: int, shape: str) -> DecisionTreeClassifier:
    if is_bagged(number):
        return DecisionTreeClassifier(**SHAPES[shape], max_features=FEATURES_PER_SPLIT[shape], random_state=number)
    return ExtraTreeClassifier(**SHAPES[shape], max_features=None, random_state=number)


def bag(number: int, leads: Indices) -> Ints:
    """Return how often the tree of that number has drawn each row, shape (rows,)."""
    kept = np.flatnonzero(~left_out(number, leads))
    drawn = np.random.default_rng([SEED, number]).integers(0, len(kept), size=len(kept))
    return np.bincount(kept[drawn], minlength=len(leads))


def left_out(number: int, leads: Indices, folds: int = FOLDS) -> Flags:
    """Return the rows of the leads that the tree of that number leaves out, shape (rows,): one of so many folds."""
    turn, fold = divmod(number, folds)
    places = np.random.default_rng([SEED, turn, folds]).permutation(int(leads.max()) + 1)
    is_out: Flags = (places % folds == fold)[leads]
    return is_out


def _forest_of(members: list[DecisionTreeClassifier], shape: str) -> RandomForestClassifier:
    """Return the trees as a fitted forest; were it fitted again, scikit-learn would grow others."""
    forest = RandomForestClassifier(n_estimators=len(members), **SHAPES[shape], random_state=SEED, n_jobs=1)
    forest.estimators_ = members
    for fitted in ("n_features_in_", "n_outputs_", "classes_", "n_classes_"):
        setattr(forest, fitted, getattr(members[0], fitted))
    return forest
