"""Permutation importance: how much worse a version ranks held-out rows when one feature is shuffled (Breiman 2001).

Values are exchanged between rows, so each row keeps a value that occurs, but no longer its own; two features that say
the same stand in for each other, and both look small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from leadscore.arrays import Flags, Floats, Indices, evenly_spread
from leadscore.evaluation import roc_auc_of

MOST_ROWS = 1_000
REPEATS = 10
SEED = 42

Score = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Drop:
    """By how much ROC-AUC falls without a feature: the mean of the repeats, the smallest and the largest."""

    feature: str
    mean: float
    low: float
    high: float


def permutation_importance(score: Score, names: Sequence[str], rows: Floats, converted: Flags) -> tuple[Drop, ...]:
    """Return a drop per feature, largest first; empty for one class. The cost is REPEATS scorings per feature.

    `rows` has shape (rows, features), of which up to MOST_ROWS are used, evenly spread; `score` gives probabilities.
    """
    kept = evenly_spread(len(rows), MOST_ROWS)
    rows, converted = rows[kept], converted[kept]
    whole = roc_auc_of(score(rows), converted) if len(rows) else None
    if whole is None:
        return ()
    generator = np.random.default_rng(SEED)
    orders = np.stack([generator.permutation(len(rows)) for _ in range(REPEATS)])
    drops = []
    for column, name in enumerate(names):
        aucs = [roc_auc_of(part, converted) or 0.0 for part in _shuffled(score, rows, column, orders)]
        drops.append(Drop(name, whole - float(np.mean(aucs)), whole - max(aucs), whole - min(aucs)))
    return tuple(sorted(drops, key=lambda drop: (-drop.mean, drop.feature)))


def _shuffled(score: Score, rows: Floats, column: int, orders: Indices) -> Floats:
    """Return the scores of the rows with that column in each of `orders`, shape (orders, rows).

    A row that gets the same value twice is scored once: most features have few values.
    """
    values, place = np.unique(rows[:, column], return_inverse=True)
    cells = place[orders] * len(rows) + np.arange(len(rows))
    distinct, cell = np.unique(cells, return_inverse=True)
    changed = rows[distinct % len(rows)]
    changed[:, column] = values[distinct // len(rows)]
    scores: Floats = score(changed)[cell.reshape(orders.shape)]
    return scores
