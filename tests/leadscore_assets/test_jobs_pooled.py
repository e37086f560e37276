"""The pooled model is trained as an org's is, from the leads of all orgs, and only when the setting asks for it."""

from __future__ import annotations

from typing import Any

from leadscore.pooling import POOLED
from leadscore.records import window_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.resources import Crm
from tests.leadscore_assets.run_results import metadata_of

ASSETS = {"conversion_records", "lead_features", "trained_model", "evaluation", "active_model"}
ORGS = ["one-class", "small", "sound"]


def test_the_pool_is_trained_judged_and_activated_as_an_org_is(train: Any, pooled_settings: Settings) -> None:
    result = train(POOLED, settings=pooled_settings)

    assert result.success
    assert {event.asset_key.path[-1] for event in result.get_asset_materialization_events()} == ASSETS
    registry = Registry(pooled_settings.model_path)
    active = registry.active(POOLED)
    artifact = registry.load(POOLED, active.version, active.manifest_sha256)
    singles = [Crm(pooled_settings).conversion_records(org_id, window_from(pooled_settings)).counts for org_id in ORGS]
    assert artifact.manifest.counts.records == sum(counts.records for counts in singles)
    assert metadata_of(result, "conversion_records")["excluded_leads"] == sum(
        sum(counts.excluded.values()) for counts in singles
    )
    assert artifact.base_values is not None
    assert list(artifact.base_values.orgs) == ORGS
    assert artifact.base_values.orgs["one-class"] < artifact.scorer.base_value < artifact.base_values.orgs["sound"]
