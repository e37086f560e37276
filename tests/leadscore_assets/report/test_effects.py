"""How a feature's values move the score."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore.features import CONTRACT
from leadscore.forest import Forest
from leadscore_assets.report.effects import MOST_ROWS, UNKNOWN, effects
from tests.leadscore_assets.stump import stump


def by_minutes() -> Forest:
    """Give a stump that splits response_time_minutes at 60."""
    return stump(1, 60)


def matrix(minutes) -> np.ndarray:
    rows = np.zeros((len(minutes), len(CONTRACT.names)))
    rows[:, 1] = minutes
    return rows


def leads(count: int):
    return np.array([f"lead-{number}" for number in range(count)])


def test_a_features_effect_follows_its_values_and_the_unknown_stands_alone():
    minutes = np.array([10.0] * 20 + [50.0] * 20 + [90.0] * 20 + [np.nan] * 20)
    by_name = {effect.label: effect for effect in effects(by_minutes(), CONTRACT, matrix(minutes), leads(80))}
    told = [(part.label, part.leads, round(part.contribution, 6)) for part in by_name["Response time"].bins]
    assert told == [("10", 20, -0.2), ("50", 20, -0.2), ("90", 20, 0.2), (UNKNOWN, 20, -0.2)]
    assert {part.contribution for part in by_name["Listing"].bins} == {0}


def test_the_bins_of_a_feature_add_up_to_its_mean_contribution():
    minutes = np.random.default_rng(1).gamma(2, 40, MOST_ROWS)
    [effect] = [e for e in effects(by_minutes(), CONTRACT, matrix(minutes), leads(MOST_ROWS)) if e.unit == "minutes"]
    assert len(effect.bins) > 3
    assert sum(part.leads for part in effect.bins) == MOST_ROWS
    mean = by_minutes().contributions(matrix(minutes))[:, 1].mean()
    assert sum(part.leads * part.contribution for part in effect.bins) / MOST_ROWS == pytest.approx(mean)


def test_no_bin_has_fewer_than_five_leads():
    """Rare values are joined to their neighbours, so that the page shows no value of a single lead."""
    minutes = np.array([1.0] * 30 + [2.0] * 3 + [3.0] * 30 + [999.0] * 2 + [np.nan] * 4)
    [effect] = [e for e in effects(by_minutes(), CONTRACT, matrix(minutes), leads(69)) if e.unit == "minutes"]
    assert [(part.label, part.leads) for part in effect.bins] == [("1", 30), ("over 1", 35)]


def test_whole_values_are_told_in_whole_steps():
    counts = np.repeat(np.arange(20.0), 10)
    rows = np.zeros((200, len(CONTRACT.names)))
    rows[:, 2] = counts
    labels = [part.label for part in effects(by_minutes(), CONTRACT, rows, leads(200))[2].bins]
    assert labels == ["up to 3", "4 to 6", "7 to 9", "10 to 13", "14 to 16", "over 16"]


def test_a_flag_is_told_by_yes_and_no_and_a_count_needs_no_unit():
    rows = np.zeros((40, len(CONTRACT.names)))
    rows[20:, CONTRACT.names.index("has_property")] = 1
    told = {effect.label: effect for effect in effects(by_minutes(), CONTRACT, rows, leads(40))}
    assert [part.label for part in told["Listing"].bins] == ["no", "yes"]
    assert [told[label].unit for label in ("Listing", "Appointments", "Age")] == ["", "", "days"]
