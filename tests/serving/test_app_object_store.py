"""The server over a registry in an object store: two machines serve the same, and an outage does not stop scoring."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import urllib3
from flask import Flask

from leadscore.registry.store import Registry
from leadscore.settings import Settings
from serving.app import create_app
from serving.server.rsgi import Bridge
from serving.services import EXTENSION
from standalone.throwaway import free_port
from tests.object_store import SECRET, FaultyStore
from tests.serving.conftest import Shelf, Starter, until_it_answers

PREDICT = "/api/v1/predict"
SERVED_WITHIN_SECONDS = 2.0


@pytest.fixture
def shelf(object_store: FaultyStore) -> Shelf:
    return Shelf(Registry(object_store.new_url()))


@pytest.fixture
def machine(settings: Settings, shelf: Shelf, tmp_path: Path) -> Iterator[Callable[[str], Flask]]:
    """Give `machine(name)`, which starts a server with a folder of its own of that name."""
    started = []

    def start(name: str) -> Flask:
        started.append(create_app(replace(settings, model_path=shelf.registry.place, state_dir=tmp_path / name)))
        return started[-1]

    yield start
    for app in started:
        app.close()


def _scored_by(app: Flask, features: dict[str, Any], org_id: str = "acme") -> Any:
    answer = app.test_client().post(PREDICT, json={"org_id": org_id, "features": features})
    return answer.json["model_version"] if answer.status_code == 200 else (answer.status_code, answer.json["code"])


def _until(fact: Callable[[], object], seconds: float = 20.0) -> float:
    began = time.monotonic()
    while not fact():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


def test_what_one_machine_activates_or_rolls_back_is_served_by_the_other(
    machine: Callable[[str], Flask], shelf: Shelf, features: dict[str, Any]
) -> None:
    first = shelf.activated("acme")
    one, other = machine("one"), machine("other")
    assert _scored_by(one, features) == _scored_by(other, features) == first
    second = shelf.activated("acme")
    assert _until(lambda: _scored_by(one, features) == _scored_by(other, features) == second) < SERVED_WITHIN_SECONDS
    answer = one.test_client().post(
        "/api/v1/model/rollback", json={"org_id": "acme", "version": first, "reason": "odd scores"}
    )
    assert answer.status_code == 200
    assert _scored_by(one, features) == first
    assert _until(lambda: _scored_by(other, features) == first) < SERVED_WITHIN_SECONDS


def test_the_event_loop_answers_a_prediction_once_its_model_is_at_hand(
    machine: Callable[[str], Flask], shelf: Shelf, features: dict[str, Any]
) -> None:
    """Until then it would wait for the store, and all other requests with it."""
    shelf.activated("acme")
    app = machine("one")
    bridge = Bridge(app, threading.Event(), threads=1, max_body_bytes=10_000)

    def is_quick(body: bytes) -> bool:
        return bridge._is_quick({"PATH_INFO": PREDICT, "wsgi.input": io.BytesIO(body)})

    body = msgspec.json.encode({"org_id": "acme", "features": features})
    assert not is_quick(body)
    assert _scored_by(app, features)
    _scored_by(app, features, "nobody")
    assert is_quick(body)
    for doubtful in (
        body.replace(b'"acme"', b'"nobody"'),
        body.replace(b'"acme"', b'"../acme"'),
        body[:-1] + b', "org_id": "other"}',
        body[:-1] + b', "\\u006frg_id": "other"}',
        msgspec.json.encode({"features": features}),
    ):
        assert not is_quick(doubtful)


def test_while_the_store_is_down_leads_are_scored_and_every_route_answers(
    machine: Callable[[str], Flask], shelf: Shelf, features: dict[str, Any], object_store: FaultyStore
) -> None:
    version, app = shelf.activated("acme"), machine("one")
    assert _scored_by(app, features) == version
    client = app.test_client()
    with object_store.down():
        _until(lambda: client.get("/health?org_id=acme").json["registry"] == "down")
        assert _scored_by(app, features) == version
        health = client.get("/health?org_id=acme").json
        assert (health["status"], health["model_version"]) == ("degraded", version)
        assert "copied from an object store" in " ".join(health["problems"])
        assert client.get("/health/ready").status_code == 200
        for path in ("/api/v1/model/versions", "/api/v1/model/report", "/api/v1/model/activations"):
            answer = client.get(f"{path}?org_id=acme")
            assert (answer.status_code, answer.json["code"]) == (503, "registry_unavailable"), path
            assert SECRET not in answer.text
        rollback = {"org_id": "acme", "version": version, "reason": "x"}
        assert client.post("/api/v1/model/rollback", json=rollback).status_code == 503
        assert _scored_by(app, features, "never-seen") == (503, "registry_unavailable")
    _until(lambda: client.get("/health?org_id=acme").json["registry"] == "up")
    assert client.get("/api/v1/model/versions?org_id=acme").status_code == 200


def test_a_machine_that_starts_while_the_store_is_down_scores_what_it_scored_before(
    machine: Callable[[str], Flask], shelf: Shelf, features: dict[str, Any], object_store: FaultyStore
) -> None:
    version = shelf.activated("acme")
    shelf.activated("globex")
    assert _scored_by(machine("one"), features) == version
    with object_store.down():
        restarted = machine("one")
        restarted.warm_up()
        assert _scored_by(restarted, features) == version
        assert _scored_by(restarted, features, "globex") == (503, "registry_unavailable")
        assert _scored_by(machine("other"), features) == (503, "registry_unavailable")
    newest = shelf.activated("acme")
    _until(lambda: _scored_by(restarted, features) == newest)


def test_an_org_that_was_never_trained_is_scored_by_the_pooled_model_also_while_the_store_is_down(
    settings: Settings, shelf: Shelf, features: dict[str, Any], tmp_path: Path, object_store: FaultyStore
) -> None:
    pooled = shelf.pooled(new=0.5)
    app = create_app(
        replace(settings, model_path=shelf.registry.place, state_dir=tmp_path / "pooling", pooled_model=True)
    )
    assert not app.extensions[EXTENSION].models.is_at_hand("new")
    assert _scored_by(app, features, "new") == pooled
    assert app.extensions[EXTENSION].models.is_at_hand("new")
    with object_store.down():
        _until(lambda: app.test_client().get("/health").json["status"] == "degraded")
        assert _scored_by(app, features, "new") == pooled
    app.close()


@pytest.fixture
def environment(settings: Settings, shelf: Shelf, tmp_path: Path, object_store: FaultyStore) -> dict[str, Any]:
    """Give what a server's process over the store needs to know."""
    return {
        "PORT": free_port(),
        "MODEL_PATH": shelf.registry.place,
        "STATE_DIR": tmp_path / "state",
        "DB_PORT": settings.db_port,
        "DAGSTER_URL": settings.dagster_url,
        "LOG_LEVEL": "WARNING",
        **object_store.environment,
    }


def test_each_of_the_servers_processes_follows_the_store(
    start: Starter, environment: dict[str, Any], shelf: Shelf, features: dict[str, Any], object_store: FaultyStore
) -> None:
    first, process = shelf.activated("acme"), start(**environment)
    with urllib3.HTTPConnectionPool("127.0.0.1", environment["PORT"], maxsize=4, timeout=30, retries=False) as http:
        until_it_answers(process, http)

        def scored_by() -> set[str]:
            bodies = {"org_id": "acme", "features": features}
            return {http.request("POST", PREDICT, json=bodies).json()["model_version"] for _ in range(8)}

        assert scored_by() == {first}
        second = shelf.activated("acme")
        assert _until(lambda: scored_by() == {second}) < 2 * SERVED_WITHIN_SECONDS
        with object_store.down():
            _until(lambda: http.request("GET", "/health?org_id=acme").json()["registry"] == "down")
            assert scored_by() == {second}
