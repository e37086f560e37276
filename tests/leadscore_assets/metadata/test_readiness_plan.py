"""A refusal says when the data will do, wherever it falls; and it stays a refusal when that cannot be told."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from leadscore.pooling import POOLED
from leadscore.readiness import Readiness
from leadscore.records import window_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.metadata.readiness_plan import NO_DATE, plan_for
from leadscore_assets.source.database import connect
from tests.leadscore_assets.conftest import NOW, ONE_CLASS, SMALL, SOUND

LOG = logging.getLogger("test")


def failure(result: dg.ExecuteInProcessResult, step: str) -> Any:
    """Return the failure that a step gave itself."""
    [event] = [event for event in result.all_events if event.is_step_failure and event.step_key == step]
    return event.step_failure_data.user_failure_data


def plan_of(settings: Settings, org_id: str) -> Readiness:
    plan = plan_for(settings, org_id, window_from(settings, NOW), LOG)
    assert plan is not None
    return plan


def figures(metadata: dict[str, dg.MetadataValue]) -> dict[str, Any]:
    names = ("plan", "ready_on", "records_per_week", "converted_per_week")
    return {name: metadata[name].value for name in names if name in metadata}


def as_figures(plan: Readiness) -> dict[str, Any]:
    return {
        "plan": plan.message,
        "ready_on": str(plan.expected_on or NO_DATE),
        "records_per_week": plan.pace.records_per_week,
        "converted_per_week": plan.pace.converted_per_week,
    }


def test_the_plan_counts_what_the_training_counts(train: Any, crm_settings: Settings, registry: Registry) -> None:
    for org in (SMALL, SOUND):
        train(org.org_id)
        [version] = registry.versions(org.org_id)
        judgement, plan = registry.judgement(org.org_id, version), plan_of(crm_settings, org.org_id)
        assert judgement is not None
        report = judgement.report
        have = {need.what: need.have for need in plan.needs}
        assert have["records"] == report.records
        assert have["converted_in_holdout"] == report.holdout_converted_records
        assert have["unconverted_in_holdout"] == report.holdout_records - report.holdout_converted_records
        assert have["converted_in_holdout"] + have["converted_outside_holdout"] == report.converted_records
        assert plan.is_ready == (judgement.decision.verdict != "refuse")


def test_the_check_that_refuses_says_when_it_will_not(train: Any, crm_settings: Settings) -> None:
    result = train("small")

    [check] = [found for found in result.get_asset_check_evaluations() if found.check_name == "minimum_records"]
    plan = plan_of(crm_settings, "small")
    assert plan.message.startswith("37 of 100 records with a known outcome; ")
    assert check.description.endswith(f" As of 2026-06-01: {plan.message}")
    assert figures(check.metadata) == as_figures(plan)


def test_a_step_that_refuses_says_when_it_will_not(train: Any, crm_settings: Settings) -> None:
    """An org without conversions cannot be fitted, and there is no day on which it could."""
    refusal = failure(train("one-class"), "trained_model")

    plan = plan_of(crm_settings, ONE_CLASS.org_id)
    assert "no lead converted in the last 8 weeks, so no date can be given" in plan.message
    assert refusal.description.endswith(f" As of 2026-06-01: {plan.message}")
    assert figures(refusal.metadata) == as_figures(plan)
    assert refusal.metadata["ready_on"].value == NO_DATE


def test_callers_read_the_gates_own_words_apart_from_the_plan(train: Any) -> None:
    """The server adds the plan as of its own time."""
    refusal = failure(train("one-class"), "trained_model")

    assert refusal.metadata["code"].value == "insufficient_data"
    assert "As of" not in refusal.metadata["reasons"].value
    assert refusal.description.startswith(refusal.metadata["reasons"].value)


def test_an_activation_that_is_refused_says_when_it_will_not_be(train: Any, crm_settings: Settings) -> None:
    train("small")

    refusal = failure(train("small", only=["active_model"]), "active_model")

    assert figures(refusal.metadata) == as_figures(plan_of(crm_settings, "small"))


def test_without_our_functions_a_refusal_is_one_without_a_plan(train: Any, crm_settings: Settings) -> None:
    with connect(crm_settings) as connection:
        connection.execute("DROP FUNCTION leadscore.outcome_counts")

    refusal = failure(train("one-class"), "trained_model")

    assert refusal.metadata["code"].value == "insufficient_data"
    assert refusal.description == refusal.metadata["reasons"].value
    assert figures(refusal.metadata) == {}


def test_without_a_database_there_is_no_plan(crm_settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    away = replace(crm_settings, db_port=1)
    assert plan_for(away, "small", window_from(away, NOW), LOG) is None
    assert "the refusal has no readiness plan" in caplog.text
    assert crm_settings.db_password not in caplog.text


def test_the_pooled_model_has_no_plan_of_its_own(crm_settings: Settings) -> None:
    assert plan_for(crm_settings, POOLED, window_from(crm_settings, NOW), LOG) is None
