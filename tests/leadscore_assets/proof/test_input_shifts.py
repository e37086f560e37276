"""How far what arrived is from what was learned is told like with like: at the same age, since a day, in points."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from leadscore.input_bins import PLACE, UNKNOWN
from leadscore_assets.proof.input_shifts import band_of, left_since, points_of, shift_of
from tests.leadscore_assets.proof.made_inputs import BOOKED, INBOUND, RESPONSE, START, arrive, made_bins


def test_what_is_learned_lies_in_the_middle_of_its_band() -> None:
    bins, band = made_bins(), band_of(made_bins())
    assert (band.lower + band.upper) / 2 == pytest.approx(bins.expected)
    assert (band.upper - band.lower).min() > 0.1


def test_leads_like_those_learned_from_stay_within_the_band() -> None:
    arrived = arrive(20)
    for feature in range(len(made_bins().features)):
        assert not shift_of(made_bins(), arrived, feature, PLACE).is_outside


def test_a_shift_says_what_was_served_and_learned_of_how_many_leads() -> None:
    shift = shift_of(made_bins(), arrive(10, fault_from=0, column=RESPONSE, value=np.nan), RESPONSE, UNKNOWN)
    assert (shift.served, shift.leads, shift.is_outside) == (1.0, 10 * 4 * 3, True)
    assert shift.learned == pytest.approx(0.2, abs=0.03)


def test_an_age_at_which_nothing_is_known_has_no_weight() -> None:
    arrived = arrive(10, fault_from=0, column=RESPONSE, value=np.nan)
    assert shift_of(made_bins(), arrived, RESPONSE, PLACE).leads == 0
    assert not shift_of(made_bins(), arrived, RESPONSE, PLACE).is_outside


def test_the_day_since_when_a_measure_is_off_is_that_of_the_fault() -> None:
    arrived = arrive(30, fault_from=18)
    since = left_since(made_bins(), arrived, INBOUND, PLACE)
    assert abs(since - (START + timedelta(days=18))) <= timedelta(days=1)


def test_a_shift_of_what_the_score_depends_on_moves_it() -> None:
    bins = made_bins()
    up = points_of(bins, arrive(10, fault_from=0, column=BOOKED, value=3), BOOKED)
    down = points_of(bins, arrive(10, fault_from=0, column=BOOKED, value=0), BOOKED)
    assert up is not None
    assert down is not None
    assert up > 0.03 > -0.03 > down


def test_a_shift_to_values_that_none_learned_from_has_unknown_points() -> None:
    assert points_of(made_bins(), arrive(5, fault_from=0, column=BOOKED, value=np.nan), BOOKED) is None


def test_the_days_of_what_arrived_can_be_chosen() -> None:
    arrived = arrive(10)
    assert arrived.since(START + timedelta(days=7)).days == arrived.days[7:]
    assert (arrived.upto(START + timedelta(days=2)).counts == arrived.counts[:3]).all()
