"""The pooled model serves orgs without an active model of their own, says so, and tells none of another."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client import generate_latest

from leadscore.errors import Damaged, NoActiveModel
from leadscore.pooling import POOLED, StandsOn
from leadscore.settings import Settings
from serving.app import create_app
from serving.models.cache import ModelCache
from serving.models.mapped_files import MappedFiles
from serving.models.nbytes import nbytes_by_array
from serving.telemetry.metrics import Metrics

PREDICT = "/api/v1/predict"
BATCH = "/api/v1/predict/batch"
INFO = "/api/v1/model/info"
IMPORTANCE = "/api/v1/model/feature-importance"
VERSIONS = "/api/v1/model/versions"


def nbytes_of(value):
    return sum(nbytes_by_array(value).values())


@pytest.fixture
def pooling(settings: Settings, shelf) -> FlaskClient:
    """Give a client of an app that pools."""
    return create_app(replace(settings, pooled_model=True)).test_client()


def predict(client: FlaskClient, features: dict[str, Any], org_id: str = "new") -> Any:
    return client.post(PREDICT, json={"org_id": org_id, "features": features})


def test_an_org_without_a_model_is_served_by_the_pooled_one_at_its_own_base_value(pooling, shelf, features):
    version = shelf.pooled(new=0.1)
    answer = predict(pooling, features)
    body = answer.json
    assert answer.status_code == 200
    assert (body["org_id"], body["model_scope"], body["model_version"]) == ("new", "pooled", version)
    assert answer.headers["X-Model-Version"] == version
    assert body["base_value"] == pytest.approx(0.1, abs=1e-7)
    total = body["base_value"] + sum(entry["contribution"] for entry in body["feature_contributions"])
    assert total == pytest.approx(body["conversion_probability"], abs=1e-6)


def test_a_version_that_was_taught_is_the_orgs_and_says_what_it_stands_on(pooling, shelf, features):
    pool = shelf.pooled(new=0.1)
    version = shelf.activated("new", stands_on=StandsOn(pool, "c0ffee"))
    body = predict(pooling, features).json
    assert (body["model_scope"], body["model_version"]) == ("taught", version)
    batch = pooling.post(BATCH, json={"org_id": "new", "batch": [features]}).json
    assert (batch["model_scope"], batch["predictions"][0]["model_scope"]) == ("taught", "taught")
    info = pooling.get(f"{INFO}?org_id=new").json
    assert (info["version"], info["stands_on"]) == (version, pool)
    assert shelf.registry.active("new").stands_on == pool


def test_a_pooled_version_that_is_gone_stops_no_version_that_stands_on_it(pooling, shelf, features):
    pool = shelf.pooled(new=0.1)
    shelf.activated("new", stands_on=StandsOn(pool, "c0ffee"))
    before = predict(pooling, features).json["conversion_probability"]
    shutil.rmtree(shelf.registry.root / POOLED)
    again = predict(pooling, features).json
    assert (again["model_scope"], again["conversion_probability"]) == ("taught", before)


def test_a_batch_and_its_items_say_whose_model_it_was(pooling, shelf, features):
    version = shelf.pooled(new=0.1)
    body = pooling.post(BATCH, json={"org_id": "new", "batch": [features, {"features": features}]}).json
    assert (body["model_scope"], body["model_version"]) == ("pooled", version)
    assert {(item["org_id"], item["model_scope"]) for item in body["predictions"]} == {("new", "pooled")}
    assert body["predictions"][0]["conversion_probability"] == predict(pooling, features).json["conversion_probability"]


def test_an_org_that_the_pool_does_not_know_is_served_by_the_model_as_it_is(pooling, shelf, features):
    """So an id says nothing of whether there is such an org."""
    shelf.pooled(known=0.1)
    bodies = [predict(pooling, features, org_id).json for org_id in ("nobody", "nobody-either")]
    assert len({body["base_value"] for body in bodies}) == 1
    assert bodies[0]["conversion_probability"] == 0.75
    assert "known" not in json.dumps(bodies)


def test_the_first_model_of_its_own_serves_the_next_request(pooling, shelf, features):
    shelf.pooled(new=0.1)
    assert predict(pooling, features).json["model_scope"] == "pooled"
    version = shelf.activated("new", high=0.5)
    body = predict(pooling, features).json
    assert (body["model_scope"], body["model_version"], body["conversion_probability"]) == ("own", version, 0.5)


def test_a_version_that_the_gate_held_leaves_the_org_with_the_pooled_model(pooling, shelf, features):
    shelf.pooled()
    shelf.judged("new", "hold")
    assert predict(pooling, features).json["model_scope"] == "pooled"


def test_a_new_pooled_version_serves_the_next_request(pooling, shelf, features):
    for base_value in (0.1, 0.3):
        version = shelf.pooled(new=base_value)
        body = predict(pooling, features).json
        assert (body["model_version"], body["base_value"]) == (version, pytest.approx(base_value))


@pytest.mark.parametrize("harmed", ["engine.safetensors", "manifest.json"])
def test_an_own_model_that_is_damaged_is_never_replaced_by_the_pooled_one(pooling, shelf, features, harmed):
    shelf.pooled(new=0.1)
    (shelf.folder(shelf.activated("new"), "new") / harmed).write_bytes(b"harm")
    answer = predict(pooling, features)
    assert (answer.status_code, answer.json["code"]) == (503, "model_unavailable")


def test_an_own_pointer_that_is_damaged_is_never_replaced_by_the_pooled_model(pooling, shelf, features):
    shelf.pooled(new=0.1)
    shelf.activated("new")
    (shelf.registry.root / "new" / "active.json").write_bytes(b"harm")
    assert predict(pooling, features).status_code == 503
    assert pooling.get("/health?org_id=new").json["model_version"] is None


@pytest.mark.parametrize("harmed", ["engine.safetensors", "base_values.json"])
def test_a_damaged_pooled_model_serves_nobody_and_harms_no_own_model(pooling, shelf, features, harmed):
    (shelf.folder(shelf.pooled(new=0.1), POOLED) / harmed).write_bytes(b"harm")
    shelf.activated("established")
    answer = predict(pooling, features)
    assert (answer.status_code, answer.json["code"]) == (503, "model_unavailable")
    assert predict(pooling, features, "established").status_code == 200


@pytest.mark.parametrize("stored", [b"[]", b'{"orgs": {"new": 2}, "format": 2}', b'{"orgs": {"new": 0.1}}', b"{"])
def test_base_values_that_are_none_are_damage(shelf, stored):
    with pytest.raises(Damaged, match=r"base_values\.json .*; train again"):
        shelf.activated(POOLED, **{"base_values.json": stored})
    assert shelf.registry.active(POOLED) is None


def test_a_pooled_version_without_base_values_is_damaged(shelf):
    with pytest.raises(Damaged, match=r"does not record base_values\.json, which the pooled model needs"):
        shelf.activated(POOLED)


def test_without_a_pooled_model_all_is_as_without_the_setting(pooling, client, features):
    for answer in (predict(pooling, features), predict(client, features)):
        assert (answer.status_code, answer.json["code"]) == (404, "no_active_model")
        assert "pooled" not in answer.text


def test_nothing_is_pooled_unless_the_setting_asks_for_it(client, shelf, features):
    """A pooled model that is there from before serves nobody, and its id is no org's."""
    shelf.pooled(new=0.1)
    answer = predict(client, features)
    assert (answer.status_code, answer.json["code"]) == (404, "no_active_model")
    assert "pooled" not in answer.text
    for path in (INFO, VERSIONS, IMPORTANCE, "/health"):
        assert client.get(path, query_string={"org_id": POOLED}).json["code"] == "invalid_id"
    bodies = {PREDICT: {"features": features}, BATCH: {"batch": [features]}, "/api/v1/model/train": {}}
    for path, body in (bodies | {"/api/v1/model/rollback": {"version": "20260315060000"}}).items():
        assert client.post(path, json={"org_id": POOLED, **body}).json["code"] == "invalid_id"


