"""From the event loop to the app: what is not ASCII is answered as any other input, and a defect has an answer, too."""

from __future__ import annotations

import io
import socket
import threading
from typing import Any

import msgspec
import pytest

from serving.server.rsgi import Bridge

NOT_ASCII = [b"\xe9", b"\xff", b"\xc3\xa9", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"%E9", b"%00", b"\x80" * 50]
GETS = ["/health", "/health/live", "/metrics", "/docs", "/openapi.json", "/api/v1/model/info", "/api/v1/model/versions"]
POSTS = ["/api/v1/predict", "/api/v1/predict/batch", "/api/v1/model/rollback", "/api/v1/model/train"]


def exchange(port: int, request: bytes) -> tuple[int, bytes]:
    """Send raw bytes, and return the status and the body of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def get(target: bytes, headers: bytes = b"") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers + b"\r\n"


def post(target: bytes, headers: bytes = b"") -> bytes:
    head = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    return b"POST " + target + head + b"Content-Type: application/json\r\nContent-Length: 2\r\n" + headers + b"\r\n{}"


def test_a_byte_that_is_not_ascii_in_a_query_string_is_never_a_defect(live: Any) -> None:
    """On every route, as a name and as a value; a server that refuses the request line by itself says 400."""
    for path in [*GETS, *POSTS]:
        request = get if path in GETS else post
        for odd in NOT_ASCII:
            for query in (b"org_id=" + odd, odd + b"=1", odd):
                status, _ = exchange(live.port, request(path.encode() + b"?" + query))
                assert status in (400, 404), (path, query)


def test_a_byte_that_is_not_ascii_in_a_path_or_a_header_is_never_a_defect(live: Any) -> None:
    for odd in NOT_ASCII:
        assert exchange(live.port, get(b"/" + odd))[0] in (400, 404)
        assert exchange(live.port, get(b"/api/v1/model/train/" + odd))[0] in (400, 404)
        for name in (b"Accept", b"User-Agent", b"X-Request-ID", b"If-None-Match", b"Cookie", b"X-Odd"):
            status, body = exchange(live.port, get(b"/health/live", name + b": " + odd + b"\r\n"))
            assert status in (200, 400, 406), (name, odd)
            assert status != 406 or msgspec.json.decode(body)["code"] == "not_acceptable"


def test_what_flask_never_sees_is_answered_as_a_defect_with_an_id_and_recorded(
    app: Any, parts: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Werkzeug cannot read a query string that is not Latin-1, which no server of ours hands it."""
    statuses: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/health",
        "QUERY_STRING": "\N{SNOWMAN}",
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
    }
    body = b"".join(app.wsgi_app(environ, lambda status, headers, _=None: statuses.extend([status, dict(headers)])))

    problem = msgspec.json.decode(body)
    assert statuses[0].startswith("500")
    assert (problem["code"], problem["request_id"]) == ("internal_error", statuses[1]["X-Request-ID"])
    assert "defect: UnicodeEncodeError" in caplog.text
    assert 'leadscore_http_requests_total{method="GET",route="other",status="500"} 1.0' in parts.metrics.text().decode()


def test_the_event_loop_answers_only_predictions_that_ask_no_database(app: Any) -> None:
    """A body with a lead's id in place of the features waits for the database, so it is answered in a thread."""
    bridge = Bridge(app, threading.Event(), threads=1, max_body_bytes=1_000)
    quick = [{"features": {}}, {"org_id": "a", "lead_id": 7, "features": {"has_property": 1}}, {"features": None}]
    waiting = [{"lead_id": "features"}, {"org_id": "features", "lead_id": 1}, {"lead_id": '"features":'}, {}]

    def is_quick(path: str, body: object) -> bool:
        return bridge._is_quick({"PATH_INFO": path, "wsgi.input": io.BytesIO(msgspec.json.encode(body))})

    assert [is_quick("/api/v1/predict", body) for body in quick] == [True] * 3
    assert [is_quick("/api/v1/predict", body) for body in waiting] == [False] * 4
    assert is_quick("/health/live", {})
    assert not is_quick("/api/v1/predict/batch", {"features": {}})


def test_a_prediction_by_a_leads_id_is_answered_over_the_wire(live: Any) -> None:
    """The live server's database is away."""
    body = b'{"lead_id": 1}'
    head = (
        b"POST /api/v1/predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    )
    status, answer = exchange(live.port, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert (status, msgspec.json.decode(answer)["code"]) in ((503, "database_unavailable"), (404, "no_active_model"))
