"""The last run, the last scoring, the last proof and the plan of many orgs, each by one query."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from leadscore.gate import policy_from
from leadscore.records import RecordCounts, window_from
from leadscore.settings import Settings
from leadscore_assets.health.database_facts import Facts, facts_of, is_plan_due, plans_of
from leadscore_assets.health.tables import Attention, CameTrue, DataPlan, LastRun, Model, OpenLeads, OrgHealth
from leadscore_assets.metadata.readiness_plan import plan_for
from leadscore_assets.source.database import connect
from leadscore_assets.source.tables import store
from tests.leadscore_assets.conftest import NOW
from tests.live_figures import figures_of, write_figures

ORGS = ("one-class", "small", "sound")
SCORED = """
INSERT INTO leadscore.lead_score (
    org_id, lead_id, created_at, probability, confidence, grade, action, trend, features, contributions,
    is_beyond_landmarks, model_version, model_scope, scored_since, fingerprint
)
SELECT 'sound', lead, now(), 0.5, 1, grade, 'NURTURE', trend, '{}', '{}', false, 'v', 'own', now(), ''
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS each (grade, trend, lead)
"""
SCORING = """
INSERT INTO leadscore.scoring_run (
    org_id, as_of, scored_at, feature_names, open_leads, scored, changed, removed, left_out, is_full
) VALUES ('sound', %s, %s, '{}', 5, 4, 4, 0, '{"window_over": 1}', true)
"""


@pytest.fixture
def connection(crm_settings: Settings) -> Any:
    with connect(crm_settings) as connection:
        yield connection


def known(facts: Facts, **plan: Any) -> OrgHealth:
    model = Model("no_model", NOW, "", None, None, None, None, None, None, [], None, None)
    return OrgHealth("sound", model, facts.last_run, DataPlan(**plan), facts.open_leads, facts.came_true, Attention())


def score(connection: Any, at: datetime, *leads: tuple[str, str]) -> None:
    connection.execute("DELETE FROM leadscore.lead_score")
    grades, trends = zip(*leads, strict=True)
    connection.execute(SCORED, [list(grades), list(trends)])
    connection.execute(SCORING, [at, at])


def test_an_org_that_never_ran_and_was_never_scored_nor_judged_has_nothing_to_show(connection: Any) -> None:
    assert facts_of(connection, ORGS, {}) == dict.fromkeys(ORGS, Facts(LastRun(), None, OpenLeads(), CameTrue()))


def test_the_last_run_comes_with_its_counts(connection: Any) -> None:
    counts = RecordCounts(40, 0, 90, {}, "c0ffee")
    store(connection, "lead_features", "small", run_id="run-1", info={"counts": msgspec.to_builtins(counts)})
    found = facts_of(connection, ORGS, {})["small"]
    assert (found.last_run.last_run_id, found.counts) == ("run-1", counts)
    assert isinstance(found.last_run.last_run_at, datetime)


def test_open_leads_are_counted_by_grade_and_trend_once_after_each_scoring(connection: Any) -> None:
    score(connection, NOW, ("A", "improving"), ("B", "steady"), ("B", "declining"), ("D", "not_enough_history"))
    first = facts_of(connection, ORGS, {})["sound"]
    assert first.open_leads == OpenLeads(NOW, NOW, 5, 4, 1, 2, 0, 1, 1, 1)
    connection.execute("DELETE FROM leadscore.lead_score")
    stored = {"sound": known(first)}
    assert facts_of(connection, ORGS, stored)["sound"] == first
    later = NOW + timedelta(days=1)
    score(connection, later, ("C", "steady"))
    assert facts_of(connection, ORGS, stored)["sound"].open_leads == OpenLeads(later, later, 5, 4, leads_c=1)


def test_what_came_true_is_that_of_the_last_proof(connection: Any) -> None:
    write_figures(connection, figures_of("sound", "alarm"), is_listed=True)
    write_figures(connection, figures_of("small", "too_young"))
    found = facts_of(connection, ORGS, {})
    assert found["sound"].came_true == CameTrue("alarm", 420, 0.256, 0.1275, date(2026, 5, 3), None, True)
    assert found["small"].came_true == CameTrue("too_young", 15, 0.24, 0.2, None, date(2026, 9, 14), False)
    assert found["one-class"].came_true == CameTrue()


def test_a_plan_is_the_one_that_readiness_gives_for_the_org_alone(connection: Any, crm_settings: Settings) -> None:
    window = window_from(crm_settings, as_of=NOW)
    plans = plans_of(connection, ORGS, window, policy_from(crm_settings).requirements)
    assert list(plans) == list(ORGS)
    for org_id, plan in plans.items():
        alone = plan_for(crm_settings, org_id, window, log=Any)
        assert alone is not None
        assert (plan.is_ready, plan.ready_on, plan.readiness) == (alone.is_ready, alone.expected_on, alone.message)
        assert (plan.records, plan.records_needed) == (alone.needs[0].have, 100)
    assert (plans["sound"].is_ready, plans["sound"].ready_on) == (True, date(2026, 6, 1))
    assert plans["small"].is_ready is False


def test_a_plan_is_due_once_a_day_and_after_a_run() -> None:
    facts = Facts(LastRun(), None, OpenLeads(), CameTrue())
    morning = datetime(2026, 6, 1, 0, 5, tzinfo=UTC)
    assert is_plan_due(facts, None, morning)
    assert is_plan_due(facts, known(facts), morning)
    stored = known(facts, readiness_as_of=morning)
    assert not is_plan_due(facts, stored, morning + timedelta(hours=23))
    assert is_plan_due(facts, stored, morning + timedelta(hours=24))
    assert is_plan_due(facts._replace(last_run=LastRun(morning, "run-1")), stored, morning)


def test_a_site_without_the_crms_history_is_told_so(connection: Any, crm_settings: Settings) -> None:
    connection.execute("DROP TABLE dossier_status_history CASCADE")
    settings = replace(crm_settings, as_of=NOW)
    with pytest.raises(Exception, match="create views named dossier and dossier_status_history"):
        plans_of(connection, ORGS, window_from(settings), policy_from(settings).requirements)
