"""The result of a check is one of the materialization that its partition has by then."""

from __future__ import annotations

import dagster as dg

from leadscore_assets.last_materialization import last_materialization, of_last_materialization

KEY = dg.AssetKey("lead_scores")
CHECK = dg.AssetCheckEvaluation(
    asset_key=KEY, check_name="probe", passed=False, metadata={"leads": 3}, description="why", partition="acme"
)


def test_a_partition_without_a_materialization_has_no_target() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert last_materialization(instance, KEY, "acme") is None
        assert of_last_materialization(instance, CHECK) == CHECK


def test_the_target_is_the_last_of_the_partition_and_the_rest_stays() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        for org_id in ("acme", "acme", "other"):
            instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=org_id))
        of_acme = dg.AssetRecordsFilter(KEY, asset_partitions=["acme"])
        [last] = instance.fetch_materializations(of_acme, limit=1).records
        found = of_last_materialization(instance, CHECK)
    assert found.target_materialization_data is not None
    assert found.target_materialization_data.storage_id == last.storage_id
    assert (found.check_name, found.passed, found.partition, found.description) == ("probe", False, "acme", "why")
    assert found.metadata == CHECK.metadata
