"""How many rows the pooled forest's word is worth when an org teaches it: chosen by what teaching does for orgs' leads.

For each of some orgs of the pool, each tree is taught by the org's leads that it saw and judged on those that it left
out, see `shapes`; each lead is left out by a fifth of the trees, which see nothing of it at any time. So this repeats
what a training and its holdout do. An org teaches by at most MOST_LEADS leads here, because the orgs for which the
choice matters are small; for large ones every strength is nearly as good. The strength of the least Brier score over
orgs, each org counting once, is taken, and stored with the pooled version: all its orgs use the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from leadscore.arrays import Flags, Floats, Indices, evenly_spread
from leadscore.forest import Forest
from leadscore_assets.training.shapes import left_out
from leadscore_assets.training.teaching import Lesson

# in rows
STRENGTHS = (200.0, 400.0, 800.0)
USUAL = 400.0
MOST_ORGS = 40
FEWEST_ORGS = 3
FEWEST_LEADS, MOST_LEADS = 60, 200


class Teaching(NamedTuple):
    """The strength, the mean Brier score gained by each over orgs, its standard error, and how many orgs were asked.

    With fewer than FEWEST_ORGS orgs the usual strength is taken untried, and the rest is empty.
    """

    strength: float
    gains: dict[float, tuple[float, float]]
    orgs: int

    def as_parameters(self) -> dict[str, Any]:
        """Return it as the manifest of a pooled version has it."""
        tried = [
            {"strength": strength, "brier_gain": gain, "standard_error": error}
            for strength, (gain, error) in self.gains.items()
        ]
        return {"strength": self.strength, "orgs": self.orgs, "tried": tried}


def teaching_of(forest: Forest, rows: Floats, converted: Flags, leads: Indices, org_ids: Indices) -> Teaching:
    """Return how the pooled `forest` is to be taught, from the rows that it was grown on.

    `rows` has the shape (rows, features); outcomes, leads (counted from 0, as the forest was grown) and the number of
    the org, each of shape (rows,).
    """
    sampled = list(_sampled(converted, leads, org_ids))
    if len(sampled) < FEWEST_ORGS:
        return Teaching(USUAL, {}, len(sampled))
    out_of_tree = _out_of_tree(forest, leads, np.concatenate(sampled))
    parts = np.split(out_of_tree, np.cumsum([len(at) for at in sampled])[:-1])
    by_org = zip(sampled, parts, strict=True)
    gains = np.array([_gains(forest, rows[at], converted[at], leads[at], part) for at, part in by_org])
    means, errors = gains.mean(axis=0), gains.std(axis=0, ddof=1) / np.sqrt(len(gains))
    by_strength = dict(zip(STRENGTHS, zip(means.tolist(), errors.tolist(), strict=True), strict=True))
    return Teaching(STRENGTHS[int(means.argmax())], by_strength, len(gains))


def _sampled(converted: Flags, leads: Indices, org_ids: Indices) -> Iterator[Indices]:
    """Yield the places of the rows of up to MOST_LEADS leads of each of up to MOST_ORGS orgs, evenly spread."""
    in_order = np.argsort(org_ids, kind="stable")
    orgs = np.split(in_order, np.flatnonzero(np.diff(org_ids[in_order])) + 1)
    usable = [at for at in orgs if len(np.unique(leads[at])) >= FEWEST_LEADS and len(np.unique(converted[at])) > 1]
    for chosen in evenly_spread(len(usable), MOST_ORGS):
        at, of_org = usable[chosen], np.unique(leads[usable[chosen]])
        yield at[np.isin(leads[at], of_org[evenly_spread(len(of_org), MOST_LEADS)])]


def _out_of_tree(forest: Forest, leads: Indices, at: Indices) -> Flags:
    """Return which trees left out the leads of the rows at these places, shape (places, trees).

    Each tree draws its leads from all of the pool's, so this is asked once for all orgs.
    """
    return np.stack([left_out(number, leads)[at] for number in range(len(forest.roots))], axis=1)


def _gains(forest: Forest, rows: Floats, converted: Flags, leads: Indices, out_of_tree: Flags) -> list[float]:
    """Return by how much the Brier score on left-out leads falls under each strength, for one org."""
    lesson = Lesson.of(forest, rows, converted, leads)
    values, moves = lesson.at_rate, lesson.moves(STRENGTHS, ~out_of_tree)
    untaught, *by_strength = (
        _brier_score(each.clip(0.0, 1.0)[lesson.ends], converted, out_of_tree)
        for each in (values, *(values + move for move in moves))
    )
    return [untaught - score for score in by_strength]


def _brier_score(by_tree: Floats, converted: Flags, out_of_tree: Flags) -> float:
    probabilities = (by_tree * out_of_tree).sum(axis=1) / out_of_tree.sum(axis=1)
    return float(((probabilities - converted) ** 2).mean())
