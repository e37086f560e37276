"""Removes old history from Dagster's own tables: steps and messages of runs, events of assets, checks, and runs.

Dagster's own retention covers ticks alone, and its API deletes a run with all that it materialized, or one event at a
time. So this is SQL on the tables of the release that is pinned, and a test holds what is used of them.

What Dagster's pages show of an asset, a partition or a check is its newest event of each kind, so that one always
stays, and the run that it is of. Nothing of a run that has not ended is touched. Each chunk is a transaction of its
own, and what is interrupted goes on with the next removal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from leadscore.records import crm_time
from leadscore_assets.retention.removed import Removed, total
from leadscore_assets.source.database import Connection, explaining

ROWS_PER_CHUNK = 20_000
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
# a check's result is in the table of checks, too, from which the pages of assets and checks read it
CHECK_EVENTS = ("ASSET_CHECK_EVALUATION", "ASSET_CHECK_EVALUATION_PLANNED")
REMEDY = "Look at the release of Dagster that made its tables, and at the rights of DB_USER in the schema dagster."

HAS_TABLES = "SELECT to_regclass('dagster.event_logs') IS NOT NULL"
NEXT_EVENTS = """
SELECT max(id), min("timestamp") FROM (
    SELECT id, "timestamp" FROM dagster.event_logs WHERE id > %(after)s ORDER BY id LIMIT %(limit)s
) AS chunk
"""
REMOVE_EVENTS = """
WITH
gone AS (
    DELETE FROM dagster.event_logs AS event
    WHERE event.id > %(after)s AND event.id <= %(until)s
        AND event."timestamp" < CASE
            WHEN event.dagster_event_type = ANY (%(check_events)s) THEN %(daily_before)s::timestamp
            WHEN event.asset_key IS NULL THEN %(logs_before)s::timestamp
            WHEN event.asset_key = ANY (%(daily_assets)s) THEN %(daily_before)s::timestamp
            ELSE %(events_before)s::timestamp
        END
        AND NOT EXISTS (
            SELECT FROM dagster.runs AS run WHERE run.run_id = event.run_id AND run.status <> ALL (%(ended)s)
        )
        AND CASE
            WHEN event.asset_key IS NULL THEN true
            WHEN event.partition IS NULL THEN EXISTS (
                SELECT FROM dagster.event_logs AS newer
                WHERE newer.asset_key = event.asset_key AND newer.dagster_event_type = event.dagster_event_type
                    AND newer.partition IS NULL AND newer.id > event.id
            )
            ELSE EXISTS (
                SELECT FROM dagster.event_logs AS newer
                WHERE newer.asset_key = event.asset_key AND newer.dagster_event_type = event.dagster_event_type
                    AND newer.partition = event.partition AND newer.id > event.id
            )
        END
    RETURNING event.id, event.asset_key IS NOT NULL AS is_of_asset, pg_column_size(event.*) AS bytes
),
gone_tags AS (
    DELETE FROM dagster.asset_event_tags AS tag USING gone WHERE tag.event_id = gone.id AND gone.is_of_asset
)
SELECT
    count(*) FILTER (WHERE NOT is_of_asset), coalesce(sum(bytes) FILTER (WHERE NOT is_of_asset), 0),
    count(*) FILTER (WHERE is_of_asset), coalesce(sum(bytes) FILTER (WHERE is_of_asset), 0)
