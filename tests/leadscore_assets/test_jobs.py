"""What a training run does, from the CRM's rows to the active version: activated, held, refused, repeated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dagster as dg

from leadscore.registry.activation import roll_back
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.definitions import build_defs
from leadscore_assets.source.database import connect

ASSETS = {"conversion_records", "lead_features", "trained_model", "evaluation", "active_model"}


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    return {
        event.asset_key.path[-1]
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key
    }


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(asset)
    return {name: entry.value for name, entry in event.metadata.items()}


def check(result: dg.ExecuteInProcessResult, name: str) -> Any:
    [evaluation] = [found for found in result.get_asset_check_evaluations() if found.check_name == name]
    return evaluation


def failure_text(result: dg.ExecuteInProcessResult, step: str) -> str:
    [event] = [event for event in result.all_events if event.is_step_failure and event.step_key == step]
    return str(event.step_failure_data.user_failure_data.description)


def data_version(result: dg.ExecuteInProcessResult, asset: str) -> str:
    [event] = result.asset_materializations_for_node(asset)
    return event.tags["dagster/data_version"]


def test_a_first_training_is_judged_and_activated(train: Any, registry: Registry) -> None:
    """All five assets are made for the org, both checks pass, and the version is the active one."""
    result = train("sound")

    assert result.success
    assert materialized(result) == ASSETS
    assert [check(result, name).passed for name in ("minimum_records", "metrics_improve")] == [True, True]
    assert {event.partition for event in result.get_asset_check_evaluations()} == {"sound"}
    active = registry.active("sound")
    assert active is not None
    assert active.version == registry.versions("sound")[0] == metadata_of(result, "active_model")["version"]
    assert active.by == f"run {result.run_id}"
    assert registry.load("sound", active.version, active.manifest_sha256).manifest.run_id == result.run_id


def test_a_training_tells_what_it_read_and_found(train: Any, registry: Registry) -> None:
    """Rows, records, exclusions, window, fingerprint, metrics, version, pictures and a link are in the metadata."""
    result = train("sound")

    records, features = metadata_of(result, "conversion_records"), metadata_of(result, "lead_features")
    trained, judged = metadata_of(result, "trained_model"), metadata_of(result, "evaluation")
    manifest = registry.manifest("sound", trained["version"])
    assert records["records"] == manifest.counts.records > 100
    assert records["excluded_leads"] == sum(manifest.counts.excluded.values()) > 0
    assert records["training_window_days"] == 183
    assert features["dagster/row_count"] == manifest.counts.rows == trained["training_rows"] + trained["holdout_rows"]
    assert features["fingerprint"] == trained["fingerprint"] == manifest.counts.fingerprint
    assert judged["verdict"] == "activate"
    assert 0.8 <= judged["probability_ranks_better"] <= 1
    assert [record.data["metric"] for record in judged["comparison"].records] == ["roc_auc", "brier_score", "log_loss"]
    assert 0.5 < judged["roc_auc"] < 0.9
    assert all(judged[name].startswith("![") for name in ("roc_curve", "calibration_curve", "confusion_matrix"))
    assert trained["info"].endswith(f"/api/v1/model/info?org_id=sound&version={manifest.version}")
    assert judged["report"].endswith(f"/api/v1/model/report?org_id=sound&version={manifest.version}")
    assert judged["report"] == metadata_of(result, "active_model")["report"]
    assert registry.judged_file("sound", manifest.version, "report.html").startswith(b"<!DOCTYPE html>")


def test_an_orgs_versions_over_time_are_shown_with_each_evaluation(train: Any, registry: Registry) -> None:
    """The second evaluation has a table and a picture of both versions, and the decision as a number to plot."""
    first, second = (metadata_of(train("sound"), "evaluation") for _ in range(2))

    assert (first["passed_gate"], second["passed_gate"]) == (1, 0)
    assert second["versions_over_time"].startswith("![Versions over time](data:image/png;base64,")
    newest, oldest = (record.data for record in second["versions"].records)
    assert [newest["version"], oldest["version"]] == registry.versions("sound")
    assert (newest["decision"], newest["active"]) == ("hold", "")
    assert (oldest["decision"], oldest["active"]) == ("activate", "active")
    assert oldest["as_of"] == "2026-06-01"
    assert oldest["roc_auc"].startswith(f"{first['roc_auc']:.3f} (")


def test_a_retraining_with_nothing_new_is_held_and_green(train: Any, registry: Registry) -> None:
    """The same records give the same bytes; the run succeeds, the check warns, and the first version stays."""
    train("sound")
    first = registry.active("sound")

    result = train("sound")

    assert result.success
    assert materialized(result) == ASSETS
    improves = check(result, "metrics_improve")
    assert (improves.passed, improves.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert improves.description.startswith("held: Better than the active version")
    assert "with probability 0.00 (needs 0.80)" in improves.description
    assert check(result, "minimum_records").passed
    assert registry.active("sound") == first
    newest, oldest = (registry.manifest("sound", version) for version in registry.versions("sound"))
    assert newest.files == oldest.files
    shown = metadata_of(result, "active_model")
    assert (shown["held_version"], shown["version"], shown["verdict"]) == (newest.version, oldest.version, "hold")
    assert "with probability 0.00 (needs 0.80)" in shown["reasons"]
    assert data_version(result, "active_model") == oldest.version


def test_a_version_that_is_held_without_one_before_it_says_that_none_is_served(
    train: Any, registry: Registry, crm_settings: Settings
) -> None:
    """The partition is green: the asset is what is served, and nothing is."""
    result = train("sound", settings=replace(crm_settings, min_probability_better=1.0))

    shown = metadata_of(result, "active_model")
    assert result.success
    assert registry.active("sound") is None
    assert (shown["version"], shown["verdict"], data_version(result, "active_model")) == ("none", "hold", "none")


def test_a_backfill_over_held_orgs_leaves_no_partition_failed(
    train: Any, instance: dg.DagsterInstance, crm_settings: Settings
) -> None:
    """Dagster takes a partition for failed when its run did not materialize it."""
    for _ in range(2):
        train("sound")

    key = dg.AssetKey("active_model")
    last = instance.get_latest_materialization_event(key)
    assert last is not None
    assert last.asset_materialization is not None
    assert last.asset_materialization.partition == "sound"
    assert "held_version" in last.asset_materialization.metadata
    orgs = build_defs(crm_settings).resolve_asset_graph().get(key).partitions_def
    statuses = instance.get_status_by_partition(key, ["sound"], orgs) or {}
    assert {org_id: status.name for org_id, status in statuses.items()} == {"sound": "MATERIALIZED"}


def test_a_gate_that_is_lowered_later_does_not_change_a_stored_verdict(
    train: Any, registry: Registry, crm_settings: Settings
) -> None:
    """Materializing a held version again says held, and does not fail."""
    train("sound", settings=replace(crm_settings, min_probability_better=1.0))

    result = train("sound", only=["active_model"], settings=replace(crm_settings, min_probability_better=0.0))

    assert result.success
    assert metadata_of(result, "active_model")["verdict"] == "hold"
    assert registry.active("sound") is None


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


def test_an_org_with_one_class_is_refused_before_anything_is_fitted(train: Any, registry: Registry) -> None:
    """No version is written, and the failure says that nothing can be told apart."""
    result = train("one-class")

    assert not result.success
    assert "none converted: there is nothing to tell apart" in failure_text(result, "trained_model")
    assert registry.versions("one-class") == []


def test_an_org_without_leads_is_refused_with_the_same_words(
    train: Any, instance: dg.DagsterInstance, registry: Registry
) -> None:
    instance.add_dynamic_partitions("orgs", ["nobody"])

    result = train("nobody")

    assert not result.success
    assert "0 of 100 records" in failure_text(result, "trained_model")
    assert registry.versions("nobody") == []


def test_active_model_alone_does_not_let_a_refused_version_pass(train: Any, registry: Registry) -> None:
    """The gate is in the activation itself; leaving the check out of the run opens nothing."""
    train("small")

    result = train("small", only=["active_model"])

    assert not result.success
    assert "37 of 100 records" in failure_text(result, "active_model")
    assert registry.active("small") is None


def test_active_model_alone_leaves_a_held_version_held(train: Any, registry: Registry) -> None:
    train("sound")
    train("sound")
    active = registry.active("sound")

    result = train("sound", only=["active_model"])

    assert result.success
    assert materialized(result) == {"active_model"}
    assert data_version(result, "active_model") == active.version
    assert registry.active("sound") == active


def test_active_model_alone_confirms_the_version_that_is_active(train: Any, registry: Registry) -> None:
    train("sound")
    active = registry.active("sound")

    result = train("sound", only=["active_model"])

    assert result.success
    assert metadata_of(result, "active_model")["version"] == active.version
    assert registry.active("sound") == active


def test_each_asset_can_be_materialized_by_a_run_of_its_own(train: Any, registry: Registry) -> None:
    """What one run stored, the next one takes up."""
    for asset in ("conversion_records", "lead_features", "trained_model", "evaluation", "active_model"):
        result = train("sound", only=[asset])
        assert result.success, asset
        assert materialized(result) == {asset}

    assert registry.active("sound") is not None


def test_an_asset_whose_source_was_never_made_says_what_to_do(train: Any) -> None:
    result = train("sound", only=["lead_features"])

    assert "conversion_records was never made" in failure_text(result, "lead_features")


def test_a_version_is_judged_once(train: Any, registry: Registry) -> None:
    """Materializing the evaluation again shows the stored judgement and changes nothing."""
    train("sound")
    [version] = registry.versions("sound")
    judgement = registry.judgement("sound", version)

    result = train("sound", only=["evaluation"])

    assert result.success
    assert metadata_of(result, "evaluation")["champion_version"] == "none"
    assert registry.judgement("sound", version) == judgement


def test_a_candidate_is_not_judged_on_other_records_than_its_own(train: Any) -> None:
    """When the features were made again in between, the evaluation asks for a new candidate."""
    train("sound", only=["conversion_records"])
    train("sound", only=["lead_features"])
    train("sound", only=["trained_model"])
    earlier = {"ops": {"conversion_records": {"config": {"as_of": "2026-04-01"}}}}
    train("sound", only=["conversion_records"], run_config=earlier)
    train("sound", only=["lead_features"])

    result = train("sound", only=["evaluation"])

    assert "materialize trained_model again" in failure_text(result, "evaluation")


def test_a_past_training_can_be_repeated(train: Any, registry: Registry) -> None:
    """The same `as_of` and window give the same records and the same bytes, whatever happened in between."""
    past = {"ops": {"conversion_records": {"config": {"as_of": "2026-03-01T12:00:00", "training_window_days": 120}}}}
    train("sound", run_config=past)
    train("sound")
    train("sound", run_config=past)

    again, between, first = (registry.manifest("sound", version) for version in registry.versions("sound"))
    assert again.window == first.window
    assert (first.window.as_of.isoformat(), first.window.training_window_days) == ("2026-03-01T12:00:00+00:00", 120)
    assert again.files == first.files
    assert again.counts.fingerprint == first.counts.fingerprint != between.counts.fingerprint


def test_a_bad_as_of_is_refused_with_its_rule(train: Any) -> None:
    result = train("sound", run_config={"ops": {"conversion_records": {"config": {"as_of": "yesterday"}}}})

    assert "a date or a time in ISO 8601" in failure_text(result, "conversion_records")


def test_bad_rows_are_set_aside_and_counted(train: Any, crm_settings: Settings, registry: Registry) -> None:
    """A listing with a negative price costs its leads' rows, not the org's training."""
    with connect(crm_settings) as connection:
        connection.execute(
            "UPDATE annonce SET price = -1 WHERE org_id = 'sound' AND id IN"
            " (SELECT annonce_id FROM dossier WHERE org_id = 'sound' AND annonce_id IS NOT NULL"
            "  AND created_at > '2026-02-01' ORDER BY id LIMIT 3)"
        )

    result = train("sound")

    assert result.success
    assert metadata_of(result, "lead_features")["set_aside_rows"] > 0
    [version] = registry.versions("sound")
    counts = registry.manifest("sound", version).counts
    assert set(counts.set_aside) == {"property_price_out_of_range"}
    assert (
        counts.rows + counts.set_aside["property_price_out_of_range"]
        == metadata_of(result, "conversion_records")["dagster/row_count"]
    )


def test_a_damaged_champion_is_replaced_by_a_sound_candidate(train: Any, registry: Registry) -> None:
    """One whose files do not verify cannot be compared: the candidate has to beat the base rate, and that is said."""
    train("sound")
    [version] = registry.versions("sound")
    forest = registry.root / "sound" / version / "forest.safetensors"
    content = forest.read_bytes()
    forest.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    result = train("sound")

    active = registry.active("sound")
    assert active is not None
    assert (active.version, active.previous) == (metadata_of(result, "trained_model")["version"], version)
    assert "cannot be compared: forest.safetensors is not what was written" in active.reason


def test_a_database_that_is_away_fails_the_run_in_words(train: Any, crm_settings: Settings) -> None:
    """The message names the settings to look at and never the password."""
    result = train("sound", settings=replace(crm_settings, db_port=1))

    text = failure_text(result, "conversion_records")
    assert "DB_HOST, DB_PORT" in text
    assert crm_settings.db_password not in text


def test_no_password_and_no_lead_is_in_the_metadata(train: Any, crm_settings: Settings) -> None:
    """Dagster's event log holds figures, not people."""
    with connect(crm_settings) as connection:
        connection.execute(
            "UPDATE dossier SET lead_phone = '+1 555 010 99', lead_name = 'Ada Example', lead_email = 'ada@example.org'"
        )

    result = train("sound")

    events = " ".join(str(event) for event in result.all_events)
    assert "conversion_records" in events
    for private in (crm_settings.db_password, "555 010 99", "Ada Example", "ada@example.org"):
        assert private not in events


def test_active_model_alone_confirms_a_version_that_is_active_by_force(
    train: Any, registry: Registry, crm_settings: Settings
) -> None:
    """It was held, and somebody's explicit act made it active: that is what holds."""
    train("sound", settings=replace(crm_settings, min_probability_better=1.0))
    [version] = registry.versions("sound")
    roll_back(registry, "sound", version, by="me", reason="I insist", is_forced=True)

    result = train("sound", only=["active_model"])

    shown = metadata_of(result, "active_model")
    assert result.success
    assert (shown["version"], shown["verdict"], shown["activation_reason"]) == (version, "hold", "I insist")
    assert "held_version" not in shown


def test_a_damaged_pointer_fails_a_training_before_a_version_is_fitted(train: Any, registry: Registry) -> None:
    (registry.root / "sound").mkdir(parents=True)
    (registry.root / "sound" / "active.json").write_bytes(b"")

    result = train("sound")

    assert not result.success
    assert "roll back to a version with force and a reason" in failure_text(result, "trained_model")
    assert registry.versions("sound") == []
