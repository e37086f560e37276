"""An e-value is worth 1 on average, or less, while what was said is right, and grows when it is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore.arrays import Floats
from leadscore_assets.proof.evidence import (
    ALTERNATIVES,
    SHIFTS,
    STAKES,
    TOLERANCE,
    SaidRows,
    lead_log_e_values,
    log_mean,
    log_odds,
)

SAID = np.array([0.0, 1e-6, 0.02, 0.2, 0.5, 0.8, 0.99, 1.0])


def of_one_row_each(probability: Floats, *, is_converted: bool) -> Floats:
    leads = np.arange(len(probability))
    outcome = np.full(len(probability), is_converted)
    return np.exp(lead_log_e_values(SaidRows(leads, np.zeros_like(leads), probability, outcome), -1.0))


@pytest.mark.parametrize("off", [-TOLERANCE, -0.1, 0.0, 0.1, TOLERANCE])
def test_no_bet_gains_while_the_truth_is_within_the_tolerance(off: float) -> None:
    truth = 1 / (1 + np.exp(-(log_odds(SAID) + off)))[:, None]
    mean = truth * of_one_row_each(SAID, is_converted=True) + (1 - truth) * of_one_row_each(SAID, is_converted=False)
    assert mean.shape == (len(SAID), ALTERNATIVES)
    assert (mean <= 1 + 1e-12).all()


def test_each_bet_gains_where_it_is_right() -> None:
    said = np.full(1, 0.3)
    for place, shift in enumerate(SHIFTS):
        truth = 1 / (1 + np.exp(-(log_odds(said) + shift)))
        mean = truth * of_one_row_each(said, is_converted=True)[:, place]
        mean += (1 - truth) * of_one_row_each(said, is_converted=False)[:, place]
        assert (mean > 1) == (abs(shift) > TOLERANCE)


def test_a_lead_whose_rows_end_when_it_converts_gains_nothing_by_that(subtests: pytest.Subtests) -> None:
    """A converted lead is open at its first 1 to 7 rows, the others at all: each row says what is true of such leads.

    A mean over as many rows as a lead has would gain, because a lead with few rows has converted.
    """
    assert STAKES.sum() == pytest.approx(1)
    rng, leads = np.random.default_rng(3), 40_000
    converted = rng.random(leads) < 0.4
    rows = np.where(converted, rng.integers(1, 8, leads), 7)
    lead = np.repeat(np.arange(leads), rows)
    nth = np.arange(len(lead)) - np.repeat(rows.cumsum() - rows, rows)
    still_to_convert = 0.4 * (7 - nth) / 7
    truth = still_to_convert / (still_to_convert + 0.6)
    values = np.exp(lead_log_e_values(SaidRows(lead, nth, truth, converted), -1.0))
    for place in range(ALTERNATIVES):
        with subtests.test(alternative=place):
            assert values[:, place].mean() < 1 + 4 * values[:, place].std() / np.sqrt(leads)


def test_a_lead_can_lose_no_more_than_it_staked() -> None:
    lead, nth = np.zeros(9, np.intp), np.arange(9)
    values = lead_log_e_values(SaidRows(lead, nth, np.full(9, 0.999), np.array([False])), -1.0)
    assert np.isfinite(values).all()
    first = lead_log_e_values(SaidRows(lead[:7], nth[:7], np.full(7, 0.999), np.array([False])), -1.0)
    assert (values == first).all()


def test_the_mean_over_the_alternatives_is_that_of_the_values() -> None:
    values = np.random.default_rng(1).normal(size=(5, ALTERNATIVES))
    assert np.exp(log_mean(values)) == pytest.approx(np.exp(values).mean(axis=1))
