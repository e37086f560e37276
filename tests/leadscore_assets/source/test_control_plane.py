"""One control plane per database: who holds it, until when, and which registry belongs to it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from leadscore.errors import ControlPlaneHeld
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.source import control_plane
from leadscore_assets.source.control_plane import Lease, check_same_registry, held


@pytest.fixture
def other(database: Settings, tmp_path: Path) -> Settings:
    """Give settings for the same database with another registry."""
    return replace(database, model_path=tmp_path / "other models")


@pytest.fixture
def connection(database: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        yield connection


def age(connection: psycopg.Connection, seconds: float) -> None:
    """Let the holder have been silent for so long."""
    connection.execute(
        "UPDATE leadscore.control_plane SET heartbeat_at = heartbeat_at - %s * interval '1 s'", [seconds]
    )


def refusal(settings: Settings) -> str:
    with pytest.raises(ControlPlaneHeld) as caught, held(settings):
        pass
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_second_one_is_told_who_holds_it_and_what_to_do(database: Settings, other: Settings) -> None:
    with held(database):
        for second in (database, other):
            said = refusal(second)
            for words in (
                f"The database {database.db_name} at {database.db_host}:{database.db_port} already has a control plane",
                f"process {os.getpid()} on {socket.gethostname()}",
                time.strftime("since %Y-%m-%d", time.gmtime()),
                f"with the registry {database.model_path}",
                "Stop it",
                "s until its lease expires",
            ):
                assert words in said


def test_a_clean_stop_frees_it_at_once(database: Settings, other: Settings) -> None:
    for settings in (database, other, database):
        with held(settings):
            pass


def test_an_error_inside_frees_it_too(database: Settings) -> None:
    with pytest.raises(ZeroDivisionError), held(database):
        _ = 1 / 0
    with held(database):
        pass


def test_the_lease_of_a_dead_one_runs_out(database: Settings, other: Settings, connection: psycopg.Connection) -> None:
    dead = Lease(database)
    dead.take()
    age(connection, control_plane.LEASE_SECONDS - 5)
    assert "wait 5 s" in refusal(other)
    age(connection, 6)
    with held(other), pytest.raises(ControlPlaneHeld):
        dead.renew()


def test_a_holder_that_was_away_goes_on_when_nobody_took_over(
    database: Settings, connection: psycopg.Connection
) -> None:
    lease = Lease(database)
    lease.take()
    age(connection, 10 * control_plane.LEASE_SECONDS)
    lease.renew()
    assert "already has a control plane" in refusal(database)


def test_a_holder_that_lost_it_does_not_free_the_next_ones(database: Settings, connection: psycopg.Connection) -> None:
    late = Lease(database)
    late.take()
    age(connection, control_plane.LEASE_SECONDS + 1)
    with held(database):
        late.release()
        refusal(database)


def test_of_many_that_start_at_once_one_gets_it(database: Settings) -> None:
    begin = threading.Barrier(6)

    def start(_: int) -> bool:
        begin.wait()
        try:
            Lease(database).take()
        except ControlPlaneHeld:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(start, range(6))) == [False] * 5 + [True]


def test_who_holds_the_database_itself_takes_it_at_once(database: Settings) -> None:
    """A run whose own server it is knows that the holder is dead."""
    Lease(database).take()
    with held(database, is_sole=True):
        refusal(database)


def test_it_is_renewed_while_it_is_held(
    database: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_plane, "RENEWAL_SECONDS", 0.02)
    with held(database) as lease:
        age(connection, 60)
        deadline = time.monotonic() + 10
        while connection.execute(
            "SELECT heartbeat_at < clock_timestamp() - interval '30 s' FROM leadscore.control_plane"
        ).fetchone() != (False,):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        lease.raise_if_lost()


def test_a_loss_is_noticed_and_said(
    database: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_plane, "RENEWAL_SECONDS", 0.02)
    with held(database) as lease:
        connection.execute("UPDATE leadscore.control_plane SET holder = 'another', host = 'elsewhere'")
        deadline = time.monotonic() + 10
        while not lease.is_lost:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.raises(ControlPlaneHeld, match="on elsewhere"):
            lease.raise_if_lost()


def test_a_database_that_is_away_for_a_moment_is_no_loss(
    database: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(control_plane, "RENEWAL_SECONDS", 0.02)
    with held(database) as lease:
        there = lease.settings
        lease.settings = replace(there, db_name="no_such_database")
        deadline = time.monotonic() + 10
        while "cannot be used" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        lease.raise_if_lost()
    assert "was not freed" not in caplog.text
    lease.settings = there
    lease.renew()


def test_another_registry_is_refused_while_the_lease_lives(
    database: Settings, other: Settings, connection: psycopg.Connection
) -> None:
    with held(database):
        check_same_registry(database, Registry(database.model_path))
        with pytest.raises(ControlPlaneHeld, match="MODEL_PATH") as caught:
            check_same_registry(other, Registry(other.model_path))
        assert f"{other.model_path}" in caught.value.message
        assert f"{database.model_path}" in caught.value.message
        age(connection, control_plane.LEASE_SECONDS + 1)
        check_same_registry(other, Registry(other.model_path))


def test_without_a_control_plane_any_registry_will_do(database: Settings) -> None:
    """A training beside everything else, in a notebook for one, meets no lease; nor does one before the set-up."""
    check_same_registry(database, Registry(database.model_path))


def test_two_paths_to_one_registry_are_the_same(database: Settings, tmp_path: Path) -> None:
    with held(database):
        (tmp_path / "mounted").symlink_to(database.model_path)
        check_same_registry(database, Registry(tmp_path / "mounted"))
