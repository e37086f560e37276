"""A check that a lane records is one of the materialization that the lane records, whichever lane it is."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
from sqlalchemy.event import listen

from leadscore_assets.definitions import build_defs
from leadscore_assets.lanes.events import keep_a_connection
from leadscore_assets.lanes.proof import proof_config
from leadscore_assets.lanes.scoring import shard_config
from tests.leadscore_assets.scored_org import NOW, ORG, Scored


@pytest.mark.parametrize(
    ("job", "config", "checks"),
    [
        ("score_open_leads", shard_config, {"scores_are_fresh"}),
        ("judge_scores", proof_config, {"came_true", "features_as_computed", "inputs_as_learned"}),
    ],
)
def test_no_check_of_a_lane_is_older_than_its_materialization(
    scored: Scored, instance: dg.DagsterInstance, job: str, config: Any, checks: set[str]
) -> None:
    lane = build_defs(scored.settings).resolve_job_def(job)
    for _ in range(2):
        assert lane.execute_in_process(instance=instance, run_config=config(as_of=NOW.isoformat())).success
    graph = build_defs(scored.settings).resolve_asset_graph()
    keys = [key for key in graph.asset_check_keys if key.name in checks]
    infos = [
        info for info in instance.event_log_storage.get_asset_check_partition_info(keys) if info.partition_key == ORG
    ]
    assert {info.check_key.name for info in infos} == checks
    assert [info.check_key.name for info in infos if not info.is_current] == []


def test_many_events_share_a_connection(postgres_instance: dg.DagsterInstance) -> None:
    """Dagster's storage makes one for each query, unless it is told to keep one."""
    made: list[object] = []
    event_log: Any = postgres_instance.event_log_storage
    keep_a_connection(postgres_instance)
    listen(event_log._engine, "connect", lambda *_: made.append(1))
    for number in range(5):
        postgres_instance.report_runless_asset_event(dg.AssetMaterialization("lead_scores", partition=str(number)))
    assert len(made) <= 2
