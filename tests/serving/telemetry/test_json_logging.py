"""The log is one JSON object a line: parseable whatever callers send, with a defect's trace in it."""

from __future__ import annotations

import logging

import pytest

from tests.serving.telemetry.log_lines import entries


def test_a_request_gives_one_line_that_says_what_it_was(client, shelf, features, lines):
    version = shelf.activated("acme")
    body = {"org_id": "acme", "features": features}
    client.post("/api/v1/predict", json=body, headers={"X-Request-ID": "req-7"})
    [line] = [entry for entry in entries(lines) if entry["logger"] == "serving.requests"]
    assert line["duration_ms"] > 0
    assert line["timestamp"].endswith("+00:00")
    known = {name: line[name] for name in ("level", "message", "request_id", "org_id", "version", "status", "route")}
    assert known == {
        "level": "INFO",
        "message": "POST /api/v1/predict 200",
        "request_id": "req-7",
        "org_id": "acme",
        "version": version,
        "status": 200,
        "route": "/api/v1/predict",
    }


@pytest.mark.parametrize("forged", ['x\r\n{"level": "ERROR", "message": "forged"}', "\x1b[2J", "\u2028forged"])
def test_nothing_that_a_caller_sends_makes_a_line_of_its_own(client, shelf, features, lines, forged):
    shelf.activated()
    client.post("/api/v1/predict", json={"org_id": forged, "features": {**features, forged: forged}})
    client.post("/api/v1/predict/batch", json={"batch": [features | {"lead_id": forged}]})
    client.get("/api/v1/model/info", query_string={"org_id": forged})
    client.get(f"/{forged.encode().hex()}")
    found = [entry for entry in entries(lines) if entry["logger"] == "serving.requests"]
    assert len(found) == 4
    assert "forged" not in lines.getvalue()


def test_a_defect_is_logged_with_its_trace_on_one_line(client, parts, features, lines):
    parts.models.active = lambda _org_id: 1 / 0
    answer = client.post("/api/v1/predict", json={"features": features})
    [line] = [entry for entry in entries(lines) if entry["level"] == "ERROR"]
    assert "ZeroDivisionError" in line["exc_info"]
    assert line["request_id"] == answer.json["request_id"]


def test_what_cannot_be_logged_harms_nobody(lines):
    log = logging.getLogger("a.test")
    log.info("%d", "no number")
    log.info("after it")
    assert [entry["message"] for entry in entries(lines)] == ["after it"]
