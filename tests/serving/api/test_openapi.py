"""The description: made from the routes, and complete."""

from __future__ import annotations

import re

import jsonschema
import pytest
from flask import Response

from leadscore.features import CONTRACT, Feature, Words, declare
from leadscore.registry.ids import ORG_ID_PATTERN, VERSION_ID_PATTERN
from serving.api.openapi import openapi_document
from serving.api.problems import STATUSES
from serving.api.schema import RUN_ID_PATTERN


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


def resolved(part, document):
    """Return a part of the document, or what it refers to."""
    found = part
    if "$ref" in part:
        found = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
    return found


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
        assert resolved({"$ref": reference}, document)


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


def unions(part):
    if isinstance(part, dict):
        yield from ([part["anyOf"]] if isinstance(part.get("anyOf"), list) else [])
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from unions(inner)


def test_each_part_of_a_union_has_a_title_which_is_its_own(document):
    """Generators name the types of clients after them."""
    found = list(unions(document))
    assert len(found) > 30
    for parts in found:
        titles = [resolved(part, document)["title"] for part in parts]
        assert len(set(titles)) == len(titles)


def test_every_call_has_a_tag_that_is_described_and_the_address_is_the_servers(document, settings):
    described = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert all(description.endswith(".") for description in described.values())
    assert {tag for _, _, call in operations(document) for tag in call["tags"]} == set(described)
    assert {"scoring", "leads", "grades", "trainings", "versions"} <= set(described)
    assert [server["url"] for server in document["servers"]] == [settings.link("")]


def test_ids_have_the_pattern_by_which_they_are_checked(document):
    def pattern_of(path, name):
        [schema] = [each["schema"] for each in document["paths"][path]["get"]["parameters"] if each["name"] == name]
        return schema["pattern"] if "pattern" in schema else schema["anyOf"][0]["pattern"]

    assert pattern_of("/api/v1/model/info", "org_id") == ORG_ID_PATTERN
    assert pattern_of("/api/v1/model/info", "version") == VERSION_ID_PATTERN
    assert pattern_of("/api/v1/model/train/{run_id}", "run_id") == RUN_ID_PATTERN
    [fields] = [document["components"]["schemas"]["LeadsAnswer"]["properties"]]
    assert (fields["org_id"]["pattern"], fields["model_version"]["anyOf"][0]["pattern"]) == (
        ORG_ID_PATTERN,
        VERSION_ID_PATTERN,
    )


def test_every_call_shows_an_example_of_each_answer_in_json_and_each_refusal_that_fits_its_schema(document):
    for path, _, described in operations(document):
        for status, response in described["responses"].items():
            for kind, content in response["content"].items():
                if kind in ("application/json", "application/problem+json") and "$ref" in str(content["schema"]):
                    given = content["examples"]
                    assert given, (path, status)
                    for example in given.values():
                        check(resolved(example, document)["value"], content["schema"], document)


def check(value, schema, document):
    jsonschema.validate(value, {**schema, "components": document["components"]}, jsonschema.Draft202012Validator)


def test_an_example_of_a_refusal_has_the_status_and_the_code_that_it_stands_for(document):
    for _, _, described in operations(document):
        for status, response in described["responses"].items():
            given = response["content"].get("application/problem+json", {}).get("examples", {})
            for code in given.keys() - {"example"}:
                value = document["components"]["examples"][code]["value"]
                assert (value["code"], value["status"]) == (code, int(status))


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
