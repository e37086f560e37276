"""The choice of a forest: of which shape, and how strongly shrunk, by cross-validation over leads.

A lead gives several rows, one for each age at which it was open, and they resemble each other. A forest that is judged
on rows whose siblings it was grown on (as scikit-learn's out-of-bag score does) never wants to be shrunk: so all rows
of a lead are in one fold, and a fold's rows are scored by a forest that saw none of its leads.

No extra forest is needed to judge a strength of shrinking: a row's leaves are known, and only their values change. The
budget is FOLDS small forests per shape, on a sample of the leads where there are very many. The measure is the log
loss. There is a usual choice, and another is taken only when it beats the usual one by more than the standard error of
the difference over leads (Breiman's one-standard-error rule): on few leads the least of several losses is mostly luck,
and following it cost more than it gained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from leadscore.arrays import Flags, Float32s, Floats, Indices
from leadscore.evaluation import brier_score_of, log_loss_of, roc_auc_of
from leadscore_assets.training.shapes import FINE, SHAPES, grow
from leadscore_assets.training.shrinkage import shrunk_shares

FOLDS = 5
TREES_PER_FOLD = 30
# in rows; beyond the last, every forest that was measured had become too flat
STRENGTHS = (0.0, 10.0, 40.0, 100.0, 200.0)
# with fewer leads another shape than the usual one was surely better in one of forty samples: not worth its time
FEWEST_LEADS_FOR_SHAPES = 1_000
# bounds the time of the choice; the forest itself is grown on all leads
MOST_LEADS = 5_000
# a row to which all trees of a small forest gave 0 must not outweigh all others
LEAST_PROBABILITY = 1e-6


class Option(NamedTuple):
    """A shape and a strength of shrinking."""

    shape: str
    strength: float


USUAL = Option(FINE, 40.0)


@dataclass(frozen=True)
class Choice:
    """What was taken, the log loss of all that was tried, and what was taken's figures; empty when nothing was."""

    option: Option
    log_loss: dict[Option, float]
    figures: dict[str, float | None]


def choose(rows: Float32s, converted: Flags, leads: Indices) -> Choice:
    """Return the option to take for `rows`, shape (rows, features); `leads` holds each row's lead, counted from 0.

    With fewer than FOLDS leads of either outcome there is nothing to judge by, and the usual option is taken.
    """
    sampled = leads % (1 + leads.max() // MOST_LEADS) == 0
    rows, converted, leads = rows[sampled], converted[sampled], leads[sampled]
    folds = folds_of(converted, leads)
    if folds is None:
        return Choice(USUAL, {}, {})
    shapes = SHAPES if len(np.unique(leads)) >= FEWEST_LEADS_FOR_SHAPES else [FINE]
    by_shape = {shape: cross_validated(rows, converted, folds, shape) for shape in shapes}
    scored = {Option(shape, s): by_shape[shape][:, place] for shape in shapes for place, s in enumerate(STRENGTHS)}
    losses = {option: losses_of(probabilities, converted) for option, probabilities in scored.items()}
    taken = surely_best(losses, leads)
    means = {option: float(loss.mean()) for option, loss in losses.items()}
    return Choice(taken, means, figures_of(scored[taken], converted))


def folds_of(converted: Flags, leads: Indices) -> Indices | None:
    """Return each row's fold, shape (rows,): the leads of each outcome in turns; None when there are too few."""
    numbers, first = np.unique(leads, return_index=True)
    folds = np.zeros(int(leads.max()) + 1, dtype=np.intp)
    for of_outcome in (numbers[converted[first]], numbers[~converted[first]]):
        if len(of_outcome) < FOLDS:
            return None
        folds[of_outcome] = np.arange(len(of_outcome)) % FOLDS
    return folds[leads]


def cross_validated(rows: Float32s, converted: Flags, folds: Indices, shape: str) -> Floats:
    """Return what each row gets from a forest that saw none of its fold, under each strength, (rows, strengths)."""
    probabilities = np.zeros((len(rows), len(STRENGTHS)))
    for fold in range(FOLDS):
        is_out = folds == fold
        forest = grow(rows[~is_out], converted[~is_out], shape, TREES_PER_FOLD)
        for member in forest.estimators_:
            shares = shrunk_shares(member.tree_, np.array(STRENGTHS))
            probabilities[is_out] += shares[member.tree_.apply(rows[is_out])] / TREES_PER_FOLD
    return probabilities


def losses_of(probabilities: Floats, converted: Flags) -> Floats:
    """Return each row's log loss, in nats."""
    right = np.where(converted, probabilities, 1 - probabilities)
    losses: Floats = -np.log(np.maximum(right, LEAST_PROBABILITY))
    return losses


def surely_best(losses: dict[Option, Floats], leads: Indices) -> Option:
    """Return the option of the least mean loss when it surely beats the usual one; the usual one otherwise."""
    best = min(losses, key=lambda option: float(losses[option].mean()))
    gain = losses[USUAL] - losses[best]
    return best if gain.mean() > standard_error(gain, leads) else USUAL


def standard_error(values: Floats, leads: Indices) -> float:
    """Return the standard error of the mean of `values`, shape (rows,), when the rows of a lead go together."""
    of_lead = np.bincount(leads, weights=values - values.mean())
    return float(np.sqrt((of_lead**2).sum()) / len(values))


def figures_of(probabilities: Floats, converted: Flags) -> dict[str, float | None]:
    """Return how good the cross-validated probabilities are."""
    return {
        "log_loss": log_loss_of(probabilities, converted),
        "brier_score": brier_score_of(probabilities, converted),
        "roc_auc": roc_auc_of(probabilities, converted),
    }
