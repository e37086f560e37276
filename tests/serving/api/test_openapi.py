"""The description: made from the routes, complete, and shown on a page that needs nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Response

import serving
from leadscore.errors import Conflict, LeadscoreError, NotFound, all_errors
from leadscore.features import CONTRACT, Feature, declare
from serving.api.openapi import openapi_document
from serving.api.problems import _OF_ROUTES, CODES, STATUSES


@pytest.fixture
def document(client) -> dict:
    return client.get("/openapi.json").json


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
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert {(path, method) for path, method, _ in operations(document)} == routes
    assert ("/api/v1/model/train/{run_id}", "get") in routes
    assert len(routes) == 16


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
    visits = Feature("visits_count", "visits", "count", 0, 9, "visits so far", example=3)
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


def test_a_refusal_has_a_code_with_a_meaning_and_the_status_of_that_code():
    refusals = re.findall(r'Refusal\((\d+), "(\w+)"', routes_source())
    refusals += re.findall(r'invalid\(.*, (\d+), "(\w+)"\)', routes_source())
    assert len(refusals) > 10
    for status, code in refusals:
        assert (code, int(status)) in STATUSES.items()


def test_a_code_that_only_a_route_refuses_with_is_used_by_one():
    for code in _OF_ROUTES:
        assert f'"{code}"' in routes_source()


def test_a_code_is_described_with_the_status_that_it_is_answered_with(document):
    for _, _, described in operations(document):
        for status, response in described["responses"].items():
            for code in re.findall(r"`(\w+)`: ", response["description"]):
                assert (code, STATUSES[code]) == (code, int(status))


def routes_source():
    root = Path(serving.__file__).parent
    return "".join(path.read_text() for path in sorted(root.rglob("*.py")) if path.name != "problems.py")


class Page(HTMLParser):
    """Gathers the links and ids of a page, and the elements that could load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.links, self.loading = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids.add(given.get("id"))
        self.links += [given["href"]] if tag == "a" else []
        self.loading += [tag] if tag in ("script", "link", "img", "iframe", "object", "form") or "src" in given else []


def test_the_page_loads_nothing_and_its_links_lead_somewhere(client):
    answer = client.get("/docs")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    page = Page(answer.text)
    assert page.loading == []
    assert "url(" not in answer.text
    assert "@import" not in answer.text
    for link in page.links:
        assert link == "/openapi.json" or link.removeprefix("#") in page.ids


def test_the_page_shows_every_call_every_feature_and_every_code(client, document):
    text = client.get("/docs").text
    for shown in (*document["paths"], *CONTRACT.names):
        assert shown in text
    assert set(CODES) <= Page(text).ids


@pytest.mark.parametrize("kind", [*all_errors()])
def test_every_error_has_a_code_on_the_page_and_one_that_callers_cause_is_described_by_a_route(client, document, kind):
    answered = kind.answered_as()
    assert answered.code in Page(client.get("/docs").text).ids
    assert (CODES[answered.code], STATUSES[answered.code]) == (answered.meaning, answered.status)
    if answered not in (LeadscoreError, NotFound, Conflict):  # a defect, and two that only their kinds are raised of
        assert f"`{answered.code}`: {answered.meaning}" in str(document)
