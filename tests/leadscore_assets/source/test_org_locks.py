"""Whoever scores an org's leads and whoever erases them wait for each other, however many orgs there are."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from leadscore.settings import Settings
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.source.org_locks import lock_erasures, lock_scores
from tests.leadscore_assets.waiting import comes_to_wait


def lock_two(connection: Connection) -> None:
    with connection.transaction():
        lock_scores(connection, ["south", "north"])


def lock_another(connection: Connection) -> None:
    with connection.transaction():
        lock_scores(connection, ["south"])


def erase(connection: Connection) -> None:
    with connection.transaction():
        lock_erasures(connection)


@pytest.mark.parametrize(("work", "waits"), [(lock_two, True), (lock_another, False), (erase, False)])
def test_only_who_needs_the_same_org_waits(database: Settings, work: Callable[[Connection], None], waits: bool) -> None:
    with ThreadPoolExecutor() as pool, connect(database) as first, connect(database) as second:
        with first.transaction():
            lock_scores(first, ["north"])
            done = pool.submit(work, second)
            assert comes_to_wait(first, done) == waits
        done.result(timeout=60)


def test_one_erasure_waits_for_another(database: Settings) -> None:
    with ThreadPoolExecutor() as pool, connect(database) as first, connect(database) as second:
        with first.transaction():
            lock_erasures(first)
            done = pool.submit(erase, second)
            assert comes_to_wait(first, done)
        done.result(timeout=60)


def test_any_number_of_orgs_fits_into_the_servers_table_of_locks(database: Settings) -> None:
    with connect(database) as connection, connection.transaction():
        lock_scores(connection, [f"org-{number}" for number in range(50_000)])
        held = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        assert held.fetchone() == (1_024,)
