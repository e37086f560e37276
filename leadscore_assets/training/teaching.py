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
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from leadscore.arrays import Flags, Floats, Indices, Int32s
from leadscore.forest import Forest
from leadscore.pooling import moved, step_to_rate
from leadscore_assets.training.selection import standard_error
from leadscore_assets.training.shapes import left_out

# far finer than any rate is known, and coarse enough that no processor's rounding shows in the forest's bytes
DIGITS = 9
HALVES = 2


@dataclass(frozen=True)
class Lesson:
    """An org's rows in the pooled forest: the leaf of each in each tree, shape (rows, trees).

    `converted` has the rows' outcomes, `leads` their leads, counted from 0, both of shape (rows,).
    """

    forest: Forest
    ends: Int32s
    converted: Flags
    leads: Indices

    @classmethod
    def of(cls, forest: Forest, rows: Floats, converted: Flags, leads: Indices) -> Lesson:
        """Return the lesson of `rows`, shape (rows, features)."""
        return cls(forest, forest.ends(rows), converted, leads)

    def where(self, chosen: Flags) -> Lesson:
        """Return the lesson of the chosen rows, shape (rows,)."""
        return replace(self, ends=self.ends[chosen], converted=self.converted[chosen], leads=self.leads[chosen])

    @cached_property
    def step(self) -> float:
        """By how much all leaves' log-odds are moved, so that the org's rows get its own rate on average."""
        counts = np.bincount(self.ends.ravel(), minlength=len(self.forest.value))
        rate, leads = float(self.converted.mean()), len(np.unique(self.leads))
        return round(step_to_rate(self.forest.value, counts / counts.sum(), rate, leads), DIGITS)

    @cached_property
    def at_rate(self) -> Floats:
        """The values of all nodes at the org's rate, shape (nodes,), before any of them is taught."""
        return moved(self.forest.value, self.step)

    def taught(self, strength: float) -> Forest:
        """Return the forest taught by the rows; `strength` is in rows. Values are float32s, as the engine's are."""
        [moves] = self.moves([strength])
        return replace(self.forest, value=_as_stored(self.at_rate + moves))

    def moves(self, strengths: Sequence[float], counts: Flags | None = None) -> list[Floats]:
        """Return by how much each node moves under each strength, shape (nodes,) each.

        `counts`, shape (rows, trees), says which rows a tree is taught by; all of them where it is None.
        """
        residuals = self.converted - self.at_rate[self.ends].mean(axis=1)
        spread = np.broadcast_to(residuals[:, None], self.ends.shape)
        weights = np.ones(self.ends.shape) if counts is None else counts.astype(np.float64)
        rows, sums = (self._below(each) for each in (weights, spread * weights))
        return [self._moves(rows, sums, strength) for strength in strengths]

    def _below(self, of_rows: Floats) -> Floats:
        """Return what the rows that reach each node have together, shape (nodes,)."""
        total = np.bincount(self.ends.ravel(), of_rows.ravel(), len(self.forest.value)).astype(np.float64)
        for parents in reversed(self._levels):
            total[parents] = total[self.forest.left[parents]] + total[self.forest.right[parents]]
        return total

    def _moves(self, rows: Floats, sums: Floats, strength: float) -> Floats:
        weight, move, roots = rows + strength, np.zeros(len(rows)), self.forest.roots
        move[roots] = sums[roots] / weight[roots]
        for parents in self._levels:
            for children in (self.forest.left[parents], self.forest.right[parents]):
                move[children] = (sums[children] + strength * move[parents]) / weight[children]
        return move

    @cached_property
    def _levels(self) -> list[Int32s]:
        return list(self.forest.levels())


def gain_over_base_rate(lesson: Lesson, strength: float) -> tuple[float, float]:
    """Return by how much the taught forest's Brier score is better than the base rate's, and the standard error.

    Both learn from one half of the org's leads and are judged on the other, in turns.
    """
    gains, is_first = np.zeros(len(lesson.converted)), left_out(0, lesson.leads, HALVES)
    for known, asked in ((is_first, ~is_first), (~is_first, is_first)):
        learned, converted = lesson.where(known), lesson.converted[asked]
        said = learned.taught(strength).value[lesson.ends[asked]].mean(axis=1)
        gains[asked] = (learned.converted.mean() - converted) ** 2 - (said - converted) ** 2
    return float(gains.mean()), standard_error(gains, lesson.leads)


def _as_stored(values: Floats) -> Floats:
    stored: Floats = values.clip(0.0, 1.0).astype(np.float32).astype(np.float64)
    return stored
