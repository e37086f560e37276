"""Odd and hostile requests, as a list. Every answer is a problem, none is a 5xx, none repeats what was sent.

Each is handed to the app, and sent to a server over a socket, too.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from leadscore.registry.store import Registry
from tests.serving.conftest import Shelf
from tests.serving.refusals import assert_refused
from tests.serving.socket_client import SocketClient

PREDICT = "/api/v1/predict"
ROLLBACK = "/api/v1/model/rollback"
JSON = "application/json"
PAGES_OF_AN_ORG = [
    "/health",
    *(
        f"/api/v1/model/{page}"
        for page in ("info", "report", "versions", "activations", "feature-importance", "readiness")
    ),
    "/api/v1/leads",
    "/api/v1/leads/4711",
    "/api/v1/grades",
]

TRAVERSALS = ["../../etc", "..", "a/../b", "%2e%2e%2f", "..%252f", "\\..\\..\\x", "file:///etc", "a#/../x", "a..b"]
ABSOLUTE = ["/etc/passwd", "C:\\x", "//host/share"]
CONTROLS = ["a\0b", "a\nb", "a\tb", "a\x1b[31mb", "a\u202eb", "a\r\nb"]
NOT_ASCII = ["\uff0e\uff0e\uff0f", "e\u0301", "\u00e9", "\u0430cme", "😀"]
DEVICES = ["nul.txt ", "aux ", " acme", ".hidden", "-flag", "x" * 129, ""]
SQL = ["'; drop table leads;--", 'a" or "1"="1']
RESERVED = ["_pooled", "_pooled/x", "_Pooled", "__pooled", "_"]
NOT_TEXT = [123, True, None, [], {}, 1.5]

IDS = [*TRAVERSALS, *ABSOLUTE, *CONTROLS, *NOT_ASCII, *DEVICES, *SQL, *RESERVED, *NOT_TEXT]
VERSIONS = [*IDS, "2026031506000", "202603150600000", "\uff12" * 14, "20260315060000\n"]

BODIES = [
    ("truncated", b'{"features": {'),
    ("trailing bytes", b'{"features": {}} x'),
    ("a comment", b'{"features": {} /* none */}'),
    ("single quotes", b"{'features': {}}"),
    ("a byte order mark", b'\xef\xbb\xbf{"features": {}}'),
    ("UTF-16", '{"features": {}}'.encode("utf-16")),
    ("not UTF-8", b'{"features": {"a": "\xff"}}'),
    ("half a surrogate pair", b'{"features": {"a": "\\ud800"}}'),
    ("NaN", b'{"features": {"property_price": NaN}}'),
    ("Infinity", b'{"features": {"property_price": Infinity}}'),
    ("a number beyond floats", b'{"features": {"property_price": 1e400}}'),
    ("5000 digits", b'{"features": {"property_price": ' + b"9" * 5000 + b"}}"),
    ("nested too deep", b"[" * 50_000),
    ("nested too deep in a feature", b'{"features": {"a": ' + b"[" * 50_000),
    ("nested too deep in an unknown field", b'{"x": ' + b'{"a":' * 12_000),
    ("a list", b"[]"),
    ("null", b"null"),
    ("a string", b'"x"'),
    ("a number", b"1"),
]

WRONG_VALUES: list[tuple[str, Any]] = [
    ("a number as text", "1.5"),
    ("NaN as text", "NaN"),
    ("a flag as number", True),
    ("a list", []),
    ("an object", {}),
    ("a huge text", "x" * 50_000),
    ("an integer beyond floats", 10**400),
    ("an integer beyond 64 bits", 2**64),
    ("a negative integer beyond floats", -(10**400)),
    ("out of range", 1e300),
    ("negative", -1),
    ("a formula", "=cmd()"),
    ("markup", "<script>alert(1)</script>"),
]

CONTENT_TYPES = ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data", None]
CONTENT_TYPES += ["application/octet-stream", "application/x-pickle", "application/jsonx", "application/json5"]


IN_PROCESS, SOCKET = "in process", "over a socket"
only_in_process = pytest.mark.parametrize("way", [IN_PROCESS], indirect=True)


@pytest.fixture(params=[IN_PROCESS, SOCKET])
def way(request):
    """Give the way that requests take."""
    return request.param


@pytest.fixture
def settings(way, settings, request):
    """Give the app's settings, with the registry of the server when requests are sent there."""
    return replace(settings, model_path=request.getfixturevalue("lasting").models) if way == SOCKET else settings


