"""From bytes and query strings to checked types: what is odd but right is taken, what is wrong is named."""

from __future__ import annotations

import json

import pytest

from tests.serving.refusals import assert_refused

PREDICT = "/api/v1/predict"
ROLLBACK = "/api/v1/model/rollback"
JSON = "application/json"


def test_where_the_json_breaks_is_said(client):
    answer = client.post(PREDICT, data=b'{"features": x}', content_type=JSON)
    assert "byte 13" in answer.json["detail"]


def test_a_charset_beside_the_content_type_is_fine(client, shelf, features):
    shelf.activated()
    body = json.dumps({"features": features})
    assert client.post(PREDICT, data=body, content_type="application/json; charset=utf-8").status_code == 200


def test_of_a_repeated_name_the_last_counts(client, shelf, features):
    shelf.activated()
    body = json.dumps({"features": features}).replace("{", '{"org_id": "unheard-of", "org_id": "default", ', 1)
    assert client.post(PREDICT, data=body, content_type=JSON).json["org_id"] == "default"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=1.5",
        "limit=1&limit=2",
        "size=3",
        "limit=",
        "cursor=",
        "org_id=a&org_id=b",
    ],
)
def test_a_query_parameter_that_is_wrong_is_named(client, query):
    answer = client.get(f"/api/v1/model/versions?{query}")
    assert_refused(answer, 400)
    assert answer.json["errors"][0]["pointer"] == f"?{query.partition('=')[0]}"


@pytest.mark.parametrize(
    ("path", "query"),
    [(PREDICT, "contributions=maybe"), (PREDICT, "x=1"), (ROLLBACK, "force=1"), ("/api/v1/model/train", "wait=-1")],
)
def test_a_post_refuses_what_it_does_not_take_in_the_query(client, features, path, query):
    assert_refused(client.post(f"{path}?{query}", json={"features": features}), 400)


@pytest.mark.parametrize("path", ["/metrics?x=1", "/docs?x=1", "/health/live?x=1", "/api/v1/model/readiness?x=1"])
def test_a_page_refuses_parameters_as_well(client, path):
    assert_refused(client.get(path), 400)
