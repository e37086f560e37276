"""The lane records of each org what a run of `live_performance` records, and compares the orgs in the end."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from leadscore_assets.assets.live_performance import ProofConfig
from leadscore_assets.definitions import build_defs
from leadscore_assets.lanes.proof import proof_config
from tests.leadscore_assets.run_results import check, data_version, metadata_of
from tests.leadscore_assets.scored_org import DAY, NOW, ORG, Scored


@pytest.fixture
def served(scored: Scored) -> Scored:
    """Give an org whose leads were scored when some of them were young enough to be mature at NOW."""
    for days in range(-130, -90, 10):
        scored.score(days=days)
    return scored


def run(scored: Scored, instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    job = build_defs(scored.settings).resolve_job_def("judge_scores")
    run_config = proof_config(**{"as_of": NOW.isoformat(), **config})
    return job.execute_in_process(instance=instance, run_config=run_config, raise_on_error=False)


def materialize(scored: Scored) -> dg.ExecuteInProcessResult:
    job = build_defs(scored.settings).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("orgs", [ORG])
        return job.execute_in_process(
            instance=instance,
            partition_key=ORG,
            asset_selection=[dg.AssetKey("live_performance")],
            run_config={"ops": {"live_performance": {"config": {"as_of": NOW.isoformat()}}}},
        )


def test_each_org_is_recorded_as_by_a_run_of_its_own(served: Scored, instance: dg.DagsterInstance) -> None:
    alone = materialize(served)
    assert run(served, instance).success
    [by_lane] = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey("live_performance"), asset_partitions=[ORG]), limit=10
    ).records
    assert by_lane.asset_materialization is not None
    assert (by_lane.asset_materialization.tags or {})["dagster/data_version"] == data_version(alone, "live_performance")
    shown = {name: value.value for name, value in by_lane.asset_materialization.metadata.items()}
    assert shown == metadata_of(alone, "live_performance")
    assert shown["state"] == "too_young"
    assert shown["dagster/row_count"] == served.value("SELECT count(DISTINCT lead_id) FROM leadscore.judged_score")
    key = dg.AssetCheckKey(dg.AssetKey("live_performance"), "came_true")
    [record] = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert (record.partition, record.status.value) == (ORG, "SUCCEEDED")


def test_an_alarm_warns_in_the_orgs_check(served: Scored, instance: dg.DagsterInstance) -> None:
    """What was said of a converted lead is 0.02 afterwards, and 0.98 of the others."""
    served.connection.execute(
        "UPDATE leadscore.lead_score_history AS said"
        " SET probability = CASE WHEN lead.is_converted THEN 0.02 ELSE 0.98 END"
        " FROM leadscore.lead_outcomes(%s, 400, 90, '{WON}', '{LOST}', false, '{0,1,3,7,14,30,60}', 'UTC') AS lead"
        " WHERE lead.org_id = said.org_id AND lead.lead_id = said.lead_id",
        [NOW.replace(tzinfo=None)],
    )
    run(served, instance)
    key = dg.AssetCheckKey(dg.AssetKey("live_performance"), "came_true")
    [record] = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert record.event is not None
    evaluation = record.event.dagster_event.asset_check_evaluation_data  # type: ignore[union-attr]
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(evaluation.description).startswith("What was promised does not come true. Of the leads created since ")
    assert "Nothing is rolled back by itself" in str(evaluation.description)
    assert evaluation.metadata["state"].value == "alarm"


def test_what_arrives_is_recorded_in_the_check_of_the_scores(served: Scored, instance: dg.DagsterInstance) -> None:
    run(served, instance)
    key = dg.AssetCheckKey(dg.AssetKey("lead_scores"), "inputs_as_learned")
    [record] = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert (record.partition, record.status.value) == (ORG, "SUCCEEDED")
    assert record.event is not None
    evaluation = record.event.dagster_event.asset_check_evaluation_data  # type: ignore[union-attr]
    assert evaluation.description == served.value("SELECT in_words FROM leadscore.live_inputs")
    assert evaluation.metadata["days"].value == 4


def test_an_org_that_was_never_scored_passes_and_says_so(scored: Scored, instance: dg.DagsterInstance) -> None:
    assert run(scored, instance).success
    assert scored.value("SELECT in_words FROM leadscore.live_performance") == "No lead of the org was scored yet."


def test_scores_that_are_too_old_are_removed_by_the_first_shard(served: Scored, instance: dg.DagsterInstance) -> None:
    run(served, instance)
    served.connection.execute(
        "UPDATE leadscore.judged_score SET created_at = %s", [(NOW - 401 * DAY).replace(tzinfo=None)]
    )
    run(served, instance, shard=1, shards=2)
    assert served.value("SELECT count(*) FROM leadscore.judged_score") > 0
    run(served, instance, shard=0, shards=2)
    assert served.value("SELECT count(*) FROM leadscore.judged_score") == 0


def test_the_log_says_how_the_orgs_stand(
    served: Scored, instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    run(served, instance)
    assert "0 of 1 orgs are on the list of those to look at." in capfd.readouterr().err


def test_the_check_asked_by_hand_says_what_is_stored(served: Scored) -> None:
    job = build_defs(served.settings).resolve_implicit_global_asset_job_def()
    materialize(served)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("orgs", [ORG])
        result = job.execute_in_process(
            instance=instance,
            partition_key=ORG,
            asset_selection=[dg.AssetKey("live_performance")],
            run_config={"ops": {"live_performance": {"config": {"as_of": NOW.isoformat()}}}},
        )
        assert check(result, "came_true").passed


def test_a_time_to_come_is_refused(scored: Scored) -> None:
    with pytest.raises(Exception, match="as_of must be a past time"):
        ProofConfig(as_of="2999-01-01").window(scored.settings)
