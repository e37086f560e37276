"""What is scored again, what is written, and what is said: each for its own reason."""

from __future__ import annotations

import msgspec

from leadscore.scoring import action_policy_from
from leadscore_assets.scoring.changes import Changes, compare
from leadscore_assets.scoring.grades import CutPoints
from leadscore_assets.scoring.leads_to_score import read_open_leads
from leadscore_assets.scoring.stored_scores import stored_scores
from tests.leadscore_assets.scored_org import ORG, Scored


def compared(scored: Scored, cuts: CutPoints, *, actions: float = 0.7, days: float = 0) -> Changes:
    leads = read_open_leads(scored.connection, ORG, scored.model, scored.window(days)).leads
    policy = msgspec.structs.replace(action_policy_from(scored.settings), high_probability=actions)
    return compare(scored.model, leads, stored_scores(scored.connection, ORG), cuts, policy)


def test_a_lead_without_a_row_is_scored_written_and_said(scored: Scored) -> None:
    changes = compared(scored, CutPoints(0.6, 0.3, 0.1))
    assert changes.is_changed.all()
    assert changes.is_said.all()
    assert changes.rescored == len(changes.labels)


def test_other_cut_points_write_what_they_change_and_score_nothing(scored: Scored) -> None:
    scored.score()
    cuts = CutPoints(*scored.value("SELECT cut_points FROM leadscore.org_setting"))
    changes = compared(scored, cuts._replace(a=0.99))
    were_a = scored.value("SELECT count(*) FROM leadscore.lead_score WHERE grade = 'A'")
    assert changes.rescored == 0
    assert changes.is_said.sum() == changes.is_changed.sum() >= were_a > 0


def test_another_policy_of_actions_writes_and_says_nothing_new(scored: Scored) -> None:
    scored.score()
    cuts = CutPoints(*scored.value("SELECT cut_points FROM leadscore.org_setting"))
    changes = compared(scored, cuts, actions=0.99)
    were_high = scored.value("SELECT count(*) FROM leadscore.lead_score WHERE action = 'HIGH_PRIORITY'")
    assert (changes.rescored, changes.is_changed.sum(), changes.is_said.sum()) == (0, were_high, 0)
    assert were_high > 0


def test_the_content_is_the_same_for_the_same_scores(scored: Scored) -> None:
    leads = read_open_leads(scored.connection, ORG, scored.model, scored.window()).leads
    cuts = CutPoints(0.6, 0.3, 0.1)
    content = compared(scored, cuts).content(leads)
    assert compared(scored, cuts).content(leads) == content
    assert compared(scored, cuts._replace(a=0.9)).content(leads) != content
