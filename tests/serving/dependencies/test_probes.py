"""Is the database up: asked in one thread, and answered in time even by a server that hangs."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from leadscore.control_plane import LIVING_REGISTRY
from leadscore.registry.store import Registry
from leadscore_assets.source.control_plane import held
from serving.dependencies import probes
from serving.dependencies.probes import DatabaseState, Probe, database_state


class MutePostgres:
    """A server that lets anybody in, takes a query, and never answers it until the client is gone."""

    ENCRYPTION_REQUESTS = (80877103, 80877104)

    def __init__(self, listener: socket.socket) -> None:
        self._listener, self.port, self.queries = listener, listener.getsockname()[1], []

    def serve_one(self) -> None:
        with self._listener.accept()[0] as connection, connection.makefile("rb") as stream:
            while True:
                length, kind = struct.unpack("!ii", stream.read(8))
                stream.read(length - 8)
                if kind not in self.ENCRYPTION_REQUESTS:
                    break
                connection.sendall(b"N")
            connection.sendall(b"R" + struct.pack("!ii", 8, 0) + b"Z" + struct.pack("!ic", 5, b"I"))
            assert stream.read(1) == b"Q"
            self.queries.append(stream.read(struct.unpack("!i", stream.read(4))[0] - 4))
            stream.read()


@pytest.fixture
def mute_postgres(started_threads) -> Iterator[MutePostgres]:
    """Give such a server, for one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        server = MutePostgres(listener)
        thread = started_threads(server.serve_one)
        yield server
        thread.join(10)


def test_a_real_database_is_up(database):
    assert database_state(database) == DatabaseState("up")
    assert database_state(replace(database, db_name="no_such_database")).state == "down"
    assert database_state(replace(database, db_password="wrong")).state == "down"


def test_a_database_says_which_registry_its_living_control_plane_uses(database):
    with held(database):
        assert database_state(database) == DatabaseState("up", Registry(database.model_path).registry_id())
        with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
            connection.execute("UPDATE leadscore.control_plane SET heartbeat_at = '2026-01-01'")
        assert database_state(database) == DatabaseState("up")
    assert database_state(database) == DatabaseState("up")


def test_a_database_whose_lease_may_not_be_read_is_up(database):
    with held(database), psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        role = f"reader_{connection.info.dbname}"
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        assert database_state(replace(database, db_user=role, db_password="x")) == DatabaseState("up")
        connection.execute(f"DROP ROLE {role}")


def test_a_database_that_hangs_after_the_connection_is_down(settings, mute_postgres, monkeypatch):
    """As one that is frozen, or behind a connection that was cut without a word."""
    monkeypatch.setattr(probes, "QUERY_SECONDS", 0.2)
    started = time.monotonic()
    assert database_state(replace(settings, db_port=mute_postgres.port)).state == "down"
    assert time.monotonic() - started < 2
    assert mute_postgres.queries == [LIVING_REGISTRY.encode() + b"\0"]


def test_a_probe_asks_in_one_thread_however_many_ask_it():
    asked, release = [], threading.Event()

    def ask() -> str:
        asked.append(1)
        release.wait(10)
        return "up"

    probe = Probe("test", ask, "down", fresh_seconds=60, wait_seconds=0.01)
    assert [probe.answer() for _ in range(5)] == ["down"] * 5
    release.set()
    deadline = time.monotonic() + 10
    while probe.answer() == "down" and time.monotonic() < deadline:
        release.wait(0.01)
    assert (probe.answer(), asked) == ("up", [1])


def test_a_probe_that_fails_is_down(caplog):
    probe = Probe("test", lambda: str(1 / 0), "down", fresh_seconds=60, wait_seconds=10)
    assert probe.answer() == "down"
    assert "the probe of test failed" in caplog.text
