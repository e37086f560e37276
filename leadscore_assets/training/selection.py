"""The choice of how strongly a forest is shrunk, by what its trees say of leads that they left out.

A lead gives several rows, one for each age at which it was open, and they resemble each other. A forest that is judged
on rows whose siblings it was grown on (as scikit-learn's out-of-bag score does) never wants to be shrunk. So each tree
leaves out whole leads, see `shapes`, and a row is scored by the trees that saw nothing of its lead.

No extra forest is needed to judge a strength of shrinking: a row's leaves are known, and only their values change. The
measure is the log loss. There is a usual strength, and another is taken only when it beats the usual one by more than
the standard error of the difference over leads (Breiman's one-standard-error rule): on few leads the least of several
losses is mostly luck, and following it cost more than it gained.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from leadscore.arrays import Flags, Float32s, Floats, Indices
from leadscore_assets.training.shapes import FOLDS, left_out
from leadscore_assets.training.shrinkage import shrunk_shares

# in rows; beyond the last, every forest that was measured had become too flat
STRENGTHS = (0.0, 10.0, 40.0, 100.0, 200.0)
USUAL = 100.0
# with fewer leads of either outcome there is nothing to judge by
FEWEST_OF_OUTCOME = 5
# a row to which all trees that judge it gave 0 must not outweigh all others
LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Choice:
    """The strength that was taken, the log loss of each that was tried, and what it makes of leads that were left out.

    `left_out`, shape (rows,), is what the trees that left out its lead say of each row. It and `log_loss` are empty
    when there is nothing to judge by.
    """

    strength: float
    log_loss: dict[float, float]
    left_out: Floats


def choose(forest: RandomForestClassifier, rows: Float32s, converted: Flags, leads: Indices) -> Choice:
    """Return how strongly to shrink `forest`, which was grown on `rows`, shape (rows, features), and not shrunk yet.

    `leads` holds each row's lead, counted from 0. With fewer than FEWEST_OF_OUTCOME leads of either outcome the usual
    strength is taken.
    """
    if not _can_be_judged(converted, leads):
        return Choice(USUAL, {}, np.empty(0))
    given = dict(zip(STRENGTHS, left_out_probabilities(forest, rows, leads).T, strict=True))
    losses = {strength: losses_of(probabilities, converted) for strength, probabilities in given.items()}
    taken = surely_best(losses, leads)
    return Choice(taken, {strength: float(loss.mean()) for strength, loss in losses.items()}, given[taken])


def _can_be_judged(converted: Flags, leads: Indices) -> bool:
    return all(len(np.unique(leads[converted == outcome])) >= FEWEST_OF_OUTCOME for outcome in (True, False))


def left_out_probabilities(forest: RandomForestClassifier, rows: Float32s, leads: Indices) -> Floats:
    """Return what the trees that left out its lead say of each row, under each strength, shape (rows, strengths)."""
    members = forest.estimators_
    by_tree = shrunk_shares([member.tree_ for member in members], np.array(STRENGTHS))
    sums = np.zeros((len(rows), len(STRENGTHS)))
    for number, (member, shares) in enumerate(zip(members, by_tree, strict=True)):
        is_out = left_out(number, leads)
        sums[is_out] += shares[member.tree_.apply(rows[is_out])]
    return sums * FOLDS / len(members)


def losses_of(probabilities: Floats, converted: Flags) -> Floats:
    """Return each row's log loss, in nats."""
    right = np.where(converted, probabilities, 1 - probabilities)
    losses: Floats = -np.log(np.maximum(right, LEAST_PROBABILITY))
    return losses


def surely_best(losses: dict[float, Floats], leads: Indices) -> float:
    """Return the strength of the least mean loss when it surely beats the usual one; the usual one otherwise."""
    best = min(losses, key=lambda strength: float(losses[strength].mean()))
    gain = losses[USUAL] - losses[best]
    return best if gain.mean() > standard_error(gain, leads) else USUAL


def standard_error(values: Floats, leads: Indices) -> float:
    """Return the standard error of the mean of `values`, shape (rows,), when the rows of a lead go together."""
    of_lead = np.bincount(leads, weights=values - values.mean())
    return float(np.sqrt((of_lead**2).sum()) / len(values))
