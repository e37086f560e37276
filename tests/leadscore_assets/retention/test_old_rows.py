"""Rows of ours go when they are old, and whoever needs them is told what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leadscore.errors import RecordsRemoved, SourceMismatch
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.retention.old_rows import (
    remove_old_batches,
    remove_old_evidence,
    remove_old_records,
    remove_old_trainings,
)
from leadscore_assets.source import tables
from leadscore_assets.source.database import Connection, connect
from tests.leadscore_assets.made_rows import made_features

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def connection(database: Settings) -> Any:
    """Give a connection to our tables, which are empty."""
    set_up(database)
    with connect(database) as connection:
        yield connection


def store(connection: Connection, asset: str, org_id: str, days_ago: float) -> None:
    rows = made_features(leads=20).rows
    tables.store(connection, asset, org_id, run_id="run-1", info={"counts": 1}, rows=rows)
    with connection.transaction():
        connection.execute(
            "UPDATE leadscore.materializations SET stored_at = %s WHERE asset = %s AND org_id = %s",
            [NOW - days_ago * DAY, asset, org_id],
        )


def test_records_that_were_stored_long_ago_go_and_the_others_stay(connection: Connection) -> None:
    for asset in tables.ASSETS_WITH_ROWS:
        store(connection, asset, "old", 46)
        store(connection, asset, "new", 44)
    stored = len(tables.load(connection, "lead_features", "old")[0])
    removed = remove_old_records(connection, NOW - 45 * DAY, NOW)
    assert (removed.what, removed.items) == ("rows of records", 2 * stored)
    assert removed.freed_bytes > 50 * removed.items
    for asset in tables.ASSETS_WITH_ROWS:
        with pytest.raises(RecordsRemoved, match=f"the rows of {asset} of org old .* Materialize conversion_records"):
            tables.load(connection, asset, "old")
        assert len(tables.load(connection, asset, "new")[0]) == stored
        assert set(tables.infos(connection, asset)) == {"old", "new"}
    assert remove_old_records(connection, NOW - 45 * DAY, NOW).items == 0


def test_records_that_are_stored_again_are_there_again(connection: Connection) -> None:
    store(connection, "lead_features", "acme", 46)
    remove_old_records(connection, NOW - 45 * DAY, NOW)
    store(connection, "lead_features", "acme", 0)
    assert len(tables.load(connection, "lead_features", "acme")[0]) > 0


def test_records_that_a_training_stores_meanwhile_stay(connection: Connection, database: Settings) -> None:
    """A training may come between the look at what is old and its removal."""
    store(connection, "lead_features", "acme", 46)
    store(connection, "lead_features", "zeta", 46)
    with connect(database) as other, other.transaction():
        tables.store(other, "lead_features", "acme", run_id="run-2", info={}, rows=made_features(leads=20).rows)
    remove_old_records(connection, NOW - 45 * DAY, NOW)
    assert len(tables.load(connection, "lead_features", "acme")[0]) > 0


def test_the_newest_training_of_each_org_stays(connection: Connection) -> None:
    for number, (org_id, days_ago) in enumerate([("acme", 900), ("acme", 800), ("acme", 10), ("zeta", 900)]):
        with connection.transaction():
            connection.execute(
                "INSERT INTO leadscore.ended_training (run_id, org_id, asked_by, ended_at, status, reasons)"
                " VALUES (%s, %s, 'schedule', %s, 'held', 'why')",
                [f"run-{number}", org_id, NOW - days_ago * DAY],
            )
    assert remove_old_trainings(connection, NOW - 731 * DAY).items == 2
    with connection.transaction():
        left = connection.execute("SELECT run_id FROM leadscore.ended_training ORDER BY 1").fetchall()
    assert left == [("run-2",), ("run-3",)]


def test_a_batch_goes_once_none_of_its_trainings_is_due_or_left(connection: Connection) -> None:
    with connection.transaction():
        for batch, days_ago in (("due", 800), ("ended", 800), ("gone", 800), ("young", 10)):
            connection.execute(
                "INSERT INTO leadscore.training_batch (batch_id, asked_by, asked_at, orgs) VALUES (%s, 'a', %s, 1)",
                [batch, NOW - days_ago * DAY],
            )
        connection.execute("INSERT INTO leadscore.due_training (org_id, batch_id) VALUES ('acme', 'due')")
        connection.execute(
            "INSERT INTO leadscore.ended_training (run_id, org_id, batch_id, asked_by, status, reasons)"
            " VALUES ('run-1', 'zeta', 'ended', 'a', 'held', 'why')"
        )
    assert remove_old_batches(connection, NOW - 731 * DAY).items == 1
    with connection.transaction():
        left = connection.execute("SELECT batch_id FROM leadscore.training_batch ORDER BY 1").fetchall()
    assert left == [("due",), ("ended",), ("young",)]


def test_evidence_of_versions_of_which_no_score_is_left_goes(connection: Connection) -> None:
    served, held, gone, young = (f"{(NOW - days * DAY):%Y%m%d%H%M%S}" for days in (500, 501, 502, 100))
    with connection.transaction():
        for version in ("", served, held, gone, young):
            connection.execute("INSERT INTO leadscore.live_evidence VALUES ('acme', %s, '{}')", [version])
        connection.execute(
            "INSERT INTO leadscore.judged_score (org_id, lead_id, landmark_days, created_at, said_at, said_by,"
            " probability, model_version, model_scope, held_version, is_converted)"
            " VALUES ('acme', 'lead-1', 0, now(), now(), 'predict', 0.5, %s, 'own', %s, true)",
            [served, held],
        )
    assert remove_old_evidence(connection, NOW - 400 * DAY).items == 1
    with connection.transaction():
        left = connection.execute("SELECT model_version FROM leadscore.live_evidence").fetchall()
    assert {version for (version,) in left} == {"", served, held, young}


def test_before_the_set_up_it_says_so(database: Settings) -> None:
    with connect(database) as connection, pytest.raises(SourceMismatch, match="set_up_database"):
        remove_old_records(connection, NOW, NOW)