FROM gone
"""
NEWEST_CHECKS = "SELECT max(id) FROM dagster.asset_check_executions GROUP BY asset_key, check_name, partition"
NEXT_CHECKS = """
SELECT max(id), min(create_timestamp) FROM (
    SELECT id, create_timestamp FROM dagster.asset_check_executions WHERE id > %(after)s ORDER BY id LIMIT %(limit)s
) AS chunk
"""
# of a planned check the time of its result is not known
REMOVE_CHECKS = """
WITH gone AS (
    DELETE FROM dagster.asset_check_executions AS execution
    WHERE id > %(after)s AND id <= %(until)s AND id <> ALL (%(newest)s)
        AND coalesce(evaluation_event_timestamp, create_timestamp) < CASE
            WHEN asset_key = ANY (%(daily_assets)s) THEN %(daily_before)s::timestamp
            ELSE %(events_before)s::timestamp
        END
        AND NOT EXISTS (
            SELECT FROM dagster.runs AS run WHERE run.run_id = execution.run_id AND run.status <> ALL (%(ended)s)
        )
    RETURNING pg_column_size(execution.*) AS bytes
)
SELECT count(*), coalesce(sum(bytes), 0) FROM gone
"""
# the newest checks name their runs, too
REMOVE_RUNS = """
WITH
old AS (
    SELECT id FROM dagster.runs AS run
    WHERE status = ANY (%(ended)s) AND update_timestamp < %(events_before)s::timestamp
        AND NOT EXISTS (SELECT FROM dagster.event_logs AS event WHERE event.run_id = run.run_id)
        AND NOT EXISTS (SELECT FROM dagster.asset_check_executions AS execution WHERE execution.run_id = run.run_id)
    LIMIT %(limit)s
),
gone AS (
    DELETE FROM dagster.runs AS run USING old WHERE run.id = old.id RETURNING pg_column_size(run.*) AS bytes
)
SELECT count(*), coalesce(sum(bytes), 0) FROM gone
"""


class Before(NamedTuple):
    """Until when what is kept no longer: steps and messages, events of `daily_assets`, and those of the others."""

    logs: datetime
    daily_events: datetime
    events: datetime
    daily_assets: Collection[str]

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the statements: Dagster's times have no zone, and are in UTC."""
        return {
            "logs_before": crm_time(self.logs),
            "daily_before": crm_time(max(self.daily_events, self.events)),
            "events_before": crm_time(self.events),
            "daily_assets": [msgspec.json.encode([name]).decode() for name in self.daily_assets],
            "check_events": list(CHECK_EVENTS),
            "ended": list(ENDED),
            "limit": ROWS_PER_CHUNK,
        }


def has_dagster_tables(connection: Connection) -> bool:
    """Return whether Dagster keeps its history in this database. Raises DatabaseUnavailable."""
    with explaining("looking for Dagster's tables", REMEDY), connection.transaction():
        return connection.execute(HAS_TABLES).fetchone() == (True,)


def remove_old_events(connection: Connection, before: Before) -> list[Removed]:
    """Remove old steps and messages of runs, and old events of assets but the newest of each kind and partition.

    Raises SourceMismatch when Dagster's tables are other ones, DatabaseUnavailable.
    """
    with explaining("removing old events of Dagster", REMEDY):
        kept_since = max(before.logs, before.daily_events, before.events)
        chunks = list(_chunks(connection, NEXT_EVENTS, REMOVE_EVENTS, before.parameters, crm_time(kept_since)))
    return [
        total("steps and messages of runs", ((row[0], row[1]) for row in chunks)),
        total("events of assets", ((row[2], row[3]) for row in chunks)),
    ]


def remove_old_checks(connection: Connection, before: Before) -> Removed:
    """Remove old results of checks but the newest of each check and partition.

    Raises SourceMismatch when Dagster's tables are other ones, DatabaseUnavailable.
    """
    with explaining("removing old checks of Dagster", REMEDY):
        with connection.transaction():
            newest = [row[0] for row in connection.execute(NEWEST_CHECKS)]
        parameters = before.parameters | {"newest": newest}
        kept_since = crm_time(max(before.daily_events, before.events))
        chunks = list(_chunks(connection, NEXT_CHECKS, REMOVE_CHECKS, parameters, kept_since))
    return total("results of checks", ((row[0], row[1]) for row in chunks))


def remove_old_runs(connection: Connection, before: Before) -> Removed:
    """Remove old runs of which no event and no check is left; what goes with a run are its tags.

    Raises SourceMismatch when Dagster's tables are other ones, DatabaseUnavailable.
    """
    parts = list[tuple[int, int]]()
    with explaining("removing old runs of Dagster", REMEDY):
        while not parts or parts[-1][0] == ROWS_PER_CHUNK:
            with connection.transaction():
                rows: list[Any] = connection.execute(REMOVE_RUNS, before.parameters).fetchall()
            parts.append((int(rows[0][0]), int(rows[0][1])))
    return total("runs", parts)


def _chunks(
    connection: Connection, following: str, remove: str, parameters: dict[str, Any], kept_since: datetime
) -> Iterator[tuple[int, ...]]:
    """Yield what went of each chunk of rows, in the order of their ids, until all of a chunk's are kept."""
    after = 0
    while True:
        with connection.transaction():
            rows: list[Any] = connection.execute(following.encode(), parameters | {"after": after}).fetchall()
            [(until, begins_at)] = rows
            if until is None or begins_at >= kept_since:
                return
            of_chunk = parameters | {"after": after, "until": until}
            gone: list[Any] = connection.execute(remove.encode(), of_chunk).fetchall()
            yield tuple(int(value) for value in gone[0])
        after = until
