"""The description: made from the routes, and complete."""

from __future__ import annotations

import re

import pytest
from flask import Response

from leadscore.features import CONTRACT, Feature, Words, declare
from serving.api.openapi import openapi_document
from serving.api.problems import STATUSES


def operations(document):
    return [
        (path, method, described)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
    ]


def references(part):
    if isinstance(part, dict):
        yield from ([part["$ref"]] if "$ref" in part else [])
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from references(inner)


def test_every_route_of_the_app_is_described(app, document):
    routes = {
        (re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert {(path, method) for path, method, _ in operations(document)} == routes
    assert {("/api/v1/model/train/{run_id}", "get"), ("/api/v1/leads/{lead_id}", "get")} <= routes
    assert len(routes) > 20


def test_a_route_that_says_nothing_of_itself_is_a_mistake(app):
    app.add_url_rule("/bare", view_func=lambda: Response("x"))
    with pytest.raises(TypeError, match="/bare"):
        openapi_document(app)


def test_the_document_has_the_parts_that_openapi_demands(document):
    assert document["openapi"] == "3.1.0"
    assert {"title", "version"} <= document["info"].keys()
    names = [described["operationId"] for _, _, described in operations(document)]
    assert len(names) == len(set(names))
    for path, _, described in operations(document):
        assert described["summary"]
        in_path = [entry["name"] for entry in described["parameters"] if entry["in"] == "path"]
        assert in_path == re.findall(r"\{(\w+)\}", path)
        for status, response in described["responses"].items():
            assert re.fullmatch(r"[2-5]\d\d", status)
            assert response["description"]
            assert all("schema" in content for content in response["content"].values())


def test_every_reference_leads_to_a_type(document):
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def test_the_features_are_those_of_the_contract(document):
    schema = document["components"]["schemas"]["Features"]
    assert tuple(schema["properties"]) == CONTRACT.names
    assert schema["properties"]["response_time_minutes"]["type"] == ["number", "null"]
    assert "response_time_minutes" not in schema["required"]
    assert schema["properties"]["has_property"]["maximum"] == 1


def test_the_examples_are_answered(client, shelf, document):
    shelf.activated()
    for path, _, described in operations(document):
        if path.startswith("/api/v1/predict"):
            reference = described["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            [example] = document["components"]["schemas"][reference.rpartition("/")[2]]["examples"]
            assert client.post(path, json=example).status_code == 200


def test_the_examples_show_a_feature_as_soon_as_it_is_declared(client, shelf, app):
    visits = Feature("visits_count", "visits", "count", 0, 9, "visits so far", example=3, words=Words("Visits", "{}"))
    grown = declare(features=(visits, *CONTRACT.features))
    shelf.activated(contract=grown)
    schemas = openapi_document(app, grown)["components"]["schemas"]
    for path, name in (("/api/v1/predict", "PredictRequest"), ("/api/v1/predict/batch", "BatchRequest")):
        [example] = schemas[name]["examples"]
        answer = client.post(path, json=example)
        assert answer.status_code == 200, answer.json
        assert answer.json.get("failed", 0) == 0
        assert '"visits_count"' in answer.text


def test_every_answer_that_is_refused_is_described_as_a_problem(document):
    for _, _, described in operations(document):
        for status, response in described["responses"].items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"]


def test_a_code_is_described_with_the_status_that_it_is_answered_with(document):
    for _, _, described in operations(document):
        for status, response in described["responses"].items():
            for code in re.findall(r"`(\w+)`: ", response["description"]):
                assert (code, STATUSES[code]) == (code, int(status))
