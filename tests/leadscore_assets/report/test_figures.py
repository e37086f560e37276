"""What the report is made of: groups that share out the holdout's rows, and each lead once where leads are ranked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from leadscore_assets.report.figures import MOST_SOURCES, _by_source


@pytest.mark.parametrize("by", ["by_action", "by_prediction", "by_age", "by_month", "by_source"])
def test_groups_share_out_the_rows_of_the_holdout(second: Any, by: str) -> None:
    groups = getattr(second.material, by)
    assert len(groups) > 1
    assert not any(group.is_hidden for group in groups)
    assert sum(group.rows or 0 for group in groups) == second.judgement.report.holdout_rows


def test_the_sources_with_most_rows_stand_in_their_order_and_the_rest_together() -> None:
    """Of 14 sources the two with a single row are the rest."""
    common = [float(score) for score in range(MOST_SOURCES, 0, -1)]
    groups = [(label, rows.tolist().count(True)) for label, rows in _by_source(np.array([*common * 2, 77.0, 88.0]))]
    assert groups == [*((f"{score}", 2) for score in range(1, MOST_SOURCES + 1)), ("all others", 2)]


def test_without_a_champion_there_is_no_curve_of_one(first: Any, second: Any) -> None:
    assert first.material.champion_curve is None
    assert second.material.champion_curve != second.material.curve
