"""Health, liveness, readiness: what each looks at, and what a database or a Dagster that is down changes."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from serving.app import create_app
from serving.dependencies import probes
from serving.dependencies.probes import Probe, is_database_up


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Give a port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


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


def test_health_names_what_is_down_and_the_active_version(client, shelf):
    version = shelf.activated("acme")
    body = client.get("/health?org_id=acme").json
    moment = datetime.fromisoformat(body.pop("timestamp"))
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)
    assert body == {
        "status": "degraded",
        "model_version": version,
        "model_scope": "own",
        "database": "down",
        "dagster": "down",
        "registry": "up",
        "models_loaded": 0,
    }


def test_without_an_active_version_health_says_null(client):
    body = client.get("/health").json
    assert (body["model_version"], body["model_scope"]) == (None, None)


def test_health_counts_the_loaded_versions(client, shelf, features):
    shelf.activated()
    client.post("/api/v1/predict", json={"features": features})
    assert client.get("/health").json["models_loaded"] == 1


def test_a_pointer_that_cannot_be_read_degrades_health(client, shelf):
    shelf.activated()
    (shelf.registry.root / "default" / "active.json").write_text("harm")
    answer = client.get("/health")
    assert (answer.status_code, answer.json["status"], answer.json["registry"]) == (200, "degraded", "down")


def test_a_real_database_is_up(database):
    assert is_database_up(database) is True
    assert is_database_up(replace(database, db_name="no_such_database")) is False
    assert is_database_up(replace(database, db_password="wrong")) is False


def test_a_database_that_hangs_after_the_connection_is_down(settings, mute_postgres, monkeypatch):
    """As one that is frozen, or behind a connection that was cut without a word."""
    monkeypatch.setattr(probes, "QUERY_SECONDS", 0.2)
    started = time.monotonic()
    assert is_database_up(replace(settings, db_port=mute_postgres.port)) is False
    assert time.monotonic() - started < 2
    assert mute_postgres.queries == [b"SELECT 1\0"]


def test_a_healthy_database_shows_in_health(database, shelf):
    database.model_path.mkdir(exist_ok=True)
    assert create_app(database).test_client().get("/health").json["database"] == "up"


def test_a_database_and_a_dagster_that_hang_hold_health_up_for_about_a_second(settings, shelf, silent_port):
    hanging = replace(settings, db_port=silent_port, dagster_url=f"http://127.0.0.1:{silent_port}")
    client = create_app(hanging).test_client()
    started = time.monotonic()
    body = client.get("/health").json
    assert time.monotonic() - started < 4
    assert (body["database"], body["dagster"], body["status"]) == ("down", "down", "degraded")


def test_scoring_and_readiness_do_not_ask_whether_the_database_is_up(client, shelf, features):
    shelf.activated()
    assert client.post("/api/v1/predict", json={"features": features}).status_code == 200
    assert client.get("/health/ready").json == {"status": "ready"}
    assert client.get("/health/live").json == {"status": "live"}


def test_a_server_that_stops_is_live_but_not_ready(client, parts):
    parts.is_stopping.set()
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json["code"]) == (503, "not_ready")
    assert client.get("/health/live").status_code == 200


def test_without_the_registrys_folder_the_server_is_not_ready(client, shelf):
    shelf.registry.root.rmdir()
    assert client.get("/health/ready").status_code == 503
    assert client.get("/health").json["registry"] == "down"


def test_a_probe_asks_in_one_thread_however_many_ask_it():
    asked, release = [], threading.Event()

    def ask() -> bool:
        asked.append(1)
        return release.wait(10)

    probe = Probe("test", ask, fresh_seconds=60, wait_seconds=0.01)
    assert [probe.is_up() for _ in range(5)] == [False] * 5
    release.set()
    deadline = time.monotonic() + 10
    while not probe.is_up() and time.monotonic() < deadline:
        release.wait(0.01)
    assert (probe.is_up(), asked) == (True, [1])


def test_a_probe_that_fails_is_down(caplog):
    probe = Probe("test", lambda: bool(1 / 0), fresh_seconds=60, wait_seconds=10)
    assert probe.is_up() is False
    assert "the probe of test failed" in caplog.text
