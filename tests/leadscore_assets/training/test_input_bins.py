"""A version keeps how its training rows spread: the same rows give the same bytes, of a few kB."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import msgspec
import numpy as np
import pytest

from leadscore.engine.scorer import Scorer
from leadscore.features import CONTRACT, Feature
from leadscore.input_bins import MOST_BINS, PLACE, UNKNOWN, InputBins
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.training.estimator import flatten
from leadscore_assets.training.input_bins import cut_points, input_bins, input_bins_bytes
from leadscore_assets.training.shapes import COARSE, grow
from leadscore_assets.training.snapshot import lead_numbers
from tests.leadscore_assets.made_rows import AGES, made_features

NUMBER = Feature("minutes", "minutes", "number", 0, 1e9, "a number", nullable=True)


@pytest.fixture(scope="module")
def features() -> FeatureRows:
    return made_features(400)


@pytest.fixture(scope="module")
def scorer(features: FeatureRows) -> Scorer:
    leads = lead_numbers(features.rows)
    return flatten(grow(features.matrix().astype(np.float32), features.outcomes(), leads, COARSE, 10)).scorer


@pytest.fixture(scope="module")
def bins(scorer: Scorer, features: FeatureRows) -> InputBins:
    return input_bins(scorer, features)


def test_the_same_rows_give_the_same_bytes_of_a_few_kb(scorer: Scorer, features: FeatureRows) -> None:
    content = input_bins_bytes(scorer, features)
    assert content == input_bins_bytes(scorer, features)
    assert 1_000 < len(content) < 12_000


def test_it_counts_the_rows_outside_the_holdout_at_each_age(bins: InputBins, features: FeatureRows) -> None:
    training = features.rows[~features.holdout_mask()]
    counts = bins.count(training["landmark_days"].to_numpy(), features.matrix()[~features.holdout_mask()])
    assert (counts == bins.counts).all()
    assert bins.landmark_days == AGES


def test_the_share_of_converted_leads_is_that_of_leads_whose_window_was_over(
    bins: InputBins, features: FeatureRows
) -> None:
    """Of later leads a training has those alone that closed early, which convert more often."""
    assert bins.matured_through == date(2026, 3, 2)
    mature = features.rows[~features.holdout_mask() & (features.rows["created_on"] <= "2026-03-02")]
    assert bins.converted.leads == mature["lead_id"].nunique()
    assert bins.converted.mean == pytest.approx(mature["converted"].mean(), abs=0.03)


def test_rows_like_those_learned_from_stand_where_they_are_expected(bins: InputBins) -> None:
    known = bins.expected_errors < 1
    assert bins.measures(bins.counts)[known] == pytest.approx(bins.expected[known], abs=0.05)
    assert bins.expected_errors[known].max() < 0.05


def test_flags_and_few_whole_values_have_bins_of_their_own_and_one_above_them() -> None:
    assert cut_points(NUMBER, np.array([0.0, 1.0, 1.0, 3.0, np.nan])) == (0.0, 1.0, 3.0)


def test_values_below_the_lowest_are_told_from_it_where_there_may_be_some() -> None:
    lowest, *others = cut_points(NUMBER, np.array([50.0, 50.0]))
    assert 49.9 < lowest < 50.0
    assert others == [50.0]


def test_many_values_are_cut_at_values_that_were_seen() -> None:
    values = np.random.default_rng(1).gamma(2, 60, 1_000)
    cuts = cut_points(NUMBER, values)
    assert len(cuts) == MOST_BINS - 1
    assert set(cuts) <= set(values)


def test_a_feature_without_any_value_has_one_bin() -> None:
    assert cut_points(NUMBER, np.array([np.nan])) == ()


def test_a_bin_without_explained_rows_is_said_to_move_the_score_as_its_neighbour(bins: InputBins) -> None:
    for feature in bins.features:
        assert None not in feature.contributions[:-1]
    assert (
        dict(zip(CONTRACT.names, (each.contributions[-1] for each in bins.features), strict=True))[
            "inbound_messages_count"
        ]
        is None
    )


def test_a_day_is_one_observation(scorer: Scorer, features: FeatureRows) -> None:
    """Were all leads of a day doubled, the days would say no more than before."""
    rows = features.rows
    doubled = replace(features, rows=rows.loc[rows.index.repeat(2)].reset_index(drop=True))
    once, twice = input_bins(scorer, features), input_bins(scorer, doubled)
    place = CONTRACT.names.index("inbound_messages_count")
    assert twice.expected_errors[:, place, PLACE] == pytest.approx(once.expected_errors[:, place, PLACE], abs=1e-4)


def test_an_age_of_one_day_expects_nothing(scorer: Scorer, features: FeatureRows) -> None:
    rows = features.rows[features.rows["created_on"] == features.rows["created_on"].iloc[0]].reset_index(drop=True)
    bins = input_bins(scorer, replace(features, rows=rows))
    assert (bins.expected_errors == 1).all()
    assert bins.expected.shape[2] > UNKNOWN


def test_it_reads_back(bins: InputBins) -> None:
    assert msgspec.json.decode(msgspec.json.encode(bins), type=InputBins) == bins
