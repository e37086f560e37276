"""Health, liveness, readiness: what each looks at, and what a database or a Dagster that is down changes."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from leadscore.registry.version import ENGINE_FILE
from serving.api import health
from serving.app import create_app
from serving.dependencies.probes import DatabaseState
from serving.services import EXTENSION

MANIFEST = "{version}/manifest.json"


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
    assert [text.split(" does ")[0] for text in body.pop("problems")] == ["The CRM's database", "Dagster's webserver"]
    assert body == {
        "status": "degraded",
        "model_version": version,
        "model_scope": "own",
        "database": "down",
        "dagster": "down",
        "code_server": "unknown",
        "daemon": "unknown",
        "registry": "up",
        "models_loaded": 1,
    }


def test_without_an_active_version_health_says_null(client):
    body = client.get("/health").json
    assert (body["model_version"], body["model_scope"]) == (None, None)


def test_health_counts_the_loaded_versions(client, shelf, features):
    shelf.activated()
    client.post("/api/v1/predict", json={"features": features})
    assert client.get("/health").json["models_loaded"] == 1


@pytest.mark.parametrize("what", ["the pointer", "the arrays", "the manifest", "the folder"])
def test_damage_of_one_org_is_its_own_problem_and_not_the_registrys(client, shelf, what):
    version = shelf.activated("acme")
    shelf.activated("other")
    folder = shelf.registry.root / "acme"
    if what == "the folder":
        shutil.rmtree(folder / version)
    else:
        files = {"the pointer": "active.json", "the arrays": f"{version}/{ENGINE_FILE}", "the manifest": MANIFEST}
        (folder / files.get(what, what).format(version=version)).write_bytes(b"harm")
    damaged, whole = (client.get(f"/health?org_id={org_id}").json for org_id in ("acme", "other"))
    assert (damaged["status"], damaged["registry"]) == ("degraded", "up")
    assert damaged["model_version"] == (None if what == "the pointer" else version)
    found = [text for text in damaged["problems"] if text not in whole["problems"]]
    assert len(found) == 1
    assert found[0].startswith("The org's leads are not scored: ")
    assert "roll back" in found[0]
    assert found[0].endswith(".")


def test_a_pointer_that_the_server_may_not_read_is_the_orgs_problem(client, shelf, monkeypatch):
    shelf.activated("acme")

    def refused(_org_id):
        raise PermissionError

    monkeypatch.setattr(shelf.registry.__class__, "active", lambda _self, org_id: refused(org_id))
    body = client.get("/health?org_id=acme").json
    assert (body["registry"], body["problems"][-1]) == ("up", health.UNREADABLE)


FAILED = [{"evaluation": {"success": False}}]
DAGSTER_STATES = [
    ({}, ("up", "up", None)),
    ({"is_code_server_up": False}, ("down", "up", "Dagster's code server does not answer")),
    ({"silent_seconds": 130}, ("up", "down", "Dagster's daemon has been silent for 2 minutes")),
    ({"silent_seconds": None}, ("up", "down", "Dagster's daemon has been silent")),
    ({"checks": {"orgs_have_leads": FAILED}}, ("up", "up", "Many orgs have no leads any more")),
    ({"checks": {"orgs_keep_their_leads": FAILED}}, ("up", "up", "An org's id may have been given to another")),
    ({"checks": {"leads_are_in_crm": FAILED}}, ("up", "up", "Many leads are gone from the CRM")),
    ({"checks": {"orgs_have_leads": [{"evaluation": {"success": True}}]}}, ("up", "up", None)),
    ({"checks": {"orgs_have_leads": [{"evaluation": None}]}}, ("up", "up", None)),
    ({"failing_once": {"State"}}, ("unknown", "unknown", None)),
]


@pytest.mark.parametrize(("members", "expected"), DAGSTER_STATES)
def test_health_says_which_part_of_dagster_is_down(app_with_dagster, dagster, monkeypatch, members, expected):
    code_server, daemon, problem = expected
    monkeypatch.setattr("serving.services.database_state", lambda _settings: DatabaseState("up"))
    for name, value in members.items():
        setattr(dagster, name, value)
    client = app_with_dagster.test_client()
    body = client.get("/health").json
    assert (body["dagster"], body["code_server"], body["daemon"]) == ("up", code_server, daemon)
    assert body["status"] == ("degraded" if problem else "healthy")
    assert [text[: len(problem or "")] for text in body["problems"]] == ([problem] if problem else [])
    metrics = client.get("/metrics").text
    for name, state in (("code_server", code_server), ("daemon", daemon)):
        number = {"up": "1.0", "down": "0.0", "unknown": "NaN"}[state]
        assert f'leadscore_dependency_up{{dependency="{name}"}} {number}' in metrics


def test_a_token_for_one_org_learns_nothing_of_others(app_with_dagster, dagster, monkeypatch):
    monkeypatch.setattr("serving.services.database_state", lambda _settings: DatabaseState("up"))
    monkeypatch.setattr(health, "may_read", lambda org_id: org_id == "acme")
    dagster.checks = {"orgs_have_leads": FAILED}
    body = app_with_dagster.test_client().get("/health?org_id=acme").json
    assert (body["status"], body["problems"]) == ("healthy", [])
    assert "models_loaded" not in body


def test_a_server_with_another_registry_than_the_control_planes_says_so_and_changes_nothing(
    app_with_dagster, dagster, shelf, monkeypatch
):
    monkeypatch.setattr("serving.services.database_state", lambda _settings: DatabaseState("up", "f" * 32))
    old, active = shelf.activated(), shelf.activated()
    client = app_with_dagster.test_client()
    body = client.get("/health").json
    assert (body["status"], body["model_version"], body["registry"]) == ("degraded", active, "up")
    assert ["MODEL_PATH" in text for text in body["problems"]] == [True]
    for path, sent in (("rollback", {"version": old}), ("train", {})):
        answer = client.post(f"/api/v1/model/{path}", json=sent)
        assert (answer.status_code, answer.json["code"]) == (409, "another_registry")
    assert dagster.launched == []
    assert shelf.registry.active("default").version == active


def test_health_makes_no_registry_where_there_is_none(settings, shelf, monkeypatch):
    """It would count as one that can be served from, and be in the way of a backup's restore."""
    monkeypatch.setattr("serving.services.database_state", lambda _settings: DatabaseState("up", "f" * 32))
    shelf.registry.root.rmdir()
    client = create_app(settings).test_client()
    body = client.get("/health").json
    assert body["registry"] == "down"
    assert client.post("/api/v1/model/train", json={}).json["code"] == "another_registry"
    assert not shelf.registry.root.exists()
    assert client.get("/health/ready").status_code == 503


def test_a_dagster_whose_database_hangs_is_up_at_every_look(app_with_dagster, dagster, monkeypatch):
    release = threading.Event()

    def hang(_variables):
        release.wait(10)
        return {}

    monkeypatch.setattr(dagster, "_State", hang, raising=False)
    client, probe = app_with_dagster.test_client(), app_with_dagster.extensions[EXTENSION].dagster
    for _ in range(2):
        probe._asked_at_seconds = float("-inf")  # the last answer is no longer fresh
        body = client.get("/health").json
        assert (body["dagster"], body["code_server"], body["daemon"]) == ("up", "unknown", "unknown")
    release.set()


@pytest.mark.parametrize("state", ["the same registry", "no control plane", "no database"])
def test_a_rollback_needs_no_control_plane(settings, shelf, monkeypatch, state):
    ids = {"the same registry": shelf.registry.registry_id()}
    found = DatabaseState("down" if state == "no database" else "up", ids.get(state))
    monkeypatch.setattr("serving.services.database_state", lambda _settings: found)
    old, _ = shelf.activated(), shelf.activated()
    client = create_app(settings).test_client()
    assert client.post("/api/v1/model/rollback", json={"version": old}).status_code == 200


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
