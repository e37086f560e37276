"""What Dagster shows of an org's live performance, and when the check warns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import msgspec
import numpy as np
import pytest

from leadscore.live_performance import Evidence, Group, LivePerformance, LiveState
from leadscore.settings import Settings
from leadscore_assets.metadata.live import came_true_event, came_true_result, data_version, live_metadata, skew_event
from leadscore_assets.proof.quality import outcomes_of, quality_of
from leadscore_assets.proof.sent_features import SkewFound
from leadscore_assets.proof.skew import Skew

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
SAID, CONVERTED = np.array([0.2, 0.4, 0.6]), np.array([False, False, True])


def figures(state: LiveState = "fine") -> LivePerformance:
    outcomes = outcomes_of(SAID, CONVERTED)
    return LivePerformance(
        org_id="acme",
        as_of=AS_OF,
        state=state,
        in_words="What was promised comes true.",
        remedy="Roll back." if state == "alarm" else "",
        evidence=Evidence(3, 7.5, "too_high", AS_OF.date()),
        overall=outcomes,
        quality=quality_of(SAID, CONVERTED, np.arange(3)),
        by_grade=[Group("A", outcomes)],
    )


def test_the_figures_are_shown_in_three_digits() -> None:
    shown = live_metadata(Settings(), figures())
    assert (shown["promised"], shown["converted"], shown["dagster/row_count"]) == (0.4, 0.333, 3)
    [record] = shown["by_grade"].records
    assert record.data == {"grade": "A", "leads": 3, "promised": 0.4, "converted": 0.333}
    assert "judgeable_on" not in shown


def test_the_same_figures_have_one_data_version_whenever_they_were_made() -> None:
    first = figures()
    later = msgspec.structs.replace(first, as_of=AS_OF + timedelta(days=1))
    assert data_version(first) == data_version(later) != data_version(figures("alarm"))


@pytest.mark.parametrize(
    ("state", "passes"), [("fine", True), ("too_young", True), ("no_scores", True), ("alarm", False)]
)
def test_only_an_alarm_warns(state: LiveState, passes: bool) -> None:
    event = came_true_event(figures(state))
    assert (event.passed, event.severity, event.partition) == (passes, dg.AssetCheckSeverity.WARN, "acme")
    assert str(event.description).endswith("comes true." if passes else "Roll back.")
    assert ("since" in event.metadata) != passes


def test_before_the_first_proof_the_check_says_so() -> None:
    assert came_true_result(None)["passed"]
    assert "materialize live_performance" in came_true_result(None)["description"]


def test_the_check_of_what_arrives_names_features_and_no_lead() -> None:
    skew = Skew("days_since_creation", 40, 40, 2.0, 1.9, "lead-17", "+2 hours", is_of_today=False)
    event = skew_event(SkewFound("acme", 40, [skew]))
    assert (event.passed, event.metadata["features"].value) == (False, "days_since_creation")
    assert "lead-17" not in str(event)
    assert skew_event(SkewFound("acme", 40, [])).passed
