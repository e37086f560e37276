"""Figures of live proof with 95 % intervals, where the rows of a lead share its outcome.

The intervals are by formula, since they are made for every org each day: a mean over rows varies like the sum of each
lead's deviations (the delta method for a ratio; Liang and Zeger 1986), and the ROC-AUC like the sum of each lead's
placements (DeLong 1988; Obuchowski 1997 for rows in clusters). A share of leads has the interval of Wilson (1927).
"""

from __future__ import annotations

import math

import numpy as np

from leadscore.arrays import Flags, Floats, Indices
from leadscore.comparison import Estimate
from leadscore.evaluation import has_both_outcomes
from leadscore.live_performance import Outcomes, Quality

Z = 1.959964  # of 95 %


def share(hits: int, total: int) -> Estimate:
    """Return the share with its interval. Raises ValueError when there is nothing to count."""
    if not total:
        raise ValueError("a share of 0 leads has no value; count at least one lead")
    middle, spread = (
        hits / total + Z**2 / (2 * total),
        Z * math.sqrt(hits / total * (1 - hits / total) / total + Z**2 / (4 * total**2)),
    )
    scale = 1 + Z**2 / total
    return Estimate(hits / total, max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale))


def mean_by_lead(values: Floats, lead: Indices) -> Estimate:
    """Return the mean over rows, shape (rows,), whose rows of one lead vary together."""
    mean = float(values.mean())
    deviations = np.bincount(lead, values - mean)
    spread = Z * math.sqrt(float((deviations**2).sum())) / len(values)
    return Estimate(mean, mean - spread, mean + spread)


def roc_auc_by_lead(probability: Floats, converted: Flags, lead: Indices) -> Estimate | None:
    """Return the ROC-AUC over rows, None when there is one outcome only."""
    if not has_both_outcomes(converted):
        return None
    placement = _placements(probability, converted)
    auc = float(placement[converted].mean())
    shares = np.where(converted, 1 / converted.sum(), 1 / (~converted).sum())
    deviations = np.bincount(lead, (placement - auc) * shares)
    spread = Z * math.sqrt(float((deviations**2).sum()))
    return Estimate(auc, max(0.0, auc - spread), min(1.0, auc + spread))


def _placements(probability: Floats, converted: Flags) -> Floats:
    """Return for each row the share of the rows with the other outcome that it is ranked rightly against."""
    placement = np.empty(len(probability))
    for ours, others, sign in ((converted, ~converted, 1.0), (~converted, converted, -1.0)):
        against = np.sort(sign * probability[others])
        below = np.searchsorted(against, sign * probability[ours], side="left")
        upto = np.searchsorted(against, sign * probability[ours], side="right")
        placement[ours] = (below + upto) / (2 * len(against))
    return placement


def outcomes_of(probability: Floats, converted: Flags) -> Outcomes:
    """Return what was promised of leads and what came true, a row for each lead."""
    return Outcomes(len(converted), float(probability.mean()), share(int(converted.sum()), len(converted)))


def quality_of(probability: Floats, converted: Flags, lead: Indices) -> Quality:
    """Return how good probabilities were, over all rows."""
    rate = float(converted.mean())
    return Quality(
        brier_score=mean_by_lead((probability - converted) ** 2, lead),
        roc_auc=roc_auc_by_lead(probability, converted, lead),
        base_rate_brier=rate * (1 - rate),
    )


def gain_over(probability: Floats, other: Floats, converted: Flags, lead: Indices) -> Estimate:
    """Return how much lower the Brier score of `other` is than that of `probability`, on the same rows."""
    return mean_by_lead((probability - converted) ** 2 - (other - converted) ** 2, lead)
