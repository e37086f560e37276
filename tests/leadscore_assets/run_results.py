"""What a run in a test left behind: its materializations, its checks, its failures."""

from __future__ import annotations

from typing import Any

import dagster as dg


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    """Return the names of the assets that the run materialized."""
    return {
        event.asset_key.path[-1]
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key
    }


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """Return the metadata of the asset's one materialization."""
    [event] = result.asset_materializations_for_node(asset)
    return {name: entry.value for name, entry in event.metadata.items()}


def check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    """Return the one evaluation of the check."""
    [evaluation] = [found for found in result.get_asset_check_evaluations() if found.check_name == name]
    return evaluation


def failure_text(result: dg.ExecuteInProcessResult, step: str) -> str:
    """Return how the step failed, in its own words."""
    [event] = [event for event in result.all_events if event.is_step_failure and event.step_key == step]
    return str(event.step_failure_data.user_failure_data.description)  # type: ignore[union-attr]


def data_version(result: dg.ExecuteInProcessResult, asset: str) -> str:
    """Return the data version of the asset's one materialization."""
    [event] = result.asset_materializations_for_node(asset)
    return (event.tags or {})["dagster/data_version"]
