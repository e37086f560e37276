"""What a training run does, from the CRM's rows to the active version: activated, held, refused, repeated."""

from __future__ import annotations

from typing import Any

import dagster as dg

from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from tests.leadscore_assets.run_results import check, data_version, materialized, metadata_of

ASSETS = {"conversion_records", "lead_features", "trained_model", "evaluation", "active_model"}


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


def test_a_retraining_with_nothing_new_is_held_and_green(train: Any, registry: Registry) -> None:
    """The same records give the same bytes; the run succeeds, the check warns, and the first version stays."""
    train("sound")
    first = registry.active("sound")

    result = train("sound")

    assert result.success
    assert materialized(result) == ASSETS
    improves = check(result, "metrics_improve")
    assert (improves.passed, improves.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert improves.description.startswith("Held: The probability that it ranks leads better than the active version")
    assert "is 0.00 (0.25 needed)" in improves.description
    assert check(result, "minimum_records").passed
    assert registry.active("sound") == first
    newest, oldest = (registry.manifest("sound", version) for version in registry.versions("sound"))
    assert newest.files == oldest.files
    shown = metadata_of(result, "active_model")
    assert (shown["held_version"], shown["version"], shown["verdict"]) == (newest.version, oldest.version, "hold")
    assert "is 0.00 (0.25 needed)" in shown["reasons"]
    assert data_version(result, "active_model") == oldest.version


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
