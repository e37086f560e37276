"""The capital of a test grows by what lies outside its band, and by nothing that chance or a regular week gives."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest

from leadscore.arrays import Floats
from leadscore_assets.proof.input_bets import (
    BETS,
    FALSE_ALARMS_A_YEAR,
    LOG_STAKE,
    MONTHLY_STAKE,
    Bets,
    alarm_log_e,
    log_factors,
    tolerance,
)

START = date(2026, 1, 31)
LOWER, UPPER = np.array([0.45]), np.array([0.55])


def after(bets: Bets, days: Floats, *, start: date = START) -> Bets:
    for place, measure in enumerate(days.tolist()):
        bets = bets.after(start + timedelta(days=place), np.array([measure]), LOWER, UPPER)
    return bets


@pytest.mark.parametrize("mean", [0.45, 0.5, 0.55])
def test_no_bet_gains_in_the_mean_within_the_band(mean: float) -> None:
    random = np.random.default_rng(1)
    measures = random.beta(20 * mean, 20 * (1 - mean), 200_000)
    factors = np.exp(log_factors(measures, LOWER, UPPER))
    assert factors.mean(axis=0).max() <= 1 + 0.003
    assert factors.min() >= 0


def test_a_regular_week_gains_nothing() -> None:
    """Weekends are far off, and the mean over the week is as it was learned."""
    week = np.array([0.38, 0.38, 0.38, 0.38, 0.38, 0.8, 0.8])
    assert after(Bets().of_tests(1), np.tile(week, 60)).log_e[0] < math.log(1)


def test_what_lies_outside_the_band_is_found_within_weeks_on_either_side() -> None:
    for measure in (0.97, 0.03):
        days = [after(Bets().of_tests(1), np.full(count, measure)).log_e[0] for count in (5, 40)]
        assert days[0] < alarm_log_e(34, 7) < days[1]


def test_a_day_without_a_value_changes_nothing() -> None:
    bets = after(Bets().of_tests(1), np.array([0.9]))
    assert after(bets, np.array([np.nan]), start=START).log_capital == bets.log_capital


def test_a_test_begins_with_a_stake_and_gets_one_in_each_new_month() -> None:
    first = Bets().of_tests(1)
    assert first.log_e[0] == pytest.approx(LOG_STAKE)
    year = after(first, np.full(365, np.nan), start=date(2026, 1, 31))
    assert year.log_e[0] == pytest.approx(math.log(13 * MONTHLY_STAKE)) == pytest.approx(0.0)


def test_at_most_a_stake_is_kept_for_another_version_and_none_is_given_anew() -> None:
    won, lost = (after(Bets().of_tests(1), np.full(9, x), start=date(2026, 3, 2)) for x in (0.97, 0.5))
    assert won.log_e[0] > LOG_STAKE > lost.log_e[0]
    assert max(won.limited().log_capital) == LOG_STAKE
    assert lost.limited() == lost
    assert won.of_tests(1) == won


def test_only_the_chosen_tests_are_limited() -> None:
    bets = Bets((1.0,) * 2 * BETS)
    assert bets.limited(np.array([True, False])).log_capital == (LOG_STAKE,) * BETS + (1.0,) * BETS


def test_other_features_begin_anew() -> None:
    assert Bets((1.0,) * BETS, START).of_tests(2) == Bets((LOG_STAKE,) * 2 * BETS, START)


def test_the_level_is_divided_among_all_that_is_tested() -> None:
    assert math.exp(-alarm_log_e(34, 7)) * 34 * 7 == pytest.approx(FALSE_ALARMS_A_YEAR)


def test_the_fewer_leads_were_learned_from_the_more_is_tolerated() -> None:
    few, many = tolerance(np.array([0.05, 0.005]), np.array([20, 2_000]))
    assert few == pytest.approx(0.25)
    assert many == pytest.approx(0.061)
