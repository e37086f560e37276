"""Teaches the pooled forest by one org's rows: its splits stay, and every node moves as far as the org's rows say.

The pooled forest knows from all orgs' leads which leads are alike; an org's own leads say how they do there. First all
leaves are moved to the org's base rate, as the org is served by the pooled model (`leadscore.pooling`). Then each row's
residual, its outcome minus the forest's probability, is given to every node on its paths, and a node is moved by

    move(node) = (sum of its rows' residuals + strength * move(parent)) / (its rows + strength),

a root by the same rule from 0: the posterior mean of a node whose prior is its parent, worth `strength` rows. So many
own rows speak for themselves, few hardly do, and where an org has none, a leaf moves with what stands above it. The
share of the org's own evidence grows with its rows by this one rule.

It is a mean of trees as before, so probabilities, contributions and their sum are exact. A leaf that would leave [0, 1]
is put to its border before the forest is stored. After "hierarchical shrinkage", see `shrinkage`, applied to residuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from leadscore.arrays import Flags, Floats, Indices, Int32s
from leadscore.forest import Forest
from leadscore.pooling import base_value_of_org, moved_to
from leadscore_assets.training.selection import standard_error
from leadscore_assets.training.shapes import FOLDS, left_out


def taught(forest: Forest, base_value: float, rows: Floats, converted: Flags, strength: float) -> Forest:
    """Return `forest` moved to `base_value` and taught by an org's `rows`, shape (rows, features).

    `converted`, shape (rows,), has their outcomes; `strength` is in rows. Values are rounded to float32, as the
    engine's are.
    """
    at_rate = moved_to_base_value(forest, base_value)
    ends = forest.ends(rows)
    [moves] = moves_by(forest, ends, residuals(at_rate, ends, converted), [strength])
    return replace(forest, value=_as_stored(at_rate + moves))


def gain_over_base_rate(
    forest: Forest, rows: Floats, converted: Flags, leads: Indices, strength: float
) -> tuple[float, float]:
    """Return by how much the taught forest's Brier score is better than the base rate's, and the standard error.

    Both learn from four fifths of the org's leads and are judged on the others, in turns. `leads` has each row's lead,
    counted from 0; the rows of a lead go together.
    """
    gains = np.zeros(len(rows))
    for fold in range(FOLDS):
        is_out = left_out(fold, leads)
        known, rate = ~is_out, float(converted[~is_out].mean())
        base_value = base_value_of_org(forest.scorer, rows[known], rate, len(np.unique(leads[known])))
        pupil = taught(forest, base_value, rows[known], converted[known], strength)
        said = pupil.value[pupil.ends(rows[is_out])].mean(axis=1)
        gains[is_out] = (rate - converted[is_out]) ** 2 - (said - converted[is_out]) ** 2
    return float(gains.mean()), standard_error(gains, leads)


def moved_to_base_value(forest: Forest, base_value: float) -> Floats:
    """Return the values of all nodes, moved as the leaves are for an org of that base value, shape (nodes,)."""
    scorer = forest.scorer
    return moved_to(forest.value, scorer.leaf_values, scorer.leaf_shares, base_value)


def residuals(values: Floats, ends: Int32s, converted: Flags) -> Floats:
    """Return each row's outcome minus the mean of `values` at its `ends`, shape (rows,)."""
    left_over: Floats = converted - values[ends].mean(axis=1)
    return left_over


def moves_by(
    forest: Forest, ends: Int32s, left_over: Floats, strengths: Sequence[float], counts: Flags | None = None
) -> list[Floats]:
    """Return by how much each node moves under each strength, shape (nodes,) each.

    `ends` has the leaf of each row in each tree, `left_over` each row's residual. `counts`, shape (rows, trees), says
    which rows a tree is taught by; all of them where it is None.
    """
    weights = None if counts is None else counts.ravel().astype(np.float64)
    spread = np.broadcast_to(left_over[:, None], ends.shape).ravel()
    levels = list(forest.levels())
    of_rows = spread if weights is None else spread * weights
    rows, sums = (
        _summed(forest, levels, np.bincount(ends.ravel(), each, len(forest.value)).astype(np.float64))
        for each in (weights, of_rows)
    )
    return [_moves(forest, levels, rows, sums, strength) for strength in strengths]


def _summed(forest: Forest, levels: Sequence[Int32s], of_leaves: Floats) -> Floats:
    """Return what the leaves below each node have together, shape (nodes,)."""
    total = of_leaves.copy()
    for parents in reversed(levels):
        total[parents] = total[forest.left[parents]] + total[forest.right[parents]]
    return total


def _moves(forest: Forest, levels: Sequence[Int32s], rows: Floats, sums: Floats, strength: float) -> Floats:
    weight = rows + strength
    move = np.zeros(len(rows))
    move[forest.roots] = sums[forest.roots] / weight[forest.roots]
    for parents in levels:
        for children in (forest.left[parents], forest.right[parents]):
            move[children] = (sums[children] + strength * move[parents]) / weight[children]
    return move


def _as_stored(values: Floats) -> Floats:
    stored: Floats = values.clip(0.0, 1.0).astype(np.float32).astype(np.float64)
    return stored
