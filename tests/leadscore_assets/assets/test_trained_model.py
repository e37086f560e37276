"""trained_model: where nothing can be fitted, the run says so and no version is written."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.definitions import build_defs
from tests.leadscore_assets.run_results import failure_text


def test_an_org_with_one_class_is_refused_before_anything_is_fitted(train: Any, registry: Registry) -> None:
    """No version is written, and the failure says that nothing can be told apart."""
    result = train("one-class")

    assert not result.success
    assert "but a model needs leads of both outcomes" in failure_text(result, "trained_model")
    assert registry.versions("one-class") == []


def test_an_org_without_leads_is_refused_with_the_same_words(
    train: Any, instance: dg.DagsterInstance, registry: Registry
) -> None:
    instance.add_dynamic_partitions("orgs", ["nobody"])

    result = train("nobody")

    assert not result.success
    assert "0 of 100 records" in failure_text(result, "trained_model")
    assert registry.versions("nobody") == []


def test_a_damaged_pointer_fails_a_training_before_a_version_is_fitted(train: Any, registry: Registry) -> None:
    (registry.root / "sound").mkdir(parents=True)
    (registry.root / "sound" / "active.json").write_bytes(b"")

    result = train("sound")

    assert not result.success
    assert "roll back to a version with force and a reason" in failure_text(result, "trained_model")
    assert registry.versions("sound") == []


def refusals(instance: dg.DagsterInstance, run_id: str) -> tuple[dict[str, Any], dg.AssetCheckEvaluation]:
    """Return what the org's partition of `evaluation` and its check carry after the run."""
    key = dg.AssetKey("evaluation")
    events = [entry.dagster_event for entry in instance.all_logs(run_id) if entry.dagster_event]
    [shown] = [event for event in events if event.is_step_materialization and event.asset_key == key]
    checks = [event.event_specific_data for event in events if event.event_type_value == "ASSET_CHECK_EVALUATION"]
    [minimum] = [found for found in checks if found.check_name == "minimum_records"]
    metadata = shown.step_materialization_data.materialization.metadata
    return {name: entry.value for name, entry in metadata.items()}, minimum


@pytest.mark.parametrize(
    ("org_id", "words"), [("one-class", "but a model needs leads of both outcomes"), ("small", "37 of 100 records")]
)
def test_one_class_and_too_few_look_alike_on_the_evaluation_and_its_check(
    train: Any, instance: dg.DagsterInstance, org_id: str, words: str
) -> None:
    """Whichever step meets the refusal, both carry the verdict, the reasons and the plan."""
    shown, minimum = refusals(instance, train(org_id).run_id)

    assert (minimum.passed, minimum.severity, minimum.partition) == (False, dg.AssetCheckSeverity.ERROR, org_id)
    assert str(minimum.description).startswith("Refused: ")
    assert "As of 2026-06-01: " in str(minimum.description)
    for metadata in (shown, {name: entry.value for name, entry in minimum.metadata.items()}):
        assert (metadata["verdict"], metadata["ready_on"]) == ("refuse", "no date can be given")
        assert words in metadata["reasons"]
        assert metadata["plan"]
        assert metadata["records_per_week"] >= 0


def test_an_org_that_is_refused_is_known_to_dagster_as_evaluated(
    train: Any, instance: dg.DagsterInstance, crm_settings: Settings
) -> None:
    """Its check is red and names the reasons; the step that met the refusal is red, too."""
    train("one-class")

    check_key = dg.AssetCheckKey(dg.AssetKey("evaluation"), "minimum_records")
    [evaluated] = instance.event_log_storage.get_asset_check_execution_history(check_key, limit=1)
    latest = instance.get_latest_materialization_event(dg.AssetKey("evaluation"))
    target = evaluated.event.dagster_event.asset_check_evaluation_data.target_materialization_data
    assert (target.run_id, target.timestamp) == (latest.run_id, latest.timestamp)
    orgs = build_defs(crm_settings).resolve_asset_graph().get(dg.AssetKey("evaluation")).partitions_def
    for asset, expected in (("trained_model", "FAILED"), ("evaluation", "MATERIALIZED"), ("active_model", "FAILED")):
        statuses = instance.get_status_by_partition(dg.AssetKey(asset), ["one-class"], orgs) or {}
        assert statuses["one-class"].name == expected
