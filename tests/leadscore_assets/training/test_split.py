"""The holdout: a fifth of all leads, by their ids alone."""

from __future__ import annotations

import pandas as pd
import pytest

from leadscore.records import HOLDOUT_SHARE
from leadscore_assets.training.split import holdout_mask, is_held_out


@pytest.mark.parametrize("prefix", ["", "lead-", "\u00e9"])
def test_a_fifth_of_all_leads_is_held_out(prefix: str) -> None:
    held_out = sum(is_held_out(f"{prefix}{number}") for number in range(10_000))
    assert held_out / 10_000 == pytest.approx(HOLDOUT_SHARE, abs=0.015)


def test_a_leads_side_is_its_own_whatever_stands_beside_it() -> None:
    leads = [f"lead-{number}" for number in range(50)]
    alone = [is_held_out(lead) for lead in leads]
    assert holdout_mask(pd.Series(leads)).tolist() == alone
    assert holdout_mask(pd.Series(leads[::-1] * 3)).tolist() == alone[::-1] * 3
    assert holdout_mask(pd.Series([], dtype=str)).tolist() == []


def test_the_sides_of_stored_versions_stay_what_they_were() -> None:
    """Another hash would put leads that a stored version was trained on into the holdout that it is judged on."""
    assert [number for number in range(40) if is_held_out(str(number))] == [8, 9, 39]
