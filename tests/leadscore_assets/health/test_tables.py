"""The table `org_health` has the columns of its row, and only what differs is written."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.health.tables import (
    COLUMNS,
    Attention,
    CameTrue,
    DataPlan,
    LastRun,
    Model,
    OpenLeads,
    OrgHealth,
    stored,
    write,
)
from leadscore_assets.source.database import connect

NOW = datetime(2026, 6, 1, 6, tzinfo=UTC)
ACME = OrgHealth(
    "acme",
    Model("active", NOW, "", "20260601060000", "own", NOW, NOW, "20260601060000", "activate", ["Better."], NOW, None),
    LastRun(NOW, "a run", "held", NOW),
    DataPlan(True, 180, 100, date(2026, 6, 1), "Enough.", NOW),
    OpenLeads(NOW, NOW, 10, 9, 1, 2, 3, 3, 1, 0),
    CameTrue("alarm", 420, 0.3, 0.1, date(2026, 5, 3), None, True),
    Attention(NOW, ["held", "scores_overdue"]),
)
NEW = OrgHealth(
    "new",
    Model("no_model", NOW, "", None, None, None, None, None, None, [], None, None),
    LastRun(),
    DataPlan(),
    OpenLeads(),
    CameTrue(),
    Attention(),
)


@pytest.fixture
def connection(database: Settings) -> Any:
    set_up(database)
    with connect(database) as connection:
        yield connection


def test_a_row_is_read_as_it_was_written(connection: Any) -> None:
    assert write(connection, {}, [ACME, NEW]) == 2
    assert stored(connection) == {"acme": ACME, "new": NEW}


def test_only_rows_that_differ_are_written_and_orgs_that_are_gone_are_removed(connection: Any) -> None:
    write(connection, {}, [ACME, NEW])
    known = stored(connection)
    assert write(connection, known, [ACME, NEW]) == 0
    held = msgspec.structs.replace(NEW, model=msgspec.structs.replace(NEW.model, verdict="hold", held_since=NOW))
    before = dict(connection.execute("SELECT org_id, xmin::text FROM leadscore.org_health").fetchall())
    assert write(connection, known, [ACME, held]) == 1
    after = dict(connection.execute("SELECT org_id, xmin::text FROM leadscore.org_health").fetchall())
    assert (before["acme"] == after["acme"], before["new"] == after["new"]) == (True, False)
    assert write(connection, stored(connection), [held]) == 1
    assert stored(connection) == {"new": held}


def test_each_refresh_is_noted_even_when_nothing_changed(connection: Any) -> None:
    moments = []
    for _ in range(2):
        write(connection, {}, [])
        moments += connection.execute("SELECT refreshed_at FROM leadscore.org_health_refresh").fetchall()
    [(first,), (second,)] = moments
    assert first < second


def test_the_columns_are_those_of_the_row(connection: Any) -> None:
    found = connection.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'leadscore.org_health'::regclass AND attnum > 0"
        " ORDER BY attnum"
    ).fetchall()
    assert [name for (name,) in found] == [*COLUMNS, "changed_at"]
