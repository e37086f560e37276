"""What all assets have in common."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from leadscore.run_tags import ASKER_TAG, ORG_TAG
from leadscore_assets.assets.org_asset import org_asset

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


def test_a_run_that_nobody_tagged_is_tagged_with_its_org_and_dagsters_ui(
    train: Any, instance: dg.DagsterInstance
) -> None:
    run = instance.get_run_by_id(train("small", only=["conversion_records"]).run_id)
    assert run is not None
    assert {ORG_TAG: "small", ASKER_TAG: "Dagster UI"}.items() <= run.tags.items()


def test_the_asker_of_a_run_stays_who_asked_for_it() -> None:
    with dg.DagsterInstance.ephemeral() as instance:

        @org_asset("data", {"python"})
        def probe(context):  # Dagster does not read an annotation that is a text
            """Do nothing."""

        instance.add_dynamic_partitions("orgs", ["acme"])
        tags = {ASKER_TAG: "schedule"}
        result = dg.materialize([probe], instance=instance, partition_key="acme", tags=tags)
        run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[ASKER_TAG] == "schedule"
