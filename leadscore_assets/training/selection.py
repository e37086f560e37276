"""The choice of a forest: of which shape, and how strongly shrunk, by what its trees say of leads that they left out.

A lead gives several rows, one for each age at which it was open, and they resemble each other. A forest that is judged
on rows whose siblings it was grown on (as scikit-learn's out-of-bag score does) never wants to be shrunk. So each tree
leaves out whole leads, see `shapes`, and a row is scored by the trees that saw nothing of its lead.

No extra forest is needed to judge a strength of shrinking: a row's leaves are known, and only their values change. With
enough leads a forest of each shape is grown, on a sample of the leads where there are very many. The measure is the log
loss. There is a usual choice, and another is taken only when it beats the usual one by more than the standard error of
the difference over leads (Breiman's one-standard-error rule): on few leads the least of several losses is mostly luck,
and following it cost more than it gained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from leadscore.arrays import Flags, Float32s, Floats, Indices
from leadscore.evaluation import brier_score_of, log_loss_of, roc_auc_of
from leadscore_assets.training.shapes import FINE, FOLDS, SHAPES, grow, left_out
from leadscore_assets.training.shrinkage import shrunk_shares

# in rows; beyond the last, every forest that was measured had become too flat
STRENGTHS = (0.0, 10.0, 40.0, 100.0, 200.0)
# with fewer leads of either outcome there is nothing to judge by
FEWEST_OF_OUTCOME = 5
# with fewer leads another shape than the usual one was surely better in one of forty samples: not worth its time
FEWEST_LEADS_FOR_SHAPES = 1_000
# bounds the time of the choice; the forest itself is grown on all leads
MOST_LEADS = 5_000
# a row to which all trees that judge it gave 0 must not outweigh all others
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


def choose(rows: Float32s, converted: Flags, leads: Indices) -> tuple[Choice, RandomForestClassifier]:
    """Return what to take, and the forest of its shape, grown on `rows`, shape (rows, features), and not shrunk yet.

    `leads` holds each row's lead, counted from 0. With fewer than FEWEST_OF_OUTCOME leads of either outcome the usual
    option is taken.
    """
    if not _can_be_judged(converted, leads):
        return Choice(USUAL, {}, {}), grow(rows, converted, leads, USUAL.shape)
    every = int(1 + leads.max() // MOST_LEADS)
    is_sampled = leads % every == 0
    sample, outcomes, sampled_leads = rows[is_sampled], converted[is_sampled], leads[is_sampled] // every
    shapes = SHAPES if sampled_leads.max() + 1 >= FEWEST_LEADS_FOR_SHAPES else [FINE]
    forests = {shape: grow(sample, outcomes, sampled_leads, shape) for shape in shapes}
    by_shape = {shape: left_out_probabilities(forest, sample, sampled_leads) for shape, forest in forests.items()}
    scored = {Option(shape, s): by_shape[shape][:, place] for shape in shapes for place, s in enumerate(STRENGTHS)}
    losses = {option: losses_of(probabilities, outcomes) for option, probabilities in scored.items()}
    taken = surely_best(losses, sampled_leads)
    means = {option: float(loss.mean()) for option, loss in losses.items()}
    forest = forests[taken.shape] if every == 1 else grow(rows, converted, leads, taken.shape)
    return Choice(taken, means, figures_of(scored[taken], outcomes)), forest


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
