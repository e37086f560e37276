"""How far what arrived is from what was learned, in figures: the band of each measure, since when it is left, points.

Counts are those of `leadscore.input_counts` for one version, added up by day: shape (days, landmarks, bins). Days are
UTC. Every comparison is of leads of the same landmark age.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from leadscore.arrays import Floats, Ints
from leadscore.input_bins import UNKNOWN, InputBins
from leadscore_assets.proof.input_bets import tolerance

# a share of the leads below which nothing is said of values that no explained row had
NOTICED_SHARE = 0.01
# the last days of which one says where a measure stands now
LEVEL_DAYS = 7


class Arrived(NamedTuple):
    """What arrived on days, the earliest first: leads, shape (days, landmarks), and counts, (days, landmarks, bins)."""

    days: Sequence[date]
    leads: Ints
    counts: Ints

    def since(self, day: date) -> Arrived:
        """Return what arrived on that day and later."""
        first = sum(each < day for each in self.days)
        return Arrived(self.days[first:], self.leads[first:], self.counts[first:])

    def upto(self, day: date) -> Arrived:
        """Return what arrived on that day and before."""
        count = sum(each <= day for each in self.days)
        return Arrived(self.days[:count], self.leads[:count], self.counts[:count])


class Band(NamedTuple):
    """Between which means nothing is said; shape (landmarks, features, measures), or that of one test."""

    lower: Floats
    upper: Floats


class Shift(NamedTuple):
    """What was served of a measure and what was learned, the leads behind it, and whether it left the band."""

    served: float
    learned: float
    leads: int
    is_outside: bool


def band_of(bins: InputBins) -> Band:
    """Return the bands of a version's features."""
    allowed = tolerance(bins.expected_errors, bins.expected_leads)
    return Band(bins.expected - allowed, bins.expected + allowed)


def shift_of(bins: InputBins, arrived: Arrived, feature: int, measure: int) -> Shift:
    """Return how a measure stands over all the days, where each age has the weight of its leads."""
    counts = arrived.counts.sum(axis=0)
    served = bins.measures(counts)[:, feature, measure]
    weights = np.where(np.isnan(served), 0, _leads_of(bins, counts, feature, measure))
    if not weights.any():
        return Shift(np.nan, np.nan, 0, is_outside=False)
    band = band_of(bins)
    means = (
        np.average(np.nan_to_num(column), weights=weights)
        for column in (
            served,
            bins.expected[:, feature, measure],
            band.lower[:, feature, measure],
            band.upper[:, feature, measure],
        )
    )
    now, learned, lower, upper = map(float, means)
    return Shift(now, learned, int(weights.sum()), is_outside=not lower <= now <= upper)


def left_since(bins: InputBins, arrived: Arrived, feature: int, measure: int) -> date:
    """Return the day since when a measure stands where it stood on the last days; there must be at least one day.

    Of all days it is the one from which on the leads speak most for that level, and before it for what was learned: a
    day speaks for the level when it is nearer to it.
    """
    off = np.nan_to_num(bins.measures(arrived.counts) - bins.expected)[..., feature, measure]
    leads = _leads_of(bins, arrived.counts, feature, measure)
    last = slice(max(0, len(arrived.days) - LEVEL_DAYS), None)
    level = (off[last] * leads[last]).sum() / max(leads[last].sum(), 1)
    nearer = (leads * (off * np.sign(level) - abs(level) / 2)).sum(axis=1)
    return arrived.days[int(nearer[::-1].cumsum()[::-1].argmax())]


def _leads_of(bins: InputBins, counts: Ints, feature: int, measure: int) -> Ints:
    """Return the leads behind a measure, shape (…, landmarks): those with a known value or, for unknown, all."""
    of_feature = counts[..., bins.slices[feature]]
    leads: Ints = (of_feature if measure == UNKNOWN else of_feature[..., :-1]).sum(axis=-1)
    return leads


def points_of(bins: InputBins, arrived: Arrived, feature: int) -> float | None:
    """Return how much the mean score moves by the feature's shift, as a probability; None where that is unknown.

    It is the sum over the bins of what their shares changed by, times their mean contribution.
    """
    chosen = bins.slices[feature]
    counts, learned = arrived.counts.sum(axis=0)[:, chosen], bins.counts[:, chosen]
    served, ages = _shares(counts), counts.sum(axis=1) / max(counts.sum(), 1)
    moved = ages @ np.where(learned.sum(axis=1, keepdims=True) > 0, served - _shares(learned), 0.0)
    contributions = bins.features[feature].contributions
    if any(share > NOTICED_SHARE and mean is None for share, mean in zip(moved, contributions, strict=True)):
        return None
    return float(moved @ np.array([mean or 0.0 for mean in contributions]))


def _shares(counts: Ints) -> Floats:
    shares: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares
