"""The weights of leads whose outcome is known give back what holds of all leads."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.models.open_leads import Known, Rows, guessing_forest, weighted_forest, weights_of

LEADS, WINDOW_DAYS, TRUE_RATE = 3_000, 90, 0.3


@pytest.fixture(scope="module")
def world() -> tuple[Rows, Known]:
    """Give leads of all ages up to 180 days; those that convert do so after 5 days, the others are lost after 60."""
    random = np.random.default_rng(1)
    age = np.repeat(random.uniform(0, 180, LEADS), 2)
    converted = np.repeat(random.random(LEADS) < TRUE_RATE, 2)
    closing_age = np.where(converted, 5.0, 60.0)
    landmark = np.tile([0, 3], LEADS)
    exists = age >= landmark
    rows = Rows(random.random((2 * LEADS, 3)), converted, landmark, np.repeat(np.arange(LEADS), 2).astype(str))
    of_rows = (converted, age >= closing_age, age < WINDOW_DAYS, closing_age)
    known = Known(*(values[exists] for values in of_rows), ages=age)
    return rows.where(exists), known


@pytest.mark.parametrize(
    ("rule", "rate"),
    [
        ("today", 0.39),
        ("1 / G(t)", TRUE_RATE),
        ("G(s) / G(t)", TRUE_RATE),
        ("no young lead", TRUE_RATE),
        ("quick siblings raised", 0.42),
        ("young leads count half", 0.36),
    ],
)
def test_only_the_known_share_and_no_young_lead_give_back_the_rate(world, rule, rate):
    rows, known = world
    weights = weights_of(rows, known)[rule]
    assert np.average(known.converted, weights=weights) == pytest.approx(rate, abs=0.03)
    assert not weights[~known.is_labelled].any()


def test_a_row_counts_by_its_weight_and_not_at_all_without(world):
    rows, known = world
    asked = rows.features[:50]
    labelled = known.is_labelled.astype(float)
    probabilities = weighted_forest(rows, known.converted, labelled)(asked)
    nonsense = np.where(known.is_labelled, known.converted, True)
    assert np.array_equal(weighted_forest(rows, nonsense, labelled)(asked), probabilities)
    assert weighted_forest(rows, known.converted, labelled + 9 * known.converted)(asked).mean() > probabilities.mean()


def test_an_open_row_is_guessed_by_the_newest_row_of_its_lead(world):
    """A model that is sure that open leads are lost lowers the rate; one that is sure of the opposite raises it."""
    rows, known = world
    low, high = (
        guessing_forest(rows, known, lambda asked, value=value: np.full(len(asked), value))(rows.features[:200]).mean()
        for value in (0.0, 1.0)
    )
    assert low < np.mean(known.converted[known.is_labelled]) < high
