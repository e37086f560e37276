"""active_model: it obeys the stored verdict, alone too, and a held candidate leaves the partition materialized."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dagster as dg

from leadscore.registry.activation import roll_back
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.definitions import build_defs
from tests.leadscore_assets.run_results import data_version, failure_text, materialized, metadata_of


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
