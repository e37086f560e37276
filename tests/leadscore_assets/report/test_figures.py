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


def test_by_lead_counts_each_lead_once(second: Any) -> None:
    told, report = second.material.by_lead, second.judgement.report
    assert (told.gain.rows, told.gain.leads) == (report.by_lead.leads, report.by_lead.top_leads)
    assert told.gain.reached == pytest.approx(report.by_lead.top_reached)
    assert told.comparison.roc_auc.candidate.value == pytest.approx(report.by_lead.roc_auc)
    assert told.curve.rows[-1] == told.champion_curve.rows[-1] == report.holdout_records
    assert told.champion_gain.reached == pytest.approx(second.judgement.champion.by_lead.top_reached)


def test_later_is_the_age_nearest_to_a_week(second: Any) -> None:
    """Of the ages 0, 3 and 14 days it is 3."""
    later = second.material.later
    [age] = [age for age in second.judgement.report.by_age if age.landmark_days == 3]
    assert (later.days, later.gain.rows) == (3, age.rows)
    assert later.comparison.roc_auc.candidate.value == pytest.approx(age.roc_auc)


def test_the_sources_with_most_rows_stand_in_their_order_and_the_rest_together() -> None:
    """Of 14 sources the two with a single row are the rest."""
    common = [float(score) for score in range(MOST_SOURCES, 0, -1)]
    groups = [(label, rows.tolist().count(True)) for label, rows in _by_source(np.array([*common * 2, 77.0, 88.0]))]
    assert groups == [*((f"{score}", 2) for score in range(1, MOST_SOURCES + 1)), ("all others", 2)]


def test_without_a_champion_there_is_no_curve_of_one(first: Any, second: Any) -> None:
    assert first.material.champion_curve is None
    assert first.material.by_lead.champion_curve is None
    assert first.material.by_lead.champion_gain is None
    assert second.material.champion_curve != second.material.curve
