"""Health, liveness, readiness: what each looks at, and what a database or a Dagster that is down changes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from serving.app import create_app


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Give a port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


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