@pytest.fixture
def shelf(settings):
    """Give an empty registry; the server looks at it for each request."""
    shutil.rmtree(settings.model_path, ignore_errors=True)
    settings.model_path.mkdir()
    return Shelf(Registry(settings.model_path))


@pytest.fixture
def client(way, request, shelf):
    """Give a client of the app or of the server."""
    if way == SOCKET:
        return SocketClient(request.getfixturevalue("lasting").port)
    return request.getfixturevalue("app").test_client()


@pytest.mark.parametrize("org_id", IDS)
def test_an_org_id_that_is_none_is_refused_everywhere_and_not_repeated(client, shelf, features, org_id):
    answers = [
        client.post(PREDICT, json={"org_id": org_id, "features": features}),
        client.post(f"{PREDICT}/batch", json={"org_id": org_id, "batch": [features]}),
        client.post(ROLLBACK, json={"org_id": org_id, "version": "20260315060000"}),
        client.post("/api/v1/model/train", json={"org_id": org_id}),
        client.post("/api/v1/grades", json={"org_id": org_id, "rule": "base_rate"}),
    ]
    if isinstance(org_id, str):
        answers += [client.get(path, query_string={"org_id": org_id}) for path in PAGES_OF_AN_ORG]
    for answer in answers:
        assert_refused(answer, 400)
        assert answer.json["code"] == "invalid_id"
        assert not (isinstance(org_id, str) and len(org_id) > 3 and org_id in answer.text)
    assert list(shelf.registry.root.iterdir()) == []


@pytest.mark.parametrize("version", [value for value in VERSIONS if value is not None])
@pytest.mark.parametrize("field", ["version", "expected_active"])
def test_a_version_id_that_is_none_is_refused(client, shelf, version, field):
    active = shelf.activated()
    answer = client.post(ROLLBACK, json={"version": active, field: version})
    assert_refused(answer, 400)
    assert [fault["pointer"] for fault in answer.json["errors"]] == [f"/{field}"]
    if isinstance(version, str):
        assert_refused(client.get("/api/v1/model/info", query_string={"version": version}), 400)
        assert_refused(client.get("/api/v1/model/versions", query_string={"cursor": version}), 400)


@pytest.mark.parametrize("run_id", ["x", "..", "%2e%2e", "1" * 36, "9C2C8A3E-0000-4000-8000-000000000000", "a\0b"])
def test_a_run_id_that_is_none_is_refused(client, run_id):
    assert_refused(client.get(f"/api/v1/model/train/{run_id}"), 400, 404)


def test_orgs_that_differ_in_case_are_two(client, shelf, features):
    shelf.activated("Acme")
    assert client.post(PREDICT, json={"org_id": "Acme", "features": features}).status_code == 200
    assert_refused(client.post(PREDICT, json={"org_id": "acme", "features": features}), 404)


@pytest.mark.parametrize(("name", "body"), BODIES, ids=[name for name, _ in BODIES])
def test_a_body_that_is_not_a_json_object_is_refused(client, shelf, name, body):
    shelf.activated()
    answer = client.post(PREDICT, data=body, content_type=JSON)
    assert_refused(answer, 400)
    assert answer.json["code"] == "invalid_json"


def test_an_empty_body_is_refused(client):
    assert_refused(client.post(PREDICT, content_type=JSON, environ_overrides={"CONTENT_LENGTH": "0"}), 400)


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in WRONG_VALUES])
@pytest.mark.parametrize("feature", ["property_price", "inbound_messages_count", "has_property"])
def test_a_value_that_breaks_the_contract_is_refused_with_its_place(client, shelf, features, feature, value):
    shelf.activated()
    started = time.monotonic()
    answer = client.post(PREDICT, json={"features": features | {feature: value}})
    assert time.monotonic() - started < 2
    assert_refused(answer, 422)
    assert [fault["pointer"] for fault in answer.json["errors"]] == [f"/features/{feature}"]
    assert not (isinstance(value, str) and value in answer.text)


