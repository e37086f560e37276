"""What all assets have in common."""

from __future__ import annotations

import dagster as dg
import pytest

ASSETS = ["conversion_records", "lead_features", "trained_model", "evaluation", "active_model"]


@pytest.mark.parametrize("asset", ASSETS)
def test_each_asset_says_what_it_is(defs: dg.Definitions, asset: str) -> None:
    """It has an owner, a kind, a group, a description, and the orgs as partitions."""
    spec = defs.resolve_asset_graph().get(dg.AssetKey(asset))

    assert spec.owners == ["team:leadscore"]
    assert spec.kinds
    assert spec.group_name == "leadscore"
    assert spec.description
    assert spec.partitions_def == dg.DynamicPartitionsDefinition(name="orgs")
