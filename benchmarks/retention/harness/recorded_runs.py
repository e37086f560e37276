"""What real runs of one org store in Dagster's tables, kept as templates from which years for many orgs are made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from leadscore.settings import Settings
from leadscore_assets.definitions import build_defs
from leadscore_assets.lanes.proof import proof_config
from leadscore_assets.lanes.scoring import shard_config
from leadscore_assets.lanes.training import training_config
from leadscore_assets.source.database import Connection, connect
from standalone.crm import create_tables
from standalone.orgs import equal_orgs
from standalone.simulator import into_database, simulate

ORG = "org-00001"
LEADS = 1_500
MESSAGES_PER_LEAD = 8.0
SEED = 7
OF_AN_ORG = ("ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION")

# an event is of the org, or of the run
KEEP = """
CREATE SCHEMA recorded;
CREATE TABLE recorded.runs AS SELECT %(kind)s::text AS kind, * FROM dagster.runs WHERE false;
CREATE TABLE recorded.run_tags AS SELECT ''::text AS kind, key, value FROM dagster.run_tags WHERE false;
CREATE TABLE recorded.events AS
    SELECT ''::text AS kind, false AS is_of_org, id, run_id, event, dagster_event_type, step_key, asset_key, partition
    FROM dagster.event_logs WHERE false;
CREATE TABLE recorded.tags AS
    SELECT ''::text AS kind, asset_key, key, value FROM dagster.asset_event_tags WHERE false;
CREATE TABLE recorded.checks AS
    SELECT ''::text AS kind, asset_key, check_name, run_id, execution_status, evaluation_event
    FROM dagster.asset_check_executions WHERE false;
"""
KEEP_RUN = """
INSERT INTO recorded.runs SELECT %(kind)s, * FROM dagster.runs WHERE run_id = %(run_id)s;
INSERT INTO recorded.run_tags SELECT %(kind)s, key, value FROM dagster.run_tags WHERE run_id = %(run_id)s;
INSERT INTO recorded.events
    SELECT
        %(kind)s, dagster_event_type = ANY (%(of_an_org)s) OR (dagster_event_type IS NULL AND event LIKE %(names_org)s),
        id, run_id, event, dagster_event_type, step_key, asset_key, partition
    FROM dagster.event_logs WHERE run_id = %(run_id)s;
INSERT INTO recorded.tags
    SELECT %(kind)s, tag.asset_key, key, value FROM dagster.asset_event_tags AS tag
    JOIN dagster.event_logs AS event ON event.id = tag.event_id WHERE event.run_id = %(run_id)s;
INSERT INTO recorded.checks
    SELECT %(kind)s, asset_key, check_name, run_id, execution_status, evaluation_event
    FROM dagster.asset_check_executions WHERE run_id = %(run_id)s;
"""
FORGET = """
TRUNCATE dagster.event_logs, dagster.asset_event_tags, dagster.asset_check_executions;
DELETE FROM dagster.runs;
UPDATE dagster.asset_keys SET cached_status_data = NULL, last_run_id = NULL;
"""


def record_runs(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Train, score and judge an org by real runs, keep what they stored as templates, and forget the runs.

    The kinds are `train`, `score` and `judge`.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    with connect(settings) as connection:
        create_tables(connection)
        into_database(connection, simulate(equal_orgs(1, LEADS, MESSAGES_PER_LEAD), seed=SEED, now=now))
        connection.execute(KEEP.encode(), {"kind": ""})
        instance.add_dynamic_partitions("orgs", [ORG])
        for kind, job, arguments in _runs(now):
            result = build_defs(settings).resolve_job_def(job).execute_in_process(instance=instance, **arguments)
            _keep(connection, kind, result.run_id)
        connection.execute(FORGET)


def _runs(now: datetime) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the runs: the first training has no version to be compared with, so the second is kept."""
    trainings = [
        (kind, "train_orgs", {"run_config": training_config(org_ids=[ORG], as_of=as_of.isoformat())})
        for kind, as_of in (("first", now - timedelta(days=90)), ("train", now - timedelta(days=1)))
    ]
    return [
        *trainings,
        ("score", "score_open_leads", {"run_config": shard_config(org_ids=[ORG])}),
        ("judge", "judge_scores", {"run_config": proof_config(org_ids=[ORG])}),
    ]


def _keep(connection: Connection, kind: str, run_id: str) -> None:
    parameters = {"kind": kind, "run_id": run_id, "of_an_org": list(OF_AN_ORG), "names_org": f"%{ORG}%"}
    connection.execute(KEEP_RUN.encode(), parameters)