@pytest.mark.parametrize("org_id", ["_pooled/x", "_Pooled", "__pooled", "_pooled ", "_", "../_pooled"])
def test_no_other_id_of_its_kind_is_taken_for_the_pooled_models(pooling, shelf, features, org_id):
    shelf.pooled(new=0.1)
    assert predict(pooling, features, org_id).json["code"] == "invalid_id"
    assert pooling.get(VERSIONS, query_string={"org_id": org_id}).json["code"] == "invalid_id"


def test_info_and_importance_are_of_the_orgs_own_model_and_say_who_serves_it(pooling, shelf):
    """The pooled model's quality and features are not the org's."""
    shelf.pooled(new=0.1)
    for path in (INFO, IMPORTANCE):
        answer = pooling.get(path, query_string={"org_id": "new"})
        assert (answer.status_code, answer.json["code"]) == (404, "no_active_model")
        assert "the pooled model scores its leads" in answer.json["detail"]
    assert pooling.get(VERSIONS, query_string={"org_id": "new"}).json["versions"] == []


def test_health_names_the_version_that_scores_the_orgs_leads(pooling, shelf):
    pooled, own = shelf.pooled(new=0.1), shelf.activated("established")
    found = {org_id: pooling.get(f"/health?org_id={org_id}").json for org_id in ("new", "established")}
    assert {org_id: (body["model_scope"], body["model_version"]) for org_id, body in found.items()} == {
        "new": ("pooled", pooled),
        "established": ("own", own),
    }


