"""A taught forest keeps its splits, moves as far as an org's rows say, and stays exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from leadscore.arrays import Flags, Floats
from leadscore.forest import LEAF, Forest
from leadscore.pooling import base_value_of_org, shift_to_base_value
from leadscore_assets.training.estimator import estimator_of, flatten
from leadscore_assets.training.fit import fit
from leadscore_assets.training.shapes import COARSE
from leadscore_assets.training.teaching import Lesson, gain_over_base_rate
from tests.leadscore_assets.stump import stump

Make = Callable[..., Any]

STUMP = stump(0, 0.5)
ROWS = np.array([[0.0], [1.0], [1.0], [1.0]])
CONVERTED = np.array([False, True, True, False])


@pytest.fixture(scope="module")
def pooled(make_leads: Make) -> Forest:
    leads = make_leads(600, signal=0.8)
    return flatten(fit(leads.rows, leads.converted, leads.numbers, COARSE).estimator)


def lesson(forest: Forest, rows: Floats, converted: Flags) -> Lesson:
    """Return the lesson of rows of which each is a lead of its own."""
    return Lesson.of(forest, rows, converted, np.arange(len(rows)))


def test_all_leaves_are_moved_towards_the_orgs_rate_as_the_pooled_model_serves_the_org(
    pooled: Forest, make_leads: Make
) -> None:
    leads = make_leads(80, seed=3)
    taught = Lesson.of(pooled, leads.rows, leads.converted, leads.numbers)
    base_value = base_value_of_org(pooled.scorer, leads.rows, float(leads.converted.mean()), 80)
    served = shift_to_base_value(pooled.scorer, base_value).probabilities(leads.rows)
    assert taught.at_rate[taught.ends].mean(axis=1) == pytest.approx(served, abs=1e-6)


def test_a_node_is_moved_by_its_rows_residuals_and_by_its_parent_worth_the_strength() -> None:
    taught = lesson(STUMP, ROWS, CONVERTED)
    low, high = taught.at_rate[[1, 2]]
    [moves] = taught.moves([4.0])
    root = ((0 - low) + (1 - high) + (1 - high) + (0 - high)) / (4 + 4)
    of_the_high_leaf = (2 - 3 * high + 4 * root) / (3 + 4)
    assert moves == pytest.approx([root, (-low + 4 * root) / (1 + 4), of_the_high_leaf])


def test_a_tree_is_taught_by_the_rows_that_count_for_it() -> None:
    taught = lesson(STUMP, ROWS, CONVERTED)
    [moves] = taught.moves([4.0], np.array([[1], [1], [0], [0]], bool))
    root = ((0 - taught.at_rate[1]) + (1 - taught.at_rate[2])) / (2 + 4)
    assert moves[0] == pytest.approx(root)


def test_without_rows_of_its_own_a_leaf_moves_with_what_stands_above_it() -> None:
    [moves] = lesson(STUMP, ROWS[1:], CONVERTED[1:]).moves([2.0])
    assert moves[1] == moves[0] != 0


def test_a_boundless_strength_leaves_the_pooled_forest_at_the_orgs_rate(pooled: Forest, make_leads: Make) -> None:
    leads = make_leads(80, seed=3)
    taught = Lesson.of(pooled, leads.rows, leads.converted, leads.numbers)
    assert taught.taught(1e12).value == pytest.approx(taught.at_rate, abs=1e-6)


def test_an_org_that_is_unlike_the_pool_is_learned_the_better_the_more_rows_it_has(
    pooled: Forest, make_leads: Make
) -> None:
    def brier_score(count: int) -> float:
        own, new = make_leads(count, seed=4), make_leads(2_000, seed=5)
        # these orgs' leads convert where the pool's do not
        forest = Lesson.of(pooled, own.rows, ~own.converted, own.numbers).taught(200.0)
        return float(((forest.probabilities(new.rows) - ~new.converted) ** 2).mean())

    few, some, many = brier_score(20), brier_score(200), brier_score(2_000)
    assert few > some + 0.02 > many + 0.04


def test_what_a_taught_forest_gains_over_the_base_rate_tells_an_org_that_is_unlike_the_pool(
    pooled: Forest, make_leads: Make
) -> None:
    own = make_leads(300, seed=8)
    alike, error = gain_over_base_rate(Lesson.of(pooled, own.rows, own.converted, own.numbers), 400.0)
    unlike, its_error = gain_over_base_rate(Lesson.of(pooled, own.rows, ~own.converted, own.numbers), 400.0)
    assert alike > 2 * error > 0
    assert unlike < -2 * its_error < 0


def test_splits_and_covers_stay_values_are_shares_and_contributions_add_up(pooled: Forest, make_leads: Make) -> None:
    own, new = make_leads(150, seed=6), make_leads(100, seed=7).rows
    assert np.isnan(new).any()
    forest = Lesson.of(pooled, own.rows, own.converted, own.numbers).taught(100.0)
    before, after = pooled.to_arrays(), forest.to_arrays()
    assert all(np.array_equal(before[name], after[name]) for name in before if name != "value")
    Forest.from_arrays(after, new.shape[1])
    assert after["value"].tolist() == after["value"].astype(np.float32).tolist()
    probabilities = forest.probabilities(new)
    assert forest.base_value + forest.contributions(new).sum(axis=1) == pytest.approx(probabilities, abs=1e-6)
    table = new.astype(np.float32)
    assert estimator_of(forest, new.shape[1]).predict_proba(table)[:, 1] == pytest.approx(probabilities, abs=1e-9)


def test_a_leaf_that_would_leave_the_shares_is_stored_at_their_border() -> None:
    low, high = (replace(STUMP, value=STUMP.value + step) for step in (-0.15, 0.15))
    both = Forest(
        **{
            name: np.concatenate([array, other])
            for (name, array), other in zip(low.to_arrays().items(), high.to_arrays().values(), strict=True)
        }
        | {"left": np.array([1, LEAF, LEAF, 4, LEAF, LEAF]), "right": np.array([2, LEAF, LEAF, 5, LEAF, LEAF])}
        | {"roots": np.array([0, 3])}
    )
    known = np.arange(500) % 2
    forest = lesson(both, known[:, None].astype(float), known == 1).taught(1.0)
    assert forest.value[1] == 0 < forest.value[4]
    assert forest.value[5] == 1
    assert forest.contributions(ROWS).sum(axis=1) + forest.base_value == pytest.approx(forest.probabilities(ROWS))
