"""Options are judged on leads that a forest never saw, and another than the usual one has to be surely better."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from leadscore.arrays import Floats, Indices
from leadscore_assets.training import selection
from leadscore_assets.training.selection import (
    FEWEST_LEADS_FOR_SHAPES,
    FOLDS,
    STRENGTHS,
    TREES_PER_FOLD,
    USUAL,
    Choice,
    Option,
    choose,
    cross_validated,
    folds_of,
    losses_of,
    standard_error,
    surely_best,
)
from leadscore_assets.training.shapes import COARSE, FINE, SHAPES, grow

Make = Callable[..., Any]


def _choice(leads: Any) -> Choice:
    return choose(leads.rows.astype(np.float32), leads.converted, leads.numbers)


def _losses(leads: Any, folds: Indices) -> Floats:
    """Return the mean loss under each strength, shape (strengths,)."""
    given = cross_validated(leads.rows.astype(np.float32), leads.converted, folds, FINE)
    means: Floats = np.array([losses_of(given[:, place], leads.converted).mean() for place in range(len(STRENGTHS))])
    return means


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Give the list of all forests that are grown: shape and number of trees."""
    forests: list[tuple[str, int]] = []

    def counted(rows: Any, converted: Any, shape: str, trees: int) -> Any:
        forests.append((shape, trees))
        return grow(rows, converted, shape, trees)

    monkeypatch.setattr(selection, "grow", counted)
    return forests


def test_all_rows_of_a_lead_are_in_one_fold_and_each_fold_has_its_share_of_both_outcomes(make_leads: Make) -> None:
    leads = make_leads(103, rows_each=4)
    folds = folds_of(leads.converted, leads.numbers)
    assert folds is not None
    assert (folds.reshape(103, 4) == folds[::4, None]).all()
    for outcome in (True, False):
        counts = np.bincount(folds[::4][leads.converted[::4] == outcome], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1


def test_a_row_is_scored_by_a_forest_that_saw_nothing_of_its_fold(make_leads: Make) -> None:
    leads = make_leads(60)
    rows, folds = leads.rows.astype(np.float32), folds_of(leads.converted, leads.numbers)
    assert folds is not None
    given = cross_validated(rows, leads.converted, folds, FINE)
    for fold in range(FOLDS):
        forest = grow(rows[folds != fold], leads.converted[folds != fold], FINE, TREES_PER_FOLD)
        assert given[folds == fold, 0] == pytest.approx(forest.predict_proba(rows[folds == fold])[:, 1])


def test_copies_of_a_lead_make_a_choice_over_rows_overfit_and_a_choice_over_leads_not(make_leads: Make) -> None:
    leads = make_leads(120, rows_each=6, signal=0.2, alike=True)
    over_leads = _losses(leads, folds_of(leads.converted, leads.numbers))
    over_rows = _losses(leads, folds_of(leads.converted, np.arange(len(leads.rows))))
    assert STRENGTHS[int(over_rows.argmin())] == 0
    assert over_rows.min() < 0.4
    assert STRENGTHS[int(over_leads.argmin())] == max(STRENGTHS)
    assert over_leads.min() > 0.5


def test_noise_is_shrunk_more_than_a_clear_signal(make_leads: Make) -> None:
    noise, clear = _choice(make_leads(200, signal=0.0)), _choice(make_leads(400, signal=30.0))
    assert noise.option.strength > USUAL.strength > clear.option.strength


def test_another_option_is_taken_only_when_it_is_surely_better_than_the_usual_one() -> None:
    leads, other = np.arange(4), Option(COARSE, 0.0)
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


def test_few_leads_cost_one_small_forest_per_fold(make_leads: Make, grown: list[tuple[str, int]]) -> None:
    _choice(make_leads(FEWEST_LEADS_FOR_SHAPES - 1, rows_each=1))
    assert grown == [(FINE, TREES_PER_FOLD)] * FOLDS


def test_many_leads_cost_one_small_forest_per_fold_and_shape(make_leads: Make, grown: list[tuple[str, int]]) -> None:
    choice = _choice(make_leads(FEWEST_LEADS_FOR_SHAPES, rows_each=1))
    assert grown == [(shape, TREES_PER_FOLD) for shape in SHAPES for _ in range(FOLDS)]
    assert set(choice.log_loss) == {Option(shape, strength) for shape in SHAPES for strength in STRENGTHS}


def test_very_many_leads_cost_no_more_than_a_sample_of_them(make_leads: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "MOST_LEADS", 100)
    sizes: list[int] = []

    def counted(rows: Any, *others: Any) -> Any:
        sizes.append(len(rows))
        return grow(rows, *others)

    monkeypatch.setattr(selection, "grow", counted)
    _choice(make_leads(950, rows_each=2))
    assert max(sizes) <= 100 * 2


def test_too_few_leads_of_one_outcome_take_the_usual_option_untried(
    make_leads: Make, grown: list[tuple[str, int]]
) -> None:
    leads = make_leads(40)
    converted = leads.numbers < FOLDS - 1
    assert choose(leads.rows.astype(np.float32), converted, leads.numbers) == Choice(USUAL, {}, {})
    assert grown == []
