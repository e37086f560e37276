"""A taught forest keeps its splits, moves as far as an org's rows say, and stays exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from leadscore.forest import LEAF, Forest
from leadscore_assets.training.estimator import estimator_of, flatten
from leadscore_assets.training.fit import fit
from leadscore_assets.training.shapes import COARSE
from leadscore_assets.training.teaching import moved_to_base_value, moves_by, residuals, taught

Make = Callable[..., Any]

STUMP = Forest(
    feature=np.array([0, LEAF, LEAF], np.int16),
    threshold=np.array([0.5, 0, 0], np.float32),
    left=np.array([1, LEAF, LEAF], np.int32),
    right=np.array([2, LEAF, LEAF], np.int32),
    missing_goes_left=np.array([True, False, False]),
    value=np.array([0.4, 0.2, 0.6]),
    cover=np.array([8.0, 4.0, 4.0]),
    roots=np.array([0], np.int32),
)
ROWS = np.array([[0.0], [1.0], [1.0], [1.0]])
CONVERTED = np.array([False, True, True, False])


@pytest.fixture(scope="module")
def pooled(make_leads: Make) -> Forest:
    leads = make_leads(600, signal=0.8)
    return flatten(fit(leads.rows, leads.converted, leads.numbers, COARSE).estimator)


def test_a_node_is_moved_by_its_rows_residuals_and_by_its_parent_worth_the_strength() -> None:
    left_over = residuals(STUMP.value, STUMP.ends(ROWS), CONVERTED)
    assert left_over == pytest.approx([-0.2, 0.4, 0.4, -0.6])
    [moves] = moves_by(STUMP, STUMP.ends(ROWS), left_over, [4.0])
    root = (-0.2 + 0.4 + 0.4 - 0.6) / (4 + 4)
    assert moves == pytest.approx([root, (-0.2 + 4 * root) / (1 + 4), (0.2 + 4 * root) / (3 + 4)])


def test_a_tree_is_taught_by_the_rows_that_count_for_it() -> None:
    left_over, counts = residuals(STUMP.value, STUMP.ends(ROWS), CONVERTED), np.array([[1], [1], [0], [0]], bool)
    [moves] = moves_by(STUMP, STUMP.ends(ROWS), left_over, [4.0], counts)
    [alone] = moves_by(STUMP, STUMP.ends(ROWS[:2]), left_over[:2], [4.0])
    assert moves.tolist() == alone.tolist()


def test_without_rows_of_its_own_a_leaf_moves_with_what_stands_above_it() -> None:
    [moves] = moves_by(STUMP, STUMP.ends(ROWS[1:]), np.full(3, 0.3), [2.0])
    assert moves[1] == moves[0] != 0


def test_a_boundless_strength_leaves_the_pooled_forest_at_the_orgs_base_rate(pooled: Forest, make_leads: Make) -> None:
    leads = make_leads(80, seed=3)
    forest = taught(pooled, 0.3, leads.rows, leads.converted, 1e12)
    assert forest.value == pytest.approx(moved_to_base_value(pooled, 0.3), abs=1e-6)
    assert forest.base_value == pytest.approx(0.3, abs=1e-6)


def test_an_org_that_is_unlike_the_pool_is_learned_the_better_the_more_rows_it_has(
    pooled: Forest, make_leads: Make
) -> None:
    def brier_score(count: int) -> float:
        own, new = make_leads(count, seed=4), make_leads(2_000, seed=5)
        # these orgs' leads convert where the pool's do not
        forest = taught(pooled, 0.5, own.rows, ~own.converted, 200.0)
        return float(((forest.probabilities(new.rows) - ~new.converted) ** 2).mean())

    few, some, many = brier_score(20), brier_score(200), brier_score(2_000)
    assert few > some + 0.02 > many + 0.04


def test_splits_and_covers_stay_values_are_shares_and_contributions_add_up(pooled: Forest, make_leads: Make) -> None:
    own, new = make_leads(150, seed=6), make_leads(100, seed=7).rows
    assert np.isnan(new).any()
    forest = taught(pooled, 0.4, own.rows, own.converted, 100.0)
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
    forest = taught(both, both.base_value, np.zeros((500, 1)), np.zeros(500, bool), 1.0)
    assert forest.value[1] == 0 < forest.value[4]
    assert forest.contributions(ROWS).sum(axis=1) + forest.base_value == pytest.approx(forest.probabilities(ROWS))
