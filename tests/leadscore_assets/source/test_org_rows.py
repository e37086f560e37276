"""An org's rows move and go in all of our tables at once, whichever tables there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from leadscore.errors import SourceMismatch
from leadscore.pooling import POOLED
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.source.org_locks import lock_scores
from leadscore_assets.source.org_rows import counts_in_words, has_rows, move_rows, remove_rows
from leadscore_assets.source.tables import load, store
from tests.leadscore_assets.retention.conftest import SCORING
from tests.leadscore_assets.source.test_tables import rows
from tests.leadscore_assets.waiting import comes_to_wait

TABLES = {"conversion_records": 2, "lead_features": 2, "materializations": 3, "org_identities": 1}


@pytest.fixture
def connection(database: Settings) -> Iterator[Connection]:
    """Give a connection to a database in which the org `north` has rows in every table, and `south` in some."""
    set_up(database)
    with connect(database) as connection:
        for asset in ("conversion_records", "lead_features"):
            store(connection, asset, "north", run_id="run", info={"size": 2}, rows=rows("1", "2"))
            pooled = rows("1", "2", "3").assign(crm_org_id=["north", "north", "south"])
            store(connection, asset, POOLED, run_id="run", info={}, rows=pooled)
        store(connection, "trained_model", "north", run_id="run", info={"version": "1"})
        store(connection, "lead_features", "south", run_id="run", info={"size": 1}, rows=rows("3"))
        connection.execute("INSERT INTO leadscore.org_identities VALUES ('north', '1', now()), ('south', '3', now())")
        yield connection


def orgs_of(connection: Connection, table: str, column: str = "org_id") -> dict[str, int]:
    found: Any = connection.execute(f"SELECT {column}, count(*) FROM leadscore.{table} GROUP BY 1").fetchall()
    return dict(found)


def test_rows_move_with_all_that_is_stored_and_the_pools_rows_name_the_new_id(connection: Connection) -> None:
    moved = move_rows(connection, "north", "west")
    assert moved == TABLES | {"conversion_records": 4, "lead_features": 4}
    table, info = load(connection, "lead_features", "west")
    assert table is not None
    assert (list(table["lead_id"]), info) == (["1", "2"], {"size": 2})
    assert load(connection, "trained_model", "west") == (None, {"version": "1"})
    assert orgs_of(connection, "org_identities") == {"west": 1, "south": 1}
    pooled, _ = load(connection, "lead_features", POOLED)
    assert pooled is not None
    assert list(pooled["crm_org_id"]) == ["west", "west", "south"]
    assert not has_rows(connection, "north")
    assert move_rows(connection, "north", "west") == {}
    assert has_rows(connection, "west")


def test_rows_that_the_new_id_has_already_give_way(connection: Connection) -> None:
    """They are of the same org, since the CRM renamed it and before we did."""
    move_rows(connection, "north", "south")
    assert orgs_of(connection, "lead_features") == {"south": 2, POOLED: 3}
    assert orgs_of(connection, "org_identities") == {"south": 1}
    assert load(connection, "lead_features", "south")[1] == {"size": 2}


def test_rows_of_one_org_go_and_those_of_others_and_of_the_pool_stay(connection: Connection) -> None:
    assert remove_rows(connection, "north") == TABLES
    assert remove_rows(connection, "north") == {}
    assert orgs_of(connection, "lead_features") == {"south": 1, POOLED: 3}
    assert has_rows(connection, "north")
    assert not has_rows(connection, "west")


def test_a_table_that_is_added_later_is_covered_too(connection: Connection) -> None:
    connection.execute("CREATE TABLE leadscore.added_later (org_id text, lead_id text)")
    connection.execute("INSERT INTO leadscore.added_later VALUES ('north', '1'), ('south', '2')")
    connection.execute("CREATE VIEW leadscore.a_view AS SELECT * FROM leadscore.added_later")
    assert move_rows(connection, "north", "west")["added_later"] == 1
    assert remove_rows(connection, "west")["added_later"] == 1
    assert orgs_of(connection, "added_later") == {"south": 1}


def renamed(connection: Connection) -> None:
    move_rows(connection, "north", "west")


def removed(connection: Connection) -> None:
    remove_rows(connection, "north")


@pytest.mark.parametrize(
    ("change", "scored", "then"), [(renamed, "north", ["west"]), (renamed, "west", ["west"]), (removed, "north", [])]
)
def test_what_a_scoring_under_way_writes_of_an_org_is_moved_and_removed_too(
    connection: Connection, database: Settings, change: Callable[[Connection], None], scored: str, then: list[str]
) -> None:
    with ThreadPoolExecutor() as pool, connect(database) as other, connect(database) as observer:
        with connection.transaction():
            lock_scores(connection, [scored])
            work = pool.submit(change, other)
            assert comes_to_wait(observer, work)
            connection.execute(SCORING, [scored, "2026-06-01T00:00:00+00:00"])
        work.result(timeout=60)
    assert sorted(orgs_of(connection, "scoring_run")) == then


def test_a_move_that_fails_moves_nothing(connection: Connection) -> None:
    connection.execute("ALTER TABLE leadscore.org_identities ADD CHECK (org_id <> 'west')")
    with pytest.raises(SourceMismatch, match="while moving the rows of org north"):
        move_rows(connection, "north", "west")
    assert orgs_of(connection, "lead_features") == {"north": 2, "south": 1, POOLED: 3}


@pytest.mark.parametrize(("counts", "words"), [({}, "no rows"), ({"b": 1, "a": 1_221}, "1,221 rows of a, 1 row of b")])
def test_counts_are_put_into_words(counts: dict[str, int], words: str) -> None:
    assert counts_in_words(counts) == words
