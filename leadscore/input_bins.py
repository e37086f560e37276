"""Fixed bins of each feature, kept with a version: how the rows that it learned from spread over them.

What arrives later is counted in the same bins, at the same ages, so that like is compared with like. A feature has at
most MOST_BINS bins, and one more for unknown values. Cut points are values of the training rows: all of them where
there are few, as of flags and most counts, else their quantiles. A bin ends at its cut point, which belongs to it.

Three measures, each from 0 to 1, say how a day's leads of one age stand among those learned from: their mean place
(the ridit of Bross 1958: the share of learned values that are lower, with half of those in the same bin; ½ when nothing
changed), their spread, and the share of them whose value is unknown. The spread is the mean of a high power of the
distance from the middle: so it is small among learned values, and a day beyond all that was learned stands out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import Literal, get_args

import msgspec
import numpy as np

from leadscore.arrays import Floats, Indices, Ints
from leadscore.formats import FORMAT

MOST_BINS = 16
SPREAD_POWER = 4
Measure = Literal["place", "spread", "unknown"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
PLACE, SPREAD, UNKNOWN = range(len(MEASURES))


class Expected(msgspec.Struct, frozen=True, array_like=True):
    """The mean of a figure over the training days, the standard error of that mean, and the leads behind it."""

    mean: float
    error: float
    leads: int


class FeatureBins(msgspec.Struct, frozen=True):
    """One feature. The last of `contributions`, and of each list of `counts`, is that of unknown values.

    `counts` and `expected` have an entry for each landmark age; `expected` then has one for each of MEASURES.
    `contributions` are mean contributions to the probability, None where no row that was explained had such a value.
    """

    name: str
    cut_points: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    expected: tuple[tuple[Expected, ...], ...]
    contributions: tuple[float | None, ...]

    def places(self, values: Floats) -> Indices:
        """Return the bin of each value, shape (rows,); that of NaN is the last."""
        found = np.searchsorted(np.array(self.cut_points), values, side="left")
        return np.where(np.isnan(values), len(self.cut_points) + 1, found)


class InputBins(msgspec.Struct, frozen=True, dict=True):
    """The bins of a version's features, in their order, for each of its landmark ages in days.

    `converted` is the share that converted of its training leads that were created up to `matured_through`, the last
    day whose leads' conversion windows were over. Of later leads a training has those alone that closed early.
    """

    landmark_days: tuple[int, ...]
    features: tuple[FeatureBins, ...]
    converted: Expected
    matured_through: date
    format: int = FORMAT

    @cached_property
    def slices(self) -> list[slice]:
        """Which of the bins in a row of counts are those of each feature."""
        return slices_of(self.features)

    @cached_property
    def counts(self) -> Ints:
        """The training rows in each bin of all features, shape (landmarks, bins)."""
        return np.concatenate([np.array(feature.counts, np.int64) for feature in self.features], axis=1)

    @cached_property
    def expected(self) -> Floats:
        """The measures' means over the training days, shape (landmarks, features, measures); NaN for unknown."""
        return self._figures("mean")

    @cached_property
    def expected_errors(self) -> Floats:
        """The standard errors of `expected`."""
        return self._figures("error")

    @cached_property
    def expected_leads(self) -> Floats:
        """The leads behind `expected`."""
        return self._figures("leads")

    def _figures(self, name: str) -> Floats:
        cells = [[[getattr(each, name) for each in ages] for ages in feature.expected] for feature in self.features]
        return np.array(cells, np.float64).swapaxes(0, 1)

    def count(self, landmark_days: Ints, values: Floats) -> Ints:
        """Return how many of the rows are in each bin, shape (landmarks, bins).

        `landmark_days` has shape (rows,), `values` shape (rows, features), NaN for unknown. Rows at an age that is not
        among the landmarks are not counted.
        """
        ages = np.searchsorted(self.landmark_days, landmark_days)
        ages = np.minimum(ages, len(self.landmark_days) - 1)
        is_known_age = np.array(self.landmark_days)[ages] == landmark_days
        return counted(self.features, len(self.landmark_days), ages[is_known_age], values[is_known_age])

    def measures(self, counts: Ints) -> Floats:
        """Return the measures of leads counted like this, shape (…, landmarks, features, measures).

        `counts` have shape (…, landmarks, bins). NaN where no lead has a known value or, for unknown, there is none.
        """
        return measures_of(self.counts, counts, self.slices)


def slices_of(features: Sequence[FeatureBins]) -> list[slice]:
    """Return which of the bins in a row of counts are those of each feature; of each, the last is for unknown."""
    ends = np.cumsum([0, *(len(feature.cut_points) + 2 for feature in features)]).tolist()
    return [slice(start, end) for start, end in pairwise(ends)]


def counted(features: Sequence[FeatureBins], groups: int, group: Indices, values: Floats) -> Ints:
    """Return how many rows of each group are in each bin of all features, shape (groups, bins).

    `group` has shape (rows,), `values` shape (rows, features).
    """
    slices = slices_of(features)
    bins = slices[-1].stop
    places = np.empty(values.shape, np.intp)
    for column, (feature, chosen) in enumerate(zip(features, slices, strict=True)):
        places[:, column] = feature.places(values[:, column]) + chosen.start
    flat = (places + (group * bins)[:, None]).ravel()
    return np.bincount(flat, minlength=groups * bins).reshape(groups, bins).astype(np.int64)


def measures_of(learned: Ints, counts: Ints, slices: Sequence[slice]) -> Floats:
    """Return the measures of `counts`, shape (…, landmarks, bins), against `learned`, shape (landmarks, bins).

    `slices` says which bins are those of each feature. The result has shape (…, landmarks, features, measures).
    """
    found = np.empty((*counts.shape[:-1], len(slices), len(MEASURES)))
    for place, chosen in enumerate(slices):
        known, unknown = counts[..., chosen][..., :-1], counts[..., chosen][..., -1]
        ridits = _ridits(learned[:, chosen][:, :-1])
        with np.errstate(invalid="ignore"):
            found[..., place, PLACE] = (known * ridits).sum(axis=-1) / known.sum(axis=-1)
            found[..., place, SPREAD] = (known * np.abs(2 * ridits - 1) ** SPREAD_POWER).sum(axis=-1) / known.sum(
                axis=-1
            )
            found[..., place, UNKNOWN] = unknown / (known.sum(axis=-1) + unknown)
    return found


def _ridits(learned: Ints) -> Floats:
    """Return the mean place of each bin's values among the learned ones, shape (landmarks, bins); ½ of no values."""
    total = learned.sum(axis=-1, keepdims=True)
    below = learned.cumsum(axis=-1) - learned / 2
    ridits: Floats = np.where(total > 0, below / np.maximum(total, 1), 0.5)
    return ridits
