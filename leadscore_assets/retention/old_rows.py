"""Removes rows of ours that nothing needs any more: stored records, ended trainings, evidence of forgotten versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import sql

from leadscore_assets.retention.removed import Removed, total
from leadscore_assets.source.database import TABLES_LOCK, Connection, explaining
from leadscore_assets.source.tables import ASSETS_WITH_ROWS, REMEDY

OLD_RECORDS = """
SELECT asset, org_id FROM leadscore.materializations
WHERE asset = ANY (%(assets)s) AND stored_at < %(before)s AND rows_removed_at IS NULL
ORDER BY asset, org_id
"""
# a training may have stored others meanwhile
MARK_RECORDS = """
UPDATE leadscore.materializations SET rows_removed_at = %(now)s
WHERE asset = %(asset)s AND org_id = %(org_id)s AND stored_at < %(before)s
"""
REMOVE_RECORDS = """
WITH gone AS (DELETE FROM {table} AS stored WHERE org_id = %(org_id)s RETURNING pg_column_size(stored.*) AS bytes)
SELECT count(*), coalesce(sum(bytes), 0) FROM gone
"""
REMOVE_TRAININGS = """
WITH gone AS (
    DELETE FROM leadscore.ended_training AS training
    WHERE ended_at < %(before)s AND EXISTS (
        SELECT FROM leadscore.ended_training AS newer
        WHERE newer.org_id = training.org_id AND newer.ended_at > training.ended_at
    )
    RETURNING pg_column_size(training.*) AS bytes
)
SELECT count(*), coalesce(sum(bytes), 0) FROM gone
"""
REMOVE_BATCHES = """
WITH gone AS (
    DELETE FROM leadscore.training_batch AS batch
    WHERE asked_at < %(before)s
        AND NOT EXISTS (SELECT FROM leadscore.due_training AS due WHERE due.batch_id = batch.batch_id)
        AND NOT EXISTS (SELECT FROM leadscore.ended_training AS training WHERE training.batch_id = batch.batch_id)
    RETURNING pg_column_size(batch.*) AS bytes
)
SELECT count(*), coalesce(sum(bytes), 0) FROM gone
"""
# their scores are gone, too, and evidence is about scores; '' is the org's own, over all of its versions
REMOVE_EVIDENCE = """
WITH
judged AS MATERIALIZED (
    SELECT org_id, model_version FROM leadscore.judged_score
    UNION SELECT org_id, held_version FROM leadscore.judged_score
    UNION SELECT org_id, previous_version FROM leadscore.judged_score
),
gone AS (
    DELETE FROM leadscore.live_evidence AS evidence
    WHERE model_version <> '' AND model_version < to_char(%(before)s, 'YYYYMMDDHH24MISS') AND NOT EXISTS (
        SELECT FROM judged WHERE judged.org_id = evidence.org_id AND judged.model_version = evidence.model_version
    )
    RETURNING pg_column_size(evidence.*) AS bytes
)
SELECT count(*), coalesce(sum(bytes), 0) FROM gone
"""


def remove_old_records(connection: Connection, before: datetime, now: datetime) -> Removed:
    """Remove the rows of `conversion_records` and `lead_features` that were stored before that moment.

    Whoever loads them is told so, and what to materialize again. Raises SourceMismatch, DatabaseUnavailable.
    """
    with explaining("looking for old records", REMEDY), connection.transaction():
        old: list[Any] = connection.execute(
            OLD_RECORDS, {"assets": list(ASSETS_WITH_ROWS), "before": before}
        ).fetchall()
    with explaining("removing old records", REMEDY):
        parts = [_remove_records(connection, asset, org_id, before, now) for asset, org_id in old]
    return total("rows of records", parts)


def _remove_records(
    connection: Connection, asset: str, org_id: str, before: datetime, now: datetime
) -> tuple[int, int]:
    parameters = {"asset": asset, "org_id": org_id, "before": before, "now": now}
    with connection.transaction():
        # as whoever stores rows of the org does
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [org_id, TABLES_LOCK])
        if not connection.execute(MARK_RECORDS, parameters).rowcount:
            return 0, 0
        statement = sql.SQL(REMOVE_RECORDS).format(table=sql.Identifier("leadscore", asset))
        return _count_and_bytes(connection, statement, parameters)


def remove_old_trainings(connection: Connection, before: datetime) -> Removed:
    """Remove the trainings that ended before that moment, but the newest of each org."""
    return _removed(connection, "ended trainings", REMOVE_TRAININGS, before)


def remove_old_batches(connection: Connection, before: datetime) -> Removed:
    """Remove what was asked for before that moment, once none of its trainings is due or left."""
    return _removed(connection, "batches of trainings", REMOVE_BATCHES, before)


def remove_old_evidence(connection: Connection, before: datetime) -> Removed:
    """Remove the evidence of versions from before that moment of which no judged score is left."""
    return _removed(connection, "rows of evidence", REMOVE_EVIDENCE, before)


def _removed(connection: Connection, what: str, statement: str, before: datetime) -> Removed:
    with explaining(f"removing old {what}", REMEDY), connection.transaction():
        return Removed(what, *_count_and_bytes(connection, statement.encode(), {"before": before}))


def _count_and_bytes(
    connection: Connection, statement: bytes | sql.Composed, parameters: dict[str, object]
) -> tuple[int, int]:
    rows: list[Any] = connection.execute(statement, parameters).fetchall()
    return int(rows[0][0]), int(rows[0][1])