@pytest.mark.parametrize("value", [5e-324, -0.0, 1.0, 0.0, 1000000000000])
def test_a_tiny_or_whole_number_is_scored_and_answered_finite(client, shelf, features, value):
    shelf.activated()
    answer = client.post(PREDICT, json={"features": features | {"property_price": value}})
    assert answer.status_code == 200
    assert "NaN" not in answer.text


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_what_is_not_json_is_never_read(client, content_type):
    assert_refused(client.post(PREDICT, data=b"\x80\x04.", content_type=content_type), 415)


def test_a_compressed_body_is_not_unpacked(client):
    answer = client.post(PREDICT, data=b"\x1f\x8b", content_type=JSON, headers={"Content-Encoding": "gzip"})
    assert_refused(answer, 415)


def test_a_body_without_length_is_refused(client):
    answer = client.post(PREDICT, data=b"{}", content_type=JSON, environ_overrides={"CONTENT_LENGTH": ""})
    assert_refused(answer, 411)


def test_a_body_that_says_it_is_too_large_is_refused_unread(client):
    answer = client.post(PREDICT, data=b"{}", content_type=JSON, environ_overrides={"CONTENT_LENGTH": str(10**10)})
    assert_refused(answer, 413)


def test_unknown_fields_are_named_with_the_nearest_known_one(client, features):
    answer = client.post(PREDICT, json={"feature": features, "__proto__": 1, "organization_id": "default"})
    assert_refused(answer, 422)
    assert {fault["pointer"]: fault["code"] for fault in answer.json["errors"]} == {
        "/feature": "unknown",
        "/__proto__": "unknown",
        "/organization_id": "unknown",
    }
    assert "features" in next(fault["detail"] for fault in answer.json["errors"] if fault["pointer"] == "/feature")


def test_a_flood_of_unknown_names_is_answered_soon_and_short(client, shelf, features):
    shelf.activated()
    flood = {f"lead_source_scor{index}": 1 for index in range(2_000)}
    started = time.monotonic()
    top, inside = client.post(PREDICT, json=flood), client.post(PREDICT, json={"features": features | flood})
    batch = client.post(f"{PREDICT}/batch", json={"batch": [flood]})
    assert time.monotonic() - started < 2
    for answer in (top, inside, batch):
        assert_refused(answer, 422)
        assert len(answer.json["errors"]) < 30


def test_all_faults_of_a_request_are_named_at_once(client):
    answer = client.post(ROLLBACK, json={"org_id": "..", "force": "yes", "reason": "x" * 501, "extra": 1})
    assert_refused(answer, 400)
    assert {fault["pointer"] for fault in answer.json["errors"]} == {
        "/org_id", "/force", "/reason", "/extra", "/version",
    }  # fmt: skip


@pytest.mark.parametrize("hidden", [b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\x"])
@pytest.mark.parametrize("name", [b"features", b"batch"])
def test_what_is_not_utf_8_is_refused_in_a_member_that_another_of_its_name_hides(client, shelf, features, name, hidden):
    shelf.activated()
    path, good = (PREDICT, features) if name == b"features" else (f"{PREDICT}/batch", [{"features": features}])
    good = msgspec.json.encode(good)
    body = b'{"' + name + b'":{"' + hidden + b'":1},"' + name + b'":' + good + b"}"
    answer = client.post(path, data=body, content_type="application/json")
    assert_refused(answer, 400)
    assert answer.json["code"] == "invalid_json"


@pytest.mark.parametrize("features", [b"1", b"[]", b"null", b'"x"', b"true"])
def test_features_that_are_not_an_object_are_refused_before_a_model_is_looked_for(client, features):
    answer = client.post(PREDICT, data=b'{"features":' + features + b"}", content_type="application/json")
    assert_refused(answer, 422)
    assert answer.json["errors"][0]["pointer"] == "/features"
