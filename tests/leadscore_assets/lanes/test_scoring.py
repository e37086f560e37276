"""The lane records of each org what a run of its own records, and an org that fails harms no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DataProvenance

from leadscore.pooling import POOLED
from leadscore_assets.definitions import build_defs
from leadscore_assets.lanes import scoring
from leadscore_assets.lanes.scoring import shard_config
from leadscore_assets.scoring.score_org import Scoring, score_org
from tests.leadscore_assets.assets.test_lead_scores import materialize
from tests.leadscore_assets.run_results import data_version, metadata_of
from tests.leadscore_assets.scored_org import NOW, ORG, Scored

SOUTH = "south"
COPY_ORG = """
INSERT INTO dossier (id, org_id, status, created_at, updated_at)
SELECT id + 1000000, 'south', 'NEW', created_at, updated_at FROM dossier WHERE id %% 20 = 0
"""


@pytest.fixture
def two_orgs(scored: Scored) -> Scored:
    """Give a CRM with a second org, which no model serves."""
    scored.connection.execute(COPY_ORG.replace("%%", "%").encode())
    return scored


def run(scored: Scored, instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    job = build_defs(scored.settings).resolve_job_def("score_open_leads")
    run_config = shard_config(**{"as_of": NOW.isoformat(), **config})
    return job.execute_in_process(instance=instance, run_config=run_config, raise_on_error=False)


def recorded(instance: dg.DagsterInstance, org_id: str) -> dg.AssetMaterialization:
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey("lead_scores"), asset_partitions=[org_id]), limit=1
    ).records
    materialization = records[0].asset_materialization
    assert materialization is not None
    return materialization


def test_each_org_is_recorded_as_by_a_run_of_its_own(two_orgs: Scored, instance: dg.DagsterInstance) -> None:
    alone = materialize(two_orgs.settings)
    result = run(two_orgs, instance)
    assert result.success
    by_lane = recorded(instance, ORG)
    assert (by_lane.tags or {})["dagster/data_version"] == data_version(alone, "lead_scores")
    assert (by_lane.tags or {})["dagster/input_data_version/active_model"] == two_orgs.model.name
    shown = {name: value.value for name, value in by_lane.metadata.items()}
    expected = metadata_of(alone, "lead_scores")
    assert shown.keys() == expected.keys() - {"first_calls"}
    assert {name for name in shown if shown[name] != expected[name]} == {"rescored", "changed_rows"}
    assert recorded(instance, SOUTH).metadata["version"].value == "none"
    assert (recorded(instance, SOUTH).tags or {})["dagster/input_data_version/active_model"] == "none"


def test_dagster_knows_what_the_scores_were_made_from(two_orgs: Scored, instance: dg.DagsterInstance) -> None:
    """Otherwise it shows each org as stale, because of a "new dependency", however fresh its scores are."""
    run(two_orgs, instance)
    provenance = DataProvenance.from_tags(recorded(instance, ORG).tags or {})
    assert provenance is not None
    assert provenance.has_input_asset(dg.AssetKey("active_model"))


def test_the_check_of_each_org_passes(two_orgs: Scored, instance: dg.DagsterInstance) -> None:
    run(replace(two_orgs, settings=replace(two_orgs.settings, as_of=NOW)), instance)
    key = dg.AssetCheckKey(dg.AssetKey("lead_scores"), "scores_are_fresh")
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert {record.partition for record in history} == {ORG, SOUTH}
    assert {record.status.value for record in history} == {"SUCCEEDED"}


def test_scores_of_long_ago_do_not_pass_for_fresh(two_orgs: Scored, instance: dg.DagsterInstance) -> None:
    run(two_orgs, instance, org_ids=[ORG])
    key = dg.AssetCheckKey(dg.AssetKey("lead_scores"), "scores_are_fresh")
    [record] = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert (record.partition, record.status.value) == (ORG, "FAILED")


def test_the_model_that_scored_is_recorded_whatever_serves_by_then(
    scored: Scored, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scored.model.name

    def then_another_is_activated(*arguments: Any) -> Scoring:
        found = score_org(*arguments)
        scored.train_another()
        return found

    monkeypatch.setattr(scoring, "score_org", then_another_is_activated)
    run(scored, instance)
    assert (recorded(instance, ORG).tags or {})["dagster/input_data_version/active_model"] == first != scored.model.name


def test_an_org_that_left_the_crm_loses_its_scores(two_orgs: Scored, instance: dg.DagsterInstance) -> None:
    run(two_orgs, instance)
    two_orgs.connection.execute("DELETE FROM dossier WHERE org_id = %s", [ORG])
    run(two_orgs, instance)
    assert two_orgs.value("SELECT count(*) FROM leadscore.lead_score") == 0
    assert POOLED not in {org_id for (org_id,) in two_orgs.rows("SELECT org_id FROM leadscore.scoring_run")}


def test_months_behind_the_history_are_dropped_by_the_first_shard(
    two_orgs: Scored, instance: dg.DagsterInstance
) -> None:
    two_orgs.score(days=-700)
    run(two_orgs, instance, shard=1, shards=2)
    assert two_orgs.value("SELECT to_regclass('leadscore.lead_score_history_2024_07') IS NOT NULL")
    run(two_orgs, instance, shard=0, shards=2)
    assert two_orgs.value("SELECT to_regclass('leadscore.lead_score_history_2024_07') IS NULL")
    # until then, it was the newest of its org
    assert two_orgs.value("SELECT count(*) FROM leadscore.scoring_run WHERE as_of < %s", NOW) == 1
    run(two_orgs, instance, shard=0, shards=2)
    assert two_orgs.value("SELECT count(*) FROM leadscore.scoring_run WHERE as_of < %s", NOW) == 0