def test_the_pooled_model_is_looked_at_listed_and_rolled_back_by_its_id(pooling, shelf, features):
    first, second = shelf.pooled(new=0.1), shelf.pooled(new=0.2)
    assert pooling.get(INFO, query_string={"org_id": POOLED}).json["version"] == second
    listed = pooling.get(VERSIONS, query_string={"org_id": POOLED}).json["versions"]
    assert [entry["version"] for entry in listed] == [second, first]
    assert pooling.get(IMPORTANCE, query_string={"org_id": POOLED}).json["model_version"] == second
    rolled_back = pooling.post("/api/v1/model/rollback", json={"org_id": POOLED, "version": first})
    assert rolled_back.status_code == 200
    assert predict(pooling, features).json["base_value"] == pytest.approx(0.1)
    assert predict(pooling, features, POOLED).json["model_scope"] == "pooled"


def test_no_answer_names_another_org(pooling, shelf, features):
    """What is stored of the orgs with the pooled model is never served."""
    shelf.pooled(new=0.1, rival=0.9173)
    answers = [
        predict(pooling, features),
        predict(pooling, features, POOLED),
        *(pooling.get(path, query_string={"org_id": id_}) for path in (INFO, VERSIONS) for id_ in ("new", POOLED)),
        pooling.get("/health?org_id=new"),
        pooling.get("/metrics"),
    ]
    assert all("rival" not in answer.text and "0.9173" not in answer.text for answer in answers[:-1])
    assert "rival" not in answers[-1].text


def cache_of(shelf, max_bytes: int = 10**9, metrics: Metrics | None = None) -> ModelCache:
    copies = MappedFiles(lambda: shelf.registry.root.parent / "copies")
    return ModelCache(shelf.registry, max_bytes, metrics or Metrics(), copies, is_pooling=True)


def test_orgs_that_share_a_model_share_its_arrays_and_each_is_weighed_once(shelf):
    shelf.pooled(a=0.1, b=0.2)
    metrics = Metrics()
    cache = cache_of(shelf, metrics=metrics)
    forests = [cache.active(org_id).scorer for org_id in ("unknown", "a", "b")]
    assert forests[0].nodes.words is forests[1].nodes.words is forests[2].nodes.words
    assert len(cache) == 3
    text = generate_latest(metrics.registry).decode()
    assert f"leadscore_model_cache_bytes {float(nbytes_of(tuple(forests)))}" in text
    assert nbytes_of(tuple(forests)) < 2 * nbytes_of(forests[0])


def test_an_org_is_moved_to_its_base_value_once(shelf):
    shelf.pooled(a=0.1)
    cache = cache_of(shelf)
    assert cache.active("a") is cache.active("a")
    assert cache.active("nobody") is cache.active("nobody-either") is cache.active(POOLED)


def test_memory_is_bounded_however_many_orgs_share_a_model(shelf):
    shelf.pooled(**{f"org-{number}": 0.1 + number / 1_000 for number in range(200)})
    whole = nbytes_of(cache_of(shelf).active("nobody").scorer)
    metrics = Metrics()
    cache = cache_of(shelf, 3 * whole, metrics)
    for number in range(200):
        cache.active(f"org-{number}")
        cache.active(f"unknown-{number}")
    held = float(generate_latest(metrics.registry).decode().split("\nleadscore_model_cache_bytes ")[1].split()[0])
    assert 2 * whole < held <= 3 * whole
    kept = [artifact.scorer for artifact, _ in vars(cache)["_models"].values()]
    assert held == nbytes_of(tuple(kept))


def test_a_pool_that_is_gone_is_no_model(shelf):
    """The pointer is looked at for every request."""
    shelf.pooled(a=0.1)
    cache = cache_of(shelf)
    cache.active("a")
    (shelf.registry.root / POOLED / "active.json").unlink()
    with pytest.raises(NoActiveModel):
        cache.active("a")


def test_a_damaged_pooled_pointer_changes_no_answer_about_an_orgs_own_model(pooling, shelf):
    shelf.pooled(new=0.3)
    (shelf.registry.root / POOLED / "active.json").write_bytes(b"{}")
    for path in (INFO, "/api/v1/model/feature-importance", "/api/v1/model/report"):
        answer = pooling.get(path, query_string={"org_id": "new"})
        assert (answer.status_code, answer.json["code"]) == (404, "no_active_model")
