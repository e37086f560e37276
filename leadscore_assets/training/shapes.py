"""The shapes that a forest may take, and how one is grown: the same few numbers for every org."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from leadscore.arrays import Flags, Float32s

FINE, COARSE = "fine", "coarse"
# fine trees are better for most orgs; coarse ones for some with thousands of leads, and faster to score
SHAPES: dict[str, dict[str, Any]] = {
    FINE: {"max_depth": 10, "min_samples_split": 10, "min_samples_leaf": 5, "max_features": "sqrt"},
    COARSE: {"max_depth": 10, "min_samples_split": 80, "min_samples_leaf": 40, "max_features": 0.6},
}
TREES = 100
SEED = 42
ROWS_WORTH_TWO_CORES = 10_000


def grow(rows: Float32s, converted: Flags, shape: str, trees: int = TREES) -> RandomForestClassifier:
    """Return a forest of a shape, fitted to `rows`, shape (rows, features), NaN for unknown; seeded.

    Both outcomes must occur. The number of cores used changes the time, not the result.
    """
    cores = -1 if len(rows) >= ROWS_WORTH_TWO_CORES else 1
    estimator = RandomForestClassifier(n_estimators=trees, **SHAPES[shape], random_state=SEED, n_jobs=cores)
    return estimator.fit(rows, converted.astype(np.int8)).set_params(n_jobs=1)
