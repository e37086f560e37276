"""The strength of teaching is chosen by orgs' left-out leads: the less alike orgs are, the less the pool counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from leadscore.arrays import Flags, Floats, Indices
from leadscore_assets.training import teaching_strength
from leadscore_assets.training.estimator import flatten
from leadscore_assets.training.fit import fit
from leadscore_assets.training.shapes import COARSE
from leadscore_assets.training.teaching_strength import (
    FEWEST_LEADS,
    FEWEST_ORGS,
    STRENGTHS,
    USUAL,
    Teaching,
    teaching_of,
)

Make = Callable[..., Any]
Pool = tuple[Floats, Flags, Indices, Indices]


def _pool(make_leads: Make, turned: tuple[bool, ...], leads: int = 150) -> Pool:
    """Return the rows of orgs; the leads of those that are turned convert where others' do not."""
    parts = [make_leads(leads, seed=seed, signal=1.5) for seed in range(len(turned))]
    outcomes = [~part.converted if is_turned else part.converted for part, is_turned in zip(parts, turned, strict=True)]
    return (
        np.concatenate([part.rows for part in parts]),
        np.concatenate(outcomes),
        np.concatenate([part.numbers + leads * place for place, part in enumerate(parts)]),
        np.concatenate([np.full(len(part.rows), place) for place, part in enumerate(parts)]),
    )


def _teaching(pool: Pool) -> Teaching:
    return teaching_of(flatten(fit(*pool[:3], COARSE).estimator), *pool)


def test_where_orgs_differ_teaching_gains_and_the_weakest_word_of_the_pool_is_taken(make_leads: Make) -> None:
    found = _teaching(_pool(make_leads, (False, True) * 4))
    assert found.strength == min(STRENGTHS)
    gain, error = found.gains[found.strength]
    assert gain > 5 * error > 0
    assert found.orgs == 8


def test_where_orgs_are_alike_teaching_gains_nothing_and_the_strongest_word_is_taken(make_leads: Make) -> None:
    found = _teaching(_pool(make_leads, (False,) * 8))
    assert found.strength == max(STRENGTHS)
    assert abs(found.gains[found.strength][0]) < 0.002


def test_few_orgs_or_few_leads_take_the_usual_strength_untried(make_leads: Make) -> None:
    few_orgs = _teaching(_pool(make_leads, (False,) * (FEWEST_ORGS - 1)))
    few_leads = _teaching(_pool(make_leads, (False,) * 5, FEWEST_LEADS - 1))
    for found in (few_orgs, few_leads):
        assert (found.strength, found.gains) == (USUAL, {})


def test_the_cost_is_bounded_by_a_sample_of_orgs_and_leads(make_leads: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teaching_strength, "MOST_ORGS", 3)
    monkeypatch.setattr(teaching_strength, "MOST_LEADS", 70)
    seen: list[int] = []
    gains = teaching_strength._gains

    def counted(forest: Any, rows: Floats, converted: Flags, leads: Indices, out: Flags) -> list[float]:
        seen.append(len(np.unique(leads)))
        return gains(forest, rows, converted, leads, out)

    monkeypatch.setattr(teaching_strength, "_gains", counted)
    assert _teaching(_pool(make_leads, (False,) * 5)).orgs == 3
    assert seen == [70, 70, 70]


def test_a_manifest_can_hold_it(make_leads: Make) -> None:
    parameters = _teaching(_pool(make_leads, (False, True) * 2)).as_parameters()
    assert msgspec.json.decode(msgspec.json.encode(parameters)) == parameters
    assert [tried["strength"] for tried in parameters["tried"]] == list(STRENGTHS)
