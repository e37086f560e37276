"""Years of runs for many orgs in Dagster's tables, made of recorded ones by SQL, with the retention in between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import psycopg

from benchmarks.retention.harness.recorded_runs import ORG
from leadscore.records import crm_time
from leadscore.settings import Settings
from leadscore_assets.retention import dagster_history
from leadscore_assets.retention.dagster_history import Before
from leadscore_assets.source.database import Connection

DAY = timedelta(days=1)
DAILY = ("score", "judge")
DAILY_ASSETS = ("lead_scores", "live_performance", "retention")
HISTORY_TABLES = ("event_logs", "asset_check_executions", "asset_event_tags", "runs", "run_tags")

ORGS = """
CREATE TABLE recorded.orgs AS
SELECT 'org-' || lpad(number::text, 5, '0') AS org_id, number %% %(shards)s AS shard
FROM generate_series(1, %(orgs)s) AS number
"""
# a run of each shard, with the events of the run itself and of each of its orgs
PASS = """
CREATE TEMP TABLE made ON COMMIT DROP AS
SELECT shard, gen_random_uuid()::text AS run_id FROM (SELECT DISTINCT shard FROM recorded.orgs) AS shards;

INSERT INTO dagster.runs (
    run_id, snapshot_id, pipeline_name, mode, status, run_body, partition, partition_set, create_timestamp,
    update_timestamp, start_time, end_time
)
SELECT
    made.run_id, recorded.snapshot_id, %(job)s, mode, status, replace(run_body, recorded.run_id, made.run_id), NULL,
    NULL, %(at)s, %(at)s, extract(epoch FROM %(at)s::timestamp), extract(epoch FROM %(at)s::timestamp) + 60
FROM recorded.runs AS recorded CROSS JOIN made WHERE kind = %(kind)s;

INSERT INTO dagster.run_tags (run_id, key, value)
SELECT made.run_id, key, value FROM recorded.run_tags CROSS JOIN made
WHERE kind = %(kind)s AND key NOT LIKE 'dagster/partition%%';

INSERT INTO dagster.event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
SELECT
    made.run_id, replace(recorded.event, recorded.run_id, made.run_id), dagster_event_type, %(at)s, step_key, asset_key,
    partition
FROM recorded.events AS recorded CROSS JOIN made
WHERE kind = %(kind)s AND NOT is_of_org ORDER BY made.run_id, recorded.id;

WITH made_events AS (
    INSERT INTO dagster.event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
    SELECT
        made.run_id, replace(replace(recorded.event, recorded.run_id, made.run_id), %(org)s, orgs.org_id),
        dagster_event_type, %(at)s, step_key, asset_key, CASE WHEN partition IS NOT NULL THEN orgs.org_id END
    FROM recorded.events AS recorded CROSS JOIN recorded.orgs JOIN made USING (shard)
    WHERE kind = %(kind)s AND is_of_org ORDER BY orgs.org_id, recorded.id
    RETURNING id, asset_key, partition, timestamp
)
INSERT INTO dagster.asset_event_tags (event_id, asset_key, key, value, event_timestamp)
SELECT id, made_events.asset_key, key, replace(value, %(org)s, partition), timestamp
FROM made_events JOIN recorded.tags ON tags.asset_key = made_events.asset_key AND tags.kind = %(kind)s;

INSERT INTO dagster.asset_check_executions (
    asset_key, check_name, partition, run_id, execution_status, evaluation_event, evaluation_event_timestamp,
    evaluation_event_storage_id, materialization_event_storage_id, create_timestamp
)
SELECT
    recorded.asset_key, check_name, orgs.org_id, made.run_id, execution_status,
    replace(replace(evaluation_event, recorded.run_id, made.run_id), %(org)s, orgs.org_id), %(at)s,
    currval('dagster.event_logs_id_seq'), currval('dagster.event_logs_id_seq'), %(at)s
FROM recorded.checks AS recorded CROSS JOIN recorded.orgs JOIN made USING (shard) WHERE kind = %(kind)s;
"""
SIZE = """
SELECT relname, pg_total_relation_size(class.oid), reltuples::bigint FROM pg_class AS class
JOIN pg_namespace AS schema ON schema.oid = relnamespace
WHERE nspname = 'dagster' AND relkind = 'r' ORDER BY 2 DESC
"""
JOBS = {"train": "train_orgs", "score": "score_open_leads", "judge": "judge_scores"}


class Size(NamedTuple):
    """What a table and its indexes take on the disk, and its rows."""

    table: str
    on_disk_bytes: int
    rows: int


def prepare(connection: Connection, orgs: int, shards: int) -> list[str]:
    """Make the table of the orgs, and return their ids."""
    connection.execute(ORGS.encode(), {"orgs": orgs, "shards": shards})
    return [str(org_id) for (org_id,) in connection.execute("SELECT org_id FROM recorded.orgs ORDER BY 1")]


def let_days_pass(
    connection: Connection, settings: Settings, first: datetime, days: int, *, every: int, daily_days: int
) -> Iterator[tuple[int, int]]:
    """Let each day have its runs, and on the first of a month the trainings; yield the days and the rows removed.

    The daily runs of the last `daily_days` are made. The retention runs every so many days, followed by a VACUUM, which
    PostgreSQL does by itself in real time.
    """
    for number in range(1, days + 1):
        now = first + number * DAY
        for kind in _kinds(now, is_daily=number > days - daily_days):
            _pass(connection, kind, now)
        if number % every == 0 or number == days:
            removed = _remove(connection, settings, now)
            for table in HISTORY_TABLES:
                connection.execute(f"VACUUM (ANALYZE) dagster.{table}".encode())
            yield number, removed


def _kinds(now: datetime, *, is_daily: bool) -> tuple[str, ...]:
    return (*(("train",) if now.day == 1 else ()), *(DAILY if is_daily else ()))


def sizes(connection: Connection) -> list[Size]:
    """Return what each table of Dagster takes, the largest first."""
    rows = connection.execute(SIZE).fetchall()
    return [Size(str(table), int(str(size)), int(str(count))) for table, size, count in rows]


def _pass(connection: Connection, kind: str, now: datetime) -> None:
    """Add a run of each shard."""
    parameters = {"kind": kind, "job": JOBS[kind], "at": crm_time(now), "org": ORG}
    with connection.transaction():
        psycopg.ClientCursor(connection).execute(PASS.encode(), parameters)


def _remove(connection: Connection, settings: Settings, now: datetime) -> int:
    before = Before(
        now - settings.keep_run_logs_days * DAY,
        now - settings.keep_daily_events_days * DAY,
        now - settings.keep_events_days * DAY,
        DAILY_ASSETS,
    )
    events = dagster_history.remove_old_events(connection, before)
    others = dagster_history.remove_old_checks(connection, before), dagster_history.remove_old_runs(connection, before)
    return sum(kind.items for kind in (*events, *others))
