"""The first leads of the call list are the best, in order."""

from __future__ import annotations

from leadscore_assets.scoring.call_list import first_calls
from tests.leadscore_assets.scored_org import ORG, Scored


def test_the_first_calls_are_the_best_leads(scored: Scored) -> None:
    scored.score()
    calls = first_calls(scored.connection, ORG, 5)
    best = scored.rows("SELECT lead_id FROM leadscore.lead_score ORDER BY probability DESC LIMIT 5")
    assert [call.rank for call in calls] == [1, 2, 3, 4, 5]
    assert [(call.lead_id,) for call in calls] == best
    assert first_calls(scored.connection, "nobody", 5) == []
