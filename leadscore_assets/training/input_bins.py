"""Makes a version's input bins from the rows on its training side: see `leadscore.input_bins`.

Leads of one day move together, so a day of creation is one observation: the expected measures are means over days, and
their standard errors are those of days.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, timedelta

import msgspec
import numpy as np
import pandas as pd

from leadscore.arrays import Floats, Indices, Ints, evenly_spread
from leadscore.engine.scorer import Scorer
from leadscore.features import Feature
from leadscore.input_bins import MOST_BINS, Expected, FeatureBins, InputBins, counted, measures_of, slices_of
from leadscore.records import Window
from leadscore_assets.dataset import FeatureRows

EXPLAINED_ROWS = 200
# coarse enough that no processor's rounding shows in the file's bytes
DIGITS = 5
FEWEST_DAYS = 2


def input_bins_bytes(scorer: Scorer, features: FeatureRows) -> bytes:
    """Return the file that holds the bins; the same rows give the same bytes."""
    return msgspec.json.encode(input_bins(scorer, features)) + b"\n"


def input_bins(scorer: Scorer, features: FeatureRows) -> InputBins:
    """Return the bins of the rows outside the holdout."""
    is_training = ~features.holdout_mask()
    values, rows, landmarks = features.matrix()[is_training], features.rows[is_training], features.window.landmark_days
    columns = zip(features.contract.features, values.T, strict=True)
    empty = [FeatureBins(feature.name, cut_points(feature, column), (), (), ()) for feature, column in columns]
    ages = np.searchsorted(landmarks, rows["landmark_days"].to_numpy())
    _, days = np.unique(rows["created_on"].to_numpy(dtype=str), return_inverse=True)
    matured_through = _matured_through(features.window)
    by_day = _by_day(empty, days, ages, len(landmarks), values)
    filled = zip(
        empty, slices_of(empty), _expected(by_day, slices_of(empty)), _contributions(scorer, empty, values), strict=True
    )
    return InputBins(
        landmark_days=landmarks,
        features=tuple(
            FeatureBins(each.name, each.cut_points, _tuples(by_day[..., chosen].sum(axis=0)), expected, contributions)
            for each, chosen, expected, contributions in filled
        ),
        converted=_converted(rows[rows["created_on"] <= matured_through.isoformat()]),
        matured_through=matured_through,
    )


def _matured_through(window: Window) -> date:
    return (window.as_of.astimezone(UTC) - timedelta(days=window.conversion_window_days + 1)).date()


def _tuples(table: Ints) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in table.tolist())


def cut_points(feature: Feature, column: Floats) -> tuple[float, ...]:
    """Return the cut points of a feature from its training values, rising, NaN for unknown; none without any value.

    Where all values have a bin of their own, so have those above the highest and those below the lowest.
    """
    known = column[~np.isnan(column)]
    distinct = np.unique(known)
    if len(distinct) > MOST_BINS - 2:
        quantiles = np.quantile(known, np.arange(1, MOST_BINS) / MOST_BINS, method="inverted_cdf")
        return tuple(np.unique(quantiles).tolist())
    lowest = distinct[:1][distinct[:1] > feature.minimum]
    return (*np.nextafter(lowest, -np.inf).tolist(), *distinct.tolist())


def _by_day(features: list[FeatureBins], days: Indices, ages: Indices, landmarks: int, values: Floats) -> Ints:
    """Return the rows in each bin by day of creation, shape (days, landmarks, bins)."""
    count = int(days.max(initial=-1)) + 1
    return counted(features, count * landmarks, days * landmarks + ages, values).reshape(count, landmarks, -1)


def _expected(by_day: Ints, slices: list[slice]) -> Iterator[tuple[tuple[Expected, ...], ...]]:
    """Yield each feature's expected measures, by landmark."""
    learned = by_day.sum(axis=0)
    measures = measures_of(learned, by_day, slices)
    for place, chosen in enumerate(slices):
        leads = learned[:, chosen].sum(axis=1)
        known = leads - learned[:, chosen][:, -1]
        yield tuple(
            tuple(_mean(of_days, int(count)) for of_days, count in zip(of_age.T, counts, strict=True))
            for of_age, counts in zip(
                measures[:, :, place].swapaxes(0, 1), zip(known, known, leads, strict=True), strict=True
            )
        )


def _mean(of_days: Floats, leads: int) -> Expected:
    """Return the mean over the days that have a value; with fewer than FEWEST_DAYS, nothing is expected."""
    known = of_days[~np.isnan(of_days)]
    if len(known) < FEWEST_DAYS:
        return Expected(0.5, 1.0, leads)
    error = known.std(ddof=1) / np.sqrt(len(known))
    return Expected(round(float(known.mean()), DIGITS), round(float(error), DIGITS), leads)


def _contributions(scorer: Scorer, features: list[FeatureBins], values: Floats) -> Iterator[tuple[float | None, ...]]:
    """Yield each feature's mean contribution by bin, over rows that are spread evenly."""
    sample = values[evenly_spread(len(values), EXPLAINED_ROWS)]
    contributions = scorer.contributions(sample)
    for place, feature in enumerate(features):
        bins, length = feature.places(sample[:, place]), len(feature.cut_points) + 2
        counts = np.bincount(bins, minlength=length)
        sums = np.bincount(bins, contributions[:, place], minlength=length)
        pairs = zip(sums.tolist(), counts.tolist(), strict=True)
        yield _filled([round(total / count, DIGITS) if count else None for total, count in pairs])


def _filled(means: list[float | None]) -> tuple[float | None, ...]:
    """Return the means with that of the nearest known bin where a bin has none; that of unknown values stays."""
    known = [place for place, mean in enumerate(means[:-1]) if mean is not None]
    nearest = [
        min(known, key=lambda each: (abs(each - place), each)) if known else None for place in range(len(means) - 1)
    ]
    return (*(None if place is None else means[place] for place in nearest), means[-1])


def _converted(rows: pd.DataFrame) -> Expected:
    """Return the share of the leads that converted, a mean over the days of their creation."""
    leads = rows.drop_duplicates("lead_id")
    of_days = leads.groupby("created_on", sort=True)["converted"].mean().to_numpy(dtype=np.float64)
    return _mean(of_days, len(leads))
