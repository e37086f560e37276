"""The orgs are counted by state, seldom, and not at all while the database is away."""

from __future__ import annotations

from typing import Any

import pytest

from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from serving.dependencies import org_counts as module
from serving.dependencies.org_counts import OrgCounts
from serving.services import build_services
from tests.live_figures import figures_of, proved
from tests.serving.crm_of_leads import Crm
from tests.serving.standing_orgs import refreshed, standing_orgs


@pytest.fixture
def counts(crm: Crm, shelf: Any) -> OrgCounts:
    standing_orgs(crm, shelf)
    proved(crm.settings, figures_of("acme", "alarm"), figures_of("beta"), figures_of("new", "too_young"))
    refreshed(crm, shelf)
    return build_services(crm.settings).org_counts


def test_orgs_are_counted_by_state_and_by_what_came_true(counts: OrgCounts) -> None:
    found = counts.present()
    assert found is not None
    assert found.by_state == {"active": 2, "pooled": 0, "no_model": 1, "withdrawn": 1, "damaged": 0}
    assert found.by_live_state == {"fine": 1, "alarm": 1, "too_young": 1, "no_scores": 1}
    assert (found.warned.skew, found.warned.shifted) == (0, 0)


def test_warned_orgs_are_counted_once_each(counts: OrgCounts, crm: Crm) -> None:
    with connect(crm.settings) as connection:
        for org_id, feature, is_named in (("acme", "a", True), ("acme", "b", True), ("beta", "a", False)):
            connection.execute(
                "INSERT INTO leadscore.feature_skew VALUES (%s, %s, now(), 9, 9, 1, 2, 'x', '', false, %s)",
                [org_id, feature, is_named],
            )
        connection.execute(
            "INSERT INTO leadscore.live_inputs (org_id, as_of, state, in_words, alarms, figures)"
            " VALUES ('acme', now(), 'shifted', '', 1, '{}')"
        )
        connection.execute("UPDATE leadscore.org_health SET scored_as_of = now() WHERE org_id = 'acme'")
    found = counts.present()
    assert found is not None
    assert (found.warned.skew, found.warned.shifted) == (1, 1)
    assert found.warned.stale == found.by_state["active"] + found.by_state["pooled"] - 1


def test_they_are_counted_at_most_once_a_minute(
    counts: OrgCounts, crm: Crm, shelf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: seconds[0])
    first = counts.present()
    refreshed(crm, shelf, "acme")
    seconds[0] = 59.9
    assert counts.present() is first
    seconds[0] = 60.0
    assert sum(counts.present().by_state.values()) == 1


def test_without_the_database_there_are_none(settings: Settings) -> None:
    assert build_services(settings).org_counts.present() is None
