"""Gains: the share of conversions reached from the best score down, and by contacting the best fifth.

Curves are cut where each part holds at least FEWEST_LEADS leads, so that no step of one tells how a single lead ended.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leadscore.arrays import Flags, Floats, Texts
from leadscore.evaluation import MOST_POINTS, TOP_SHARE, Holdout, has_both_outcomes, precision_recall_points, roc_points
from leadscore_assets.report.slices import FEWEST_LEADS, HeldOut


@dataclass(frozen=True)
class Curve:
    """How many rows, and how many conversions, stand at or above falling probabilities; the last counts them all."""

    rows: tuple[int, ...]
    conversions: tuple[int, ...]

    def roc(self) -> list[tuple[float, float]]:
        """Return the points (false positive rate, true positive rate) from (0, 0) to (1, 1)."""
        return roc_points(np.array(self.rows), np.array(self.conversions))

    def precision_recall(self) -> list[tuple[float, float]]:
        """Return the points (recall, precision); where nothing is found yet, there is no precision to speak of."""
        points = precision_recall_points(np.array(self.rows), np.array(self.conversions))
        return [(recall, precision) for recall, precision in points if recall]

    def gains(self) -> list[tuple[float, float]]:
        """Return the points (share of rows contacted, share of conversions reached) from (0, 0) to (1, 1)."""
        steps = zip(self.rows, self.conversions, strict=True)
        return [(0, 0), *((rows / self.rows[-1], reached / self.conversions[-1]) for rows, reached in steps)]


@dataclass(frozen=True)
class Gain:
    """Contacting the best `contacted` of `rows` reaches `reached`, a share of the conversions. They are `leads`."""

    contacted: int
    rows: int
    leads: int
    reached: float


def curve_of(probabilities: Floats, holdout: Holdout) -> Curve | None:
    """Return the curve of `probabilities`, shape (rows,); None for one class, or fewer than FEWEST_LEADS leads."""
    if not has_both_outcomes(holdout.converted) or holdout.count_leads() < FEWEST_LEADS:
        return None
    order = np.argsort(-probabilities, kind="stable")
    is_last_of_equals = np.append(np.diff(probabilities[order]) != 0, True)
    ends = np.array(_ends(holdout.lead_ids[order], is_last_of_equals))
    conversions = np.cumsum(holdout.converted[order])[ends - 1]
    return Curve(tuple(ends.tolist()), tuple(conversions.tolist()))


def _ends(lead_ids: Texts, may_end: Flags) -> list[int]:
    """Return after how many rows each part of a curve ends; too small a rest belongs to the last part."""
    fewest_rows = len(lead_ids) / MOST_POINTS
    ends, inside, start = [], set[str](), 0
    for end, (lead_id, is_possible) in enumerate(zip(lead_ids.tolist(), may_end.tolist(), strict=True), start=1):
        inside.add(lead_id)
        if is_possible and len(inside) >= FEWEST_LEADS and end - start >= fewest_rows:
            ends.append(end)
            inside, start = set(), end
    return ends if ends[-1:] == [len(lead_ids)] else [*ends[:-1], len(lead_ids)]


def gain_of(held_out: HeldOut) -> Gain | None:
    """Return what contacting the TOP_SHARE that scores best reaches.

    None without conversions, and where the contacted or the others are fewer than FEWEST_LEADS leads.
    """
    converted, lead_ids = held_out.holdout.converted, held_out.holdout.lead_ids
    if not converted.any():
        return None
    order, contacted = np.argsort(-held_out.candidate, kind="stable"), max(1, round(len(converted) * TOP_SHARE))
    best, others = order[:contacted], order[contacted:]
    leads = len(np.unique(lead_ids[best]))
    if min(leads, len(np.unique(lead_ids[others]))) < FEWEST_LEADS:
        return None
    return Gain(contacted, len(converted), leads, float(converted[best].sum() / converted.sum()))
