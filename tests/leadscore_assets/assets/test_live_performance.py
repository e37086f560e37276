"""live_performance: one org's proof as Dagster shows it; the lane's tests compare it with what the lane records."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
import pytest

from leadscore.errors import InvalidInput
from leadscore.pooling import POOLED
from leadscore_assets.assets.live_performance import ProofConfig
from leadscore_assets.definitions import build_defs
from tests.leadscore_assets.run_results import check, metadata_of
from tests.leadscore_assets.scored_org import NOW, ORG, Scored


def materialize(scored: Scored, org_id: str = ORG) -> dg.ExecuteInProcessResult:
    job = build_defs(replace(scored.settings, as_of=NOW)).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("orgs", [org_id])
        return job.execute_in_process(
            instance=instance, partition_key=org_id, asset_selection=[dg.AssetKey("live_performance")]
        )


def test_the_partition_says_what_came_true(scored: Scored) -> None:
    for days in (-110, -100):
        scored.score(days=days)
    result = materialize(scored)
    shown = metadata_of(result, "live_performance")
    leads = scored.value("SELECT count(DISTINCT lead_id) FROM leadscore.judged_score")
    assert (shown["dagster/row_count"], shown["state"]) == (leads, "too_young")
    assert f" of {leads} leads converted (" in shown["came_true"]
    assert sum(record.data["leads"] for record in shown["by_grade"].records) == leads
    assert shown["page"].endswith(f"/orgs/{ORG}")
    assert check(result, "came_true").passed


def test_the_pooled_model_has_no_leads_of_its_own(scored: Scored) -> None:
    assert "partitions of their orgs" in metadata_of(materialize(scored, POOLED), "live_performance")["note"]
    assert scored.rows("SELECT * FROM leadscore.live_performance") == []


def test_a_time_to_come_is_refused(scored: Scored) -> None:
    with pytest.raises(InvalidInput, match="as_of must be a past time"):
        ProofConfig(as_of="2999-01-01").window(scored.settings)
