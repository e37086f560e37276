"""An endpoint answers its own method alone, and JSON to whoever takes it."""

from __future__ import annotations

import pytest

from tests.serving.refusals import assert_refused

PREDICT = "/api/v1/predict"
JSON = "application/json"


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("POST", "/health", 405, "GET"),
        ("GET", PREDICT, 405, "POST"),
        ("PUT", PREDICT, 405, "POST"),
        ("DELETE", "/api/v1/model/info", 405, "GET"),
        ("POST", "/api/v1/model/readiness", 405, "GET"),
        ("TRACE", "/health", 405, "GET"),
        ("BREW", "/health", 405, "GET"),
        ("POST", "/", 405, "GET"),
        ("GET", "/api", 404, None),
        ("GET", "/health/", 404, None),
        ("GET", "/api/v1/../metrics", 404, None),
        ("GET", "/HEALTH", 404, None),
        ("GET", "/static/x", 404, None),
        ("GET", "/api/v1/model/train/", 404, None),
    ],
)
def test_a_wrong_method_or_route_is_told_so(client, method, path, status, allowed):
    answer = client.open(path, method=method)
    assert_refused(answer, status)
    assert allowed is None or allowed in answer.headers["Allow"]


def test_slashes_in_front_are_not_another_way_to_write_an_address(client):
    """A client takes what follows them for a host, so the path is set as a server receives it."""
    for path in ("//health", "//"):
        assert_refused(client.get("/health", environ_overrides={"PATH_INFO": path}), 404)


def test_head_and_options_are_answered_without_a_body(client):
    for method in ("HEAD", "OPTIONS"):
        answer = client.open("/health/live", method=method)
        assert (answer.status_code, answer.data) == (200, b"")


@pytest.mark.parametrize("accept", ["text/html", "application/xml, text/*", "application/json;q=0"])
def test_a_client_that_takes_no_json_is_told_so(client, accept):
    assert_refused(client.get("/health/live", headers={"Accept": accept}), 406)


@pytest.mark.parametrize("accept", ["*/*", "application/*", "application/json", "text/html, */*;q=0.8", ""])
def test_a_client_that_takes_json_gets_it(client, accept):
    assert client.get("/health/live", headers={"Accept": accept}).content_type == JSON


@pytest.mark.parametrize("path", ["/metrics", "/docs"])
def test_pages_that_are_no_json_are_for_anybody(client, path):
    assert client.get(path, headers={"Accept": "text/html"}).status_code == 200
