"""A calibration error stands beside what luck makes of perfect probabilities, for all groups that are read together."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore.evaluation import Holdout, expected_calibration_error_of
from leadscore_assets.report.calibration import calibrations, joint_bounds


def sample(leads: int = 80, rows_each: int = 1, *, seed: int = 5):
    """Return perfect probabilities, and the holdout whose outcomes they gave."""
    random = np.random.default_rng(seed)
    chance = random.random(leads)
    holdout = Holdout(
        lead_ids=np.repeat([f"lead-{number}" for number in range(leads)], rows_each),
        landmark_days=np.tile(np.arange(rows_each), leads),
        converted=np.repeat(random.random(leads) < chance, rows_each),
    )
    return np.repeat(chance, rows_each), holdout


def everything(probabilities):
    return [np.ones(len(probabilities), dtype=bool)]


def in_parts(probabilities, parts: int):
    return [np.arange(len(probabilities)) % parts == part for part in range(parts)]


def test_the_error_is_that_of_the_evaluation():
    probabilities, holdout = sample()
    [whole] = calibrations(probabilities, holdout, everything(probabilities))
    assert whole.error == expected_calibration_error_of(probabilities, holdout.converted)
    assert (whole.mean_probability, whole.conversion_rate) == (probabilities.mean(), holdout.converted.mean())


@pytest.mark.parametrize("parts", [1, 8])
def test_of_perfect_probabilities_one_sample_of_twenty_has_a_group_that_exceeds_its_luck(parts):
    """However many groups there are: else nearly every report would warn of groups that are fine."""
    exceeding = []
    for seed in range(300):
        probabilities, holdout = sample(leads=160, seed=seed)
        told = calibrations(probabilities, holdout, in_parts(probabilities, parts))
        exceeding.append(any(one.is_beyond_chance for one in told))
    assert 0.02 < np.mean(exceeding) < 0.09


def test_a_group_whose_probabilities_are_wrong_is_found_among_many():
    """The leads of the last of eight groups convert a third less often than is said."""
    probabilities, holdout = sample(leads=1_600)
    groups = in_parts(probabilities, 8)
    said = np.where(groups[-1], probabilities + (1 - probabilities) / 3, probabilities)
    told = calibrations(said, holdout, groups)
    assert [one.is_beyond_chance for one in told] == [False] * 7 + [True]


def test_rows_that_repeat_a_lead_take_nothing_from_its_luck():
    """The same leads with every row five times are as uncertain as before, not less."""
    lucky = []
    for rows_each in (1, 5):
        probabilities, holdout = sample(rows_each=rows_each)
        lucky.append(calibrations(probabilities, holdout, everything(probabilities))[0].error_by_chance)
    assert lucky[0] == pytest.approx(lucky[1])


def test_a_single_groups_bound_is_the_percentile_of_its_draws():
    drawn = np.random.default_rng(1).random((500, 1))
    assert joint_bounds(drawn) == pytest.approx(np.percentile(drawn, 95))


def test_probabilities_of_0_and_1_have_no_luck_and_no_groups_have_no_bounds():
    certain = np.array([0.0, 1.0] * 5)
    holdout = Holdout(np.arange(10).astype(str), np.zeros(10, dtype=int), certain == 1)
    [right] = calibrations(certain, holdout, everything(certain))
    assert (right.error, right.error_by_chance, right.is_beyond_chance) == (0, 0, False)
    [wrong] = calibrations(1 - certain, holdout, everything(certain))
    assert wrong.is_beyond_chance
    assert calibrations(certain, holdout, []) == []
