"""What arrives is counted in the bins that were learned, and measured against them at the same age."""

from __future__ import annotations

from datetime import date

import msgspec
import numpy as np
import pytest

from leadscore.input_bins import MEASURES, PLACE, SPREAD, UNKNOWN, Expected, FeatureBins, InputBins

HALF = Expected(0.5, 0.01, 100)
AGES = (0, 7)


def feature(name: str, cut_points: tuple[float, ...], counts: tuple[tuple[int, ...], ...]) -> FeatureBins:
    nothing = (None,) * (len(cut_points) + 2)
    return FeatureBins(name, cut_points, counts, ((HALF,) * len(MEASURES),) * len(AGES), nothing)


BINS = InputBins(
    AGES,
    (
        feature("messages", (0.0, 1.0, 4.0), ((50, 25, 25, 0, 0), (0, 20, 40, 40, 0))),
        feature("minutes", (10.0,), ((30, 30, 40), (0, 50, 50))),
    ),
    Expected(0.3, 0.02, 100),
    date(2026, 3, 1),
)


def test_a_bin_ends_at_its_cut_point_which_belongs_to_it() -> None:
    places = BINS.features[0].places(np.array([-1.0, 0.0, 0.5, 1.0, 4.0, 4.1, 1e9, np.nan]))
    assert places.tolist() == [0, 0, 1, 1, 2, 3, 3, 4]


def test_each_row_is_counted_once_per_feature_at_its_age() -> None:
    values = np.array([[0.0, 5.0], [2.0, np.nan], [9.0, 50.0], [9.0, 50.0]])
    counts = BINS.count(np.array([0, 0, 7, 7]), values)
    assert counts.tolist() == [[1, 0, 1, 0, 0, 1, 0, 1], [0, 0, 0, 2, 0, 0, 2, 0]]


def test_rows_at_another_age_are_not_counted() -> None:
    assert BINS.count(np.array([3, 60]), np.zeros((2, 2))).sum() == 0


def test_counts_of_parts_add_up_to_those_of_all() -> None:
    random = np.random.default_rng(1)
    values, ages = random.normal(2, 3, (500, 2)), random.choice(AGES, 500)
    parts = sum(BINS.count(ages[part], values[part]) for part in np.array_split(np.arange(500), 7))
    assert (parts == BINS.count(ages, values)).all()


def test_rows_like_those_learned_from_have_the_middle_place() -> None:
    measures = BINS.measures(BINS.counts)
    assert measures[:, :, PLACE] == pytest.approx(0.5)
    assert measures[0, 1, UNKNOWN] == pytest.approx(0.4)


def test_values_above_all_that_was_learned_have_the_highest_place_and_spread() -> None:
    counts = np.zeros_like(BINS.counts)
    counts[0, 3] = 10
    measures = BINS.measures(counts)
    assert measures[0, 0, [PLACE, SPREAD]].tolist() == [1.0, 1.0]


def test_a_measure_without_leads_is_unknown() -> None:
    counts = np.zeros_like(BINS.counts)
    counts[0, 7] = 3
    measures = BINS.measures(counts)
    assert np.isnan(measures[0, 1, [PLACE, SPREAD]]).all()
    assert measures[0, 1, UNKNOWN] == 1.0
    assert np.isnan(measures[1]).all()


def test_they_read_back_as_they_were_written() -> None:
    assert msgspec.json.decode(msgspec.json.encode(BINS), type=InputBins) == BINS
