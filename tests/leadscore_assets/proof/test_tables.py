"""The tables of live proof are made once, and lose what is older than its retention."""

from __future__ import annotations

from leadscore_assets.proof.tables import create_tables, remove_old_scores
from tests.leadscore_assets.scored_org import DAY, NOW, ORG, Scored

ANSWERED = """
INSERT INTO leadscore.answered_score (
    org_id, lead_id, landmark_days, answered_at, age_days, probability, model_version, model_scope
)
VALUES (%s, %s, 0, %s, 0, 0.5, 'v1', 'own')
"""


def test_making_them_again_keeps_what_is_there(scored: Scored) -> None:
    scored.connection.execute(ANSWERED, [ORG, "1", NOW])
    create_tables(scored.connection)
    assert scored.value("SELECT count(*) FROM leadscore.answered_score") == 1


def test_what_is_older_is_removed_and_counted(scored: Scored) -> None:
    for lead_id, days in (("old", 10), ("new", 2)):
        scored.connection.execute(ANSWERED, [ORG, lead_id, NOW - days * DAY])
    assert remove_old_scores(scored.connection, NOW - 5 * DAY) == 1
    assert scored.rows("SELECT lead_id FROM leadscore.answered_score") == [("new",)]
