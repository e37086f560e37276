"""The judged scores as arrays: rows in the order of the leads' creation, cohorts by day, and who is not mature yet."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
import numpy as np
import pytest

from leadscore_assets.proof import judged_scores
from leadscore_assets.proof.judged_scores import cohorts, first_said_on, mature_through, pending_leads, said_versions
from tests.leadscore_assets.scored_org import DAY, NOW, ORG, Scored

INSERT = """
INSERT INTO leadscore.judged_score (org_id, lead_id, landmark_days, created_at, said_at, said_by, probability, grade,
    model_version, model_scope, is_converted)
VALUES (%s, %s, %s, %s, now(), 'lead_scores', 0.3, 'B', 'v1', 'own', %s)
"""


@pytest.fixture
def stored(scored: Scored) -> Scored:
    """Give three leads, of which the one with the last id was created first."""
    rows = [("a", 0, "2026-01-02 10:00", True), ("a", 3, "2026-01-02 10:00", True), ("b", 0, "2026-01-02 23:59", False)]
    for lead_id, landmark, created_at, is_converted in [
        *rows,
        ("z", 0, "2026-01-01", False),
        ("z", 1, "2026-01-01", False),
    ]:
        scored.connection.execute(INSERT, [ORG, lead_id, landmark, created_at, is_converted])
    scored.connection.execute(INSERT, ["other", "a", 0, "2026-01-02", True])
    return scored


def test_rows_come_in_the_order_of_creation(stored: Scored) -> None:
    found = judged_scores.judged_scores(stored.connection, ORG)
    assert found.lead.tolist() == [0, 0, 1, 1, 2]
    assert found.nth.tolist() == [0, 1, 0, 1, 0]
    assert found.landmark_days.tolist() == [0, 1, 0, 3, 0]
    assert found.is_converted.tolist() == [False, False, True, True, False]
    assert (set(found.held_version.tolist()), np.isnan(found.held_probability).all()) == ({""}, True)
    assert found.leads == 3


def test_chosen_rows_are_numbered_anew(stored: Scored) -> None:
    found = judged_scores.judged_scores(stored.connection, ORG)
    later = found.where(found.landmark_days > 0)
    assert (later.lead.tolist(), later.nth.tolist(), later.leads) == ([0, 1], [0, 0], 2)
    assert found.first.landmark_days.tolist() == [0, 0, 0]
    assert found.where(np.zeros(5, bool)).leads == 0


def test_cohorts_are_the_leads_of_a_day(stored: Scored) -> None:
    found = judged_scores.judged_scores(stored.connection, ORG)
    first, second = cohorts(found, None)
    assert (first.created_on, second.created_on) == (date(2026, 1, 1), date(2026, 1, 2))
    assert (second.rows.lead.tolist(), second.rows.nth.tolist()) == ([0, 0, 1], [0, 1, 0])
    assert second.rows.is_converted.tolist() == [True, False]
    assert [cohort.created_on for cohort in cohorts(found, date(2026, 1, 1))] == [date(2026, 1, 2)]


def test_an_org_without_scores_has_no_rows(scored: Scored) -> None:
    assert judged_scores.judged_scores(scored.connection, ORG).leads == 0
    assert first_said_on(scored.connection, ORG) is None
    assert said_versions(scored.connection, ORG) == []


@pytest.mark.parametrize(
    ("as_of", "through"), [("2026-06-01T00:00", date(2026, 3, 2)), ("2026-06-01T23:59", date(2026, 3, 2))]
)
def test_a_day_is_mature_when_all_of_it_is(scored: Scored, as_of: str, through: date) -> None:
    moment = datetime.fromisoformat(as_of).replace(tzinfo=UTC)
    assert mature_through(msgspec.structs.replace(scored.window(), as_of=moment)) == through


def test_the_leads_that_wait_are_counted_by_their_creation(scored: Scored) -> None:
    scored.score()
    scored.score(days=3)
    said = scored.rows(
        "SELECT dossier.created_at::date, count(DISTINCT said.lead_id) FROM leadscore.lead_score_history AS said"
        " JOIN dossier ON dossier.id::text = said.lead_id GROUP BY 1 ORDER BY 1"
    )
    through = said[3][0]
    assert pending_leads(scored.connection, ORG, through - 100 * DAY) == said
    assert pending_leads(scored.connection, ORG, through) == said[4:]
    assert first_said_on(scored.connection, ORG) == NOW.date()
    assert said_versions(scored.connection, ORG) == [(scored.model.name, "own")]
