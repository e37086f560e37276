"""Scoring one lead and a batch of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from leadscore.features import CONTRACT
from leadscore_assets.training.estimator import flatten
from serving.server.rsgi import _paths_of

PREDICT = "/api/v1/predict"
BATCH = "/api/v1/predict/batch"


def test_a_lead_gets_everything_that_the_contract_names(client, shelf, features):
    version = shelf.activated()
    answer = client.post(PREDICT, json={"org_id": "default", "features": features})
    assert answer.status_code == 200
    assert answer.headers["X-Model-Version"] == version
    assert {name: kind for name, kind in answer.json.items() if name != "feature_contributions"} == {
        "prediction": 1,
        "conversion_probability": 0.75,
        "confidence": 1.0,
        "model_version": version,
        "model_scope": "own",
        "recommended_action": "HIGH_PRIORITY",
        "org_id": "default",
        "base_value": answer.json["base_value"],
        "lead_id": None,
    }


def test_contributions_name_every_feature_with_its_value_and_add_up(client, shelf, features):
    shelf.activated()
    body = client.post(PREDICT, json={"features": features}).json
    contributions = body["feature_contributions"]
    assert {entry["feature"]: entry["value"] for entry in contributions} == features
    sizes = [abs(entry["contribution"]) for entry in contributions]
    assert sizes == sorted(sizes, reverse=True)
    total = body["base_value"] + sum(entry["contribution"] for entry in contributions)
    assert total == pytest.approx(body["conversion_probability"], abs=1e-6)


def test_a_lead_id_beside_the_features_is_echoed(client, shelf, features):
    shelf.activated()
    for lead_id in ("A-17", 17, None):
        answer = client.post(PREDICT, json={"features": features, "lead_id": lead_id})
        assert (answer.status_code, answer.json["lead_id"]) == (200, lead_id)
    answer = client.post(PREDICT, json={"features": features, "lead_id": 1.5})
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/lead_id")


def test_features_that_may_be_unknown_may_be_left_out(client, shelf, features):
    shelf.activated()
    nullable = [feature.name for feature in CONTRACT.features if feature.nullable]
    rest = {name: value for name, value in features.items() if name not in nullable}
    whole = client.post(PREDICT, json={"features": rest | dict.fromkeys(nullable)})
    assert client.post(PREDICT, json={"features": rest}).json == whole.json
    assert nullable == ["response_time_minutes"]
    required = client.get("/openapi.json").json["components"]["schemas"]["Features"]["required"]
    assert sorted(required) == sorted(rest)


@pytest.mark.parametrize(("age_days", "says"), [(89.5, None), (90, "90 days old"), (1_234.6, "1,235 days old")])
def test_a_lead_whose_conversion_window_is_over_gets_a_note(client, shelf, features, age_days, says):
    shelf.activated()
    body = client.post(PREDICT, json={"features": features | {"days_since_creation": age_days}}).json
    assert (says is None) == ("note" not in body)
    assert says is None or (says in body["note"] and "converts within 90 days of its creation" in body["note"])


def test_a_lead_without_features_and_id_is_refused(client, shelf):
    shelf.activated()
    answer = client.post(PREDICT, json={"org_id": "default", "lead_id": None})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_request")
    assert answer.json["errors"] == [
        {"pointer": "/features", "code": "missing", "detail": "required, unless lead_id is given in their place"}
    ]


def test_an_org_that_is_not_named_is_default(client, shelf, features):
    shelf.activated()
    assert client.post(PREDICT, json={"features": features}).json["org_id"] == "default"


def test_contributions_can_be_left_out(client, shelf, features):
    shelf.activated()
    full = client.post(PREDICT, json={"features": features}).json
    bare = client.post(f"{PREDICT}?contributions=false", json={"features": features}).json
    assert bare == full | {"feature_contributions": []}


def test_scores_over_http_are_those_of_scikit_learn(client, shelf):
    random = np.random.default_rng(7)
    rows = np.column_stack([random.integers(0, 2, 300) for _ in CONTRACT.names]).astype(float)
    outcomes = (rows[:, 0] + rows[:, 4] + random.random(300)) > 1.5
    estimator = RandomForestClassifier(20, max_depth=6, random_state=1).fit(rows.astype(np.float32), outcomes)
    version = shelf.publish(forest=flatten(estimator))
    client.post("/api/v1/model/rollback", json={"version": version, "force": True, "reason": "the only one"})
    batch = [dict(zip(CONTRACT.names, row, strict=True)) for row in rows[:50].tolist()]
    predictions = client.post(BATCH, json={"batch": batch}).json["predictions"]
    expected = estimator.predict_proba(rows[:50].astype(np.float32))[:, 1]
    assert [entry["conversion_probability"] for entry in predictions] == pytest.approx(expected.tolist(), abs=1e-9)


def test_a_batch_keeps_order_and_lead_ids_and_gives_faults_in_their_place(client, shelf, features):
    version = shelf.activated()
    low = features | {"lead_source_score": 10, "appointments_count": 0}
    items: list[Any] = [
        {"features": features, "lead_id": "first"},
        {"features": features | {"has_property": 7}, "lead_id": 2},
        low | {"lead_id": 3},
        low,
        {"features": features, "lead_id": 1.5},
        {"features": [], "lead_id": "no object"},
        {"features": features, "label": 1},
    ]
    answer = client.post(BATCH, json={"batch": items})
    body = answer.json
    assert (answer.status_code, body["count"], body["failed"], body["model_version"]) == (200, 7, 4, version)
    predictions = body["predictions"]
    assert [entry["lead_id"] for entry in predictions] == ["first", 2, 3, None, None, "no object", None]
    assert [entry.get("conversion_probability") for entry in predictions] == [0.75, None, 0.25, 0.25, None, None, None]
    assert predictions[1]["index"] == 1
    assert predictions[1]["code"] == "invalid_features"
    assert [fault["pointer"] for entry in predictions for fault in entry.get("errors", ())] == [
        "/batch/1/features/has_property",
        "/batch/4/lead_id",
        "/batch/5/features",
        "/batch/6",
    ]


def test_a_batch_item_is_scored_as_the_lead_alone(client, shelf, features):
    shelf.activated()
    alone = client.post(PREDICT, json={"features": features}).json
    [in_batch] = client.post(BATCH, json={"batch": [features]}).json["predictions"]
    assert in_batch == alone


def test_a_batch_of_which_nothing_can_be_scored_is_refused_with_every_fault(client, shelf, features):
    shelf.activated()
    wrong = features | {"has_property": 2, "property_price": -1}
    answer = client.post(BATCH, json={"batch": [wrong, wrong]})
    assert (answer.status_code, answer.json["code"], len(answer.json["errors"])) == (422, "nothing_scorable", 4)


@pytest.mark.parametrize(
    ("count", "detail"),
    [
        (51, "51 items, and at most 50 are allowed"),
        (1_000, "1000 items, and at most 50 are allowed"),
        (33_000, "a batch may have 50 items of 64 values, and the body holds 66001 values"),
    ],
)
def test_too_large_a_batch_is_refused_before_an_item_is_judged_or_a_version_loaded(
    client: Any, parts: Any, monkeypatch: pytest.MonkeyPatch, count: int, detail: str
) -> None:
    """Empty items have three bytes each; the largest body holds 33,000."""

    def judge(*_: Any) -> None:
        raise AssertionError("an item was judged")

    monkeypatch.setattr("serving.api.lead_parsing._judged_item", judge)
    monkeypatch.setattr(parts.models, "active", judge)
    items = b",".join([b"{}"] * count)
    answer = client.post(BATCH, data=b'{"batch":[' + items + b"]}", content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (413, "too_large")
    assert detail in answer.json["detail"]


@pytest.mark.parametrize(("count", "status"), [(0, 422), (50, 200), (51, 413)])
def test_a_batch_has_from_one_to_the_most_leads(client, shelf, features, count, status):
    shelf.activated()
    assert client.post(BATCH, json={"batch": [features] * count}).status_code == status


@pytest.mark.parametrize("path", [PREDICT, BATCH])
def test_without_an_active_model_there_is_no_score(client, shelf, features, path):
    shelf.judged("held-only", "hold")
    body = {"features": features} if path == PREDICT else {"batch": [features]}
    answers = [client.post(path, json={"org_id": org_id, **body}) for org_id in ("held-only", "unheard-of")]
    for answer in answers:
        assert (answer.status_code, answer.json["code"]) == (404, "no_active_model")
    first, second = ({**answer.json, "instance": "", "request_id": ""} for answer in answers)
    assert first == second


def test_a_damaged_version_is_not_served_and_others_are(client, shelf, features):
    damaged, _ = shelf.activated("acme"), shelf.activated("zeta", high=0.9)
    engine = shelf.folder(damaged, "acme") / "engine.safetensors"
    content = bytearray(engine.read_bytes())
    content[-1] ^= 1
    engine.write_bytes(content)
    answer = client.post(PREDICT, json={"org_id": "acme", "features": features})
    assert (answer.status_code, answer.json["code"]) == (503, "model_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert client.post(PREDICT, json={"org_id": "zeta", "features": features}).status_code == 200


@pytest.mark.parametrize("file", ["manifest.json", "engine.safetensors"])
@pytest.mark.parametrize("harm", ["truncated", "removed", "a folder"])
def test_no_harm_to_a_file_gives_anything_but_503(client, shelf, features, file, harm):
    path: Path = shelf.folder(shelf.activated()) / file
    content = path.read_bytes()
    path.unlink()
    if harm == "truncated":
        path.write_bytes(content[: len(content) // 2])
    if harm == "a folder":
        path.mkdir()
    answer = client.post(PREDICT, json={"features": features})
    assert answer.status_code == 503
    assert answer.json["code"] in ("model_unavailable", "registry_unavailable")


def test_a_version_that_is_gone_is_unavailable_not_unknown(client, shelf, features):
    folder = shelf.folder(shelf.activated())
    folder.rename(folder.with_name("elsewhere"))
    assert client.post(PREDICT, json={"features": features}).status_code == 503


def test_only_a_batch_takes_a_large_body_and_the_threads_that_compute_with_it(app):
    """A padded body makes no other route wait there, least of all one that waits for a training."""
    assert _paths_of(app, "is_computing") == {BATCH}
    assert _paths_of(app, "is_quick") <= {PREDICT, "/health/live"}
