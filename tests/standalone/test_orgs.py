"""Simulated orgs have the sizes and the outcomes that were promised or asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from standalone.orgs import DEMO_ORGS, Org, equal_orgs
from standalone.simulator import simulate

NOW = datetime(2026, 3, 15, 9, 30, tzinfo=UTC)


def test_orgs_are_of_the_sizes_and_classes_promised(demo: psycopg.Connection) -> None:
    rows = demo.execute(
        "SELECT org_id, count(*), count(*) FILTER (WHERE status = 'WON') FROM dossier GROUP BY org_id"
    ).fetchall()
    leads, won = {row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows}
    assert leads["default"] == 6_000
    assert leads["new-branch"] < 100
    assert won["pilot-site"] == 0
    assert all(won[org_id] > 0 for org_id in leads.keys() - {"pilot-site"})
    assert won["harbour-homes"] / leads["harbour-homes"] > 2 * won["northside-lettings"] / leads["northside-lettings"]


@pytest.mark.parametrize("seed", range(3))
def test_new_branch_has_exactly_37_leads_with_a_known_outcome(seed: int) -> None:
    org = next(org for org in DEMO_ORGS if org.org_id == "new-branch")
    (tables,) = simulate([org], seed=seed, now=NOW)
    created_at, status = tables["dossier"]["created_at"], tables["dossier"]["status"]
    age_days = (NOW.replace(tzinfo=None) - created_at.astype(object)).astype("timedelta64[s]").astype(int) / 86_400
    is_known = (status == "WON") | (status == "LOST") | (age_days > 90)
    assert is_known.sum() == 37
    assert 0 < (status == "WON").sum() < 37


def test_asked_for_sizes_are_met() -> None:
    tables = list(simulate(equal_orgs(20, leads=50, messages_per_lead=12), seed=3, now=NOW))
    assert [len(each["dossier"]["id"]) for each in tables] == [50] * 20
    messages = sum(len(each["message"]["id"]) for each in tables)
    assert messages / 1_000 == pytest.approx(12, rel=0.1)
    ids = [int(lead_id) for each in tables for lead_id in each["dossier"]["id"]]
    assert ids == list(range(1, 1_001))


def test_more_records_than_leads_is_refused() -> None:
    with pytest.raises(ValueError, match="30 need more leads"):
        list(simulate([Org("small", leads=20, records=30)], seed=1, now=NOW))
