"""active_model: it obeys the stored verdict, alone too, and a held candidate leaves the partition materialized."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dagster as dg

from leadscore.registry.activation import roll_back
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.definitions import build_defs
from tests.leadscore_assets.run_results import check, data_version, failure_text, materialized, metadata_of


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


def trial(as_of: str = "2026-06-01") -> dict[str, Any]:
    return {"ops": {"conversion_records": {"config": {"as_of": as_of}}, "evaluation": {"config": {"activate": False}}}}


def test_a_version_that_was_only_tried_becomes_active_by_the_flag_of_a_run_alone(
    train: Any, registry: Registry
) -> None:
    """It passed the gate, and the run is green; materializing the activation again changes nothing either."""
    tried = train("sound", run_config=trial())
    again = train("sound", only=["active_model"])

    for result in (tried, again):
        shown = metadata_of(result, "active_model")
        assert result.success
        assert (shown["verdict"], shown["outcome"]) == ("activate", "not activated")
        assert shown["reasons"].startswith("The training was asked to judge only. Only a rollback to it, or a run with")
        assert (shown["version"], shown["withheld_version"]) == ("none", registry.versions("sound")[0])
        assert data_version(result, "active_model") == "none"
    assert registry.active("sound") is None
    assert check(tried, "metrics_improve").passed
    assert "The training was asked to judge only" in check(tried, "metrics_improve").description

    result = train("sound", only=["active_model"], op_config={"active_model": {"config": {"activate_anyway": True}}})

    assert metadata_of(result, "active_model")["outcome"] == "activated by this run"
    assert registry.active("sound").version == registry.versions("sound")[0]


def test_a_training_with_as_of_before_the_active_versions_does_not_go_live(
    train: Any, registry: Registry, crm_settings: Settings
) -> None:
    """Whatever the gate says of it: its data is older. A gate that lets everything pass shows that."""
    train("sound")
    active = registry.active("sound")
    lenient = replace(
        crm_settings,
        min_probability_not_worse=0.0,
        max_brier_increase=1.0,
        max_log_loss_increase=1.0,
    )
    past = {"ops": {"conversion_records": {"config": {"as_of": "2026-04-01", "training_window_days": 365}}}}

    result = train("sound", run_config=past, settings=lenient)

    shown = metadata_of(result, "active_model")
    assert result.success
    assert (shown["verdict"], shown["outcome"]) == ("activate", "not activated")
    assert shown["reasons"].startswith(
        "Its data ends on 2026-04-01 00:00 UTC, before that of the active version (2026-06-"
    )
    assert metadata_of(result, "evaluation")["withheld"].startswith("Its data ends on 2026-04-01 00:00 UTC")
    assert registry.active("sound") == active


def test_active_model_alone_after_a_rollback_shows_the_version_that_is_served_with_its_own_reason(
    train: Any, registry: Registry, crm_settings: Settings
) -> None:
    """The run is green, and activates nothing: the operator's act stands."""
    for _ in range(2):
        train("sound", settings=replace(crm_settings, min_probability_not_worse=0.0))
    newest, oldest = registry.versions("sound")
    assert registry.active("sound").version == newest
    roll_back(registry, "sound", oldest, by="request 7", reason="odd scores")

    result = train("sound", only=["active_model"])

    shown = metadata_of(result, "active_model")
    assert result.success
    assert (shown["version"], shown["by"], shown["activation_reason"]) == (oldest, "request 7", "odd scores")
    assert shown["outcome"].startswith("it was active before and was taken back")
    assert not {"verdict", "reasons"} & shown.keys()
    assert data_version(result, "active_model") == oldest
