"""Options are judged on leads that a forest never saw, and another than the usual one has to be surely better."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from leadscore.arrays import Floats, Indices
from leadscore_assets.training.selection import (
    FEWEST_OF_OUTCOME,
    STRENGTHS,
    USUAL,
    Choice,
    choose,
    left_out_probabilities,
    losses_of,
    standard_error,
    surely_best,
)
from leadscore_assets.training.shapes import FINE, FOLDS, TREES, grow, left_out

Make = Callable[..., Any]


def _choice(leads: Any) -> Choice:
    rows = leads.rows.astype(np.float32)
    return choose(grow(rows, leads.converted, leads.numbers, FINE), rows, leads.converted, leads.numbers)


def _losses(leads: Any, numbers: Indices) -> Floats:
    """Return the mean loss under each strength, shape (strengths,), when `numbers` are taken for the leads."""
    rows = leads.rows.astype(np.float32)
    given = left_out_probabilities(grow(rows, leads.converted, numbers, FINE), rows, numbers)
    means: Floats = np.array([losses_of(given[:, place], leads.converted).mean() for place in range(len(STRENGTHS))])
    return means


def test_a_row_is_judged_by_the_trees_that_left_out_its_lead(make_leads: Make) -> None:
    leads = make_leads(60)
    rows = leads.rows.astype(np.float32)
    forest = grow(rows, leads.converted, leads.numbers, FINE)
    given = left_out_probabilities(forest, rows, leads.numbers)[:, STRENGTHS.index(0.0)]
    members = enumerate(forest.estimators_)
    by_tree = [
        np.where(left_out(number, leads.numbers), member.predict_proba(rows)[:, 1], np.nan)
        for number, member in members
    ]
    assert (np.isfinite(by_tree).sum(axis=0) == TREES / FOLDS).all()
    assert given == pytest.approx(np.nanmean(by_tree, axis=0))


def test_copies_of_a_lead_make_a_choice_over_rows_overfit_and_a_choice_over_leads_not(make_leads: Make) -> None:
    leads = make_leads(120, rows_each=6, signal=0.2, alike=True)
    over_leads, over_rows = _losses(leads, leads.numbers), _losses(leads, np.arange(len(leads.rows)))
    assert STRENGTHS[int(over_rows.argmin())] == 0
    assert over_rows.min() < 0.4
    assert STRENGTHS[int(over_leads.argmin())] == max(STRENGTHS)
    assert over_leads.min() > 0.5


def test_noise_is_shrunk_more_than_a_clear_signal(make_leads: Make) -> None:
    noise, clear = _choice(make_leads(200, signal=0.0)), _choice(make_leads(400, signal=30.0))
    assert noise.strength > USUAL > clear.strength


def test_another_strength_is_taken_only_when_it_is_surely_better_than_the_usual_one() -> None:
    leads, other = np.arange(4), 0.0
    usual = np.ones(4)
    assert surely_best({USUAL: usual}, leads) == USUAL
    assert surely_best({USUAL: usual, other: np.array([0.9, 0.9, 0.8, 0.8])}, leads) == other
    assert surely_best({USUAL: usual, other: np.array([0.0, 1.9, 0.1, 1.9])}, leads) == USUAL
    assert surely_best({USUAL: usual, other: usual}, leads) == USUAL


def test_the_standard_error_is_over_leads_not_rows() -> None:
    values = np.random.default_rng(1).normal(size=500)
    one_row_each = standard_error(values, np.arange(500))
    assert one_row_each == pytest.approx(values.std() / np.sqrt(500))
    assert standard_error(np.repeat(values, 4), np.repeat(np.arange(500), 4)) == pytest.approx(one_row_each)


def test_a_probability_of_nought_for_a_lead_that_converted_costs_a_bounded_loss() -> None:
    losses = losses_of(np.array([0.0, 1.0, 0.5]), np.array([True, False, True]))
    assert np.isfinite(losses).all()
    assert losses[2] == pytest.approx(np.log(2))


def test_what_was_taken_is_said_of_the_leads_that_were_left_out(make_leads: Make) -> None:
    leads = make_leads(120)
    choice = _choice(leads)
    assert set(choice.log_loss) == set(STRENGTHS)
    assert choice.log_loss[choice.strength] == pytest.approx(losses_of(choice.left_out, leads.converted).mean())


def test_too_few_leads_of_one_outcome_take_the_usual_strength_untried(make_leads: Make) -> None:
    leads = make_leads(40)
    converted, rows = leads.numbers < FEWEST_OF_OUTCOME - 1, leads.rows.astype(np.float32)
    choice = choose(grow(rows, converted, leads.numbers, FINE), rows, converted, leads.numbers)
    assert (choice.strength, choice.log_loss, len(choice.left_out)) == (USUAL, {}, 0)
