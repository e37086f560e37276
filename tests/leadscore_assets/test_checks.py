"""The checks show the gate on an evaluation: a refusal is an error that blocks, a held candidate a warning."""

from __future__ import annotations

import re
from typing import Any

import dagster as dg

from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.definitions import build_defs
from leadscore_assets.source.database import connect
from tests.leadscore_assets.run_results import check, materialized


def test_an_org_with_37_records_is_refused_in_words(train: Any, registry: Registry) -> None:
    """The run is red, says how many records there are of how many, lists the version, and activates nothing."""
    result = train("small")

    assert not result.success
    minimum = check(result, "minimum_records")
    assert (minimum.passed, minimum.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "37 of 100 records" in minimum.description
    assert "active_model" not in materialized(result)
    assert registry.active("small") is None
    [version] = registry.versions("small")
    judgement = registry.judgement("small", version)
    assert judgement is not None
    assert judgement.decision.verdict == "refuse"


def test_the_checks_guard_the_evaluation(defs: dg.Definitions) -> None:
    """Only the check for enough records blocks; a held candidate is no failure. Two checks are about all orgs."""
    graph = defs.resolve_asset_graph()
    checks = {key.name: graph.get(key) for key in graph.asset_check_keys}

    assert {name: check.blocking for name, check in checks.items()} == {
        "minimum_records": True,
        "metrics_improve": False,
        "training_ended": False,
        "orgs_have_leads": False,
        "plausible_times": False,
        "leads_are_in_crm": False,
        "orgs_keep_their_leads": False,
        "scores_are_fresh": False,
        "came_true": False,
        "features_as_computed": False,
        "inputs_as_learned": False,
    }
    of_evaluation = {key.name for key in graph.asset_check_keys if key.asset_key == dg.AssetKey("evaluation")}
    assert of_evaluation == {"minimum_records", "metrics_improve"}


def test_a_training_warns_when_the_messages_are_in_another_zone_than_the_setting_says(
    train: Any, crm_settings: Settings
) -> None:
    """The version is trained all the same; the check says what it saw, and which setting to look at."""
    assert check(train("sound"), "plausible_times").description == "the first answers come when answers usually come"
    with connect(crm_settings) as connection:
        connection.execute("UPDATE message SET timestamp = timestamp AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Paris'")
    result = train("sound")
    found = check(result, "plausible_times")
    assert (result.success, found.passed, found.severity) == (True, False, dg.AssetCheckSeverity.WARN)
    assert re.match(
        r"\d of \d+ leads were answered in the first hour, and \d+ in the next.*\. Check CRM_TIME_ZONE, which is UTC,",
        found.description,
    )


def test_the_check_of_gone_leads_can_be_run_by_hand_and_names_no_lead(
    train: Any, crm_settings: Settings, instance: dg.DagsterInstance
) -> None:
    train("small", only=["conversion_records"])
    key = dg.AssetCheckKey(dg.AssetKey("conversion_records"), "leads_are_in_crm")
    job = build_defs(crm_settings).get_repository_def().get_implicit_global_asset_job_def()
    selected = job.get_subset(asset_check_selection={key}, asset_selection=set())

    def found() -> dg.AssetCheckEvaluation:
        result = selected.execute_in_process(instance=instance, raise_on_error=False)
        [evaluation] = result.get_asset_check_evaluations()
        return evaluation

    assert (found().passed, found().description) == (True, "the CRM has all 37 leads that we hold")
    with connect(crm_settings) as connection:
        connection.execute("DELETE FROM dossier WHERE org_id = 'small'")
    failed = found()
    assert not failed.passed
    assert "the CRM no longer has 37 of the 37 leads that we hold (small: 37)" in str(failed.description)
    assert failed.metadata["absent_leads_by_org"].value == {"small": 37}
