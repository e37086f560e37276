"""Fits a forest with scikit-learn: grown, shrunk and stretched by what its trees say of leads that they left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from leadscore.arrays import Flags, Floats, Indices
from leadscore.evaluation import brier_score_of, roc_auc_of
from leadscore_assets.training.selection import Choice, choose, losses_of
from leadscore_assets.training.shapes import FINE, SEED, SHAPES, TREES, grow
from leadscore_assets.training.shrinkage import shrink
from leadscore_assets.training.stretch import NONE, Stretch, stretch, stretch_of


@dataclass(frozen=True)
class Fitted:
    """A fitted forest, and what was tried and chosen on the way, as plain numbers and texts for the manifest."""

    estimator: RandomForestClassifier
    parameters: dict[str, Any]


def fit(rows: Floats, converted: Flags, lead_numbers: Indices, shape: str = FINE) -> Fitted:
    """Return the forest for `rows`, shape (rows, features), NaN for unknown; outcomes and leads, shape (rows,).

    Both outcomes must occur. The same rows give the same forest, byte for byte. The time is that of growing the forest.
    """
    table, leads = rows.astype(np.float32), np.unique(lead_numbers, return_inverse=True)[1]
    estimator = grow(table, converted, leads, shape)
    choice = choose(estimator, table, converted, leads)
    line = stretch_of(choice.left_out, converted, leads) if len(choice.left_out) else NONE
    shrink(estimator, choice.strength)
    stretch(estimator, line)
    return Fitted(estimator, _parameters(shape, choice, line, _figures_of(line.of(choice.left_out), converted)))


def _parameters(shape: str, choice: Choice, line: Stretch, figures: dict[str, float | None]) -> dict[str, Any]:
    return {
        "n_estimators": TREES,
        **SHAPES[shape],
        "random_state": SEED,
        "shape": shape,
        "shrinkage": choice.strength,
        "stretch": line._asdict(),
        "left_out_leads": {
            **figures,
            "tried": [{"shrinkage": strength, "log_loss": loss} for strength, loss in choice.log_loss.items()],
        },
    }


def _figures_of(left_out: Floats, converted: Flags) -> dict[str, float | None]:
    """Return how good the trees are on the leads that they left out; empty where they were not judged."""
    if not len(left_out):
        return {}
    return {
        "log_loss": float(losses_of(left_out, converted).mean()),
        "brier_score": brier_score_of(left_out, converted),
        "roc_auc": roc_auc_of(left_out, converted),
    }
