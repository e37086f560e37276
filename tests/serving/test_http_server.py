"""The real server: what waitress sees before Flask does, clients that stall, and a stop that loses no answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from leadscore.errors import CannotRun
from serving.app import create_app
from serving.http_server import HttpServer

ROOT = Path(__file__).parents[2]
PREDICT = b"POST /api/v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def exchange(port: int, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, and return the status, the headers and the body of what comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        received = b""
        while part := connection.recv(65_536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


REFUSED = [
    ("a chunked body", PREDICT + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 411),
    ("chunked and a length", PREDICT + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", 411),
    ("chunked twice", PREDICT + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 411),
    ("another encoding", PREDICT + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    ("no length", PREDICT + b"Connection: close\r\n\r\n", 411),
    ("a huge length", PREDICT + b"Content-Length: 10000000000\r\n\r\n{", 413),
    ("a negative length", PREDICT + b"Content-Length: -1\r\n\r\n{}", 400),
    ("a signed length", PREDICT + b"Content-Length: +2\r\n\r\n{}", 400),
    ("two lengths", PREDICT + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", 400),
    ("a zero byte in a header", PREDICT + b"X-A: a\x00b\r\nContent-Length: 2\r\n\r\n{}", 400),
    ("a header of 1 MB", PREDICT + b"X-A: " + b"a" * 1_000_000 + b"\r\n\r\n", 431),
    ("no request line", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
]


@pytest.mark.parametrize(("name", "sent", "status"), REFUSED, ids=[name for name, _, _ in REFUSED])
def test_what_is_no_proper_request_is_refused_as_a_problem_and_the_connection_closed(live, name, sent, status):
    answered, headers, body = exchange(live.server.port, sent)
    assert answered == status
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["request_id"] == headers["x-request-id"]
    assert live.http.request("GET", "/health/live").status == 200


def test_a_second_request_hidden_behind_a_refused_one_is_not_answered(live):
    hidden = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    _, _, body = exchange(live.server.port, PREDICT + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden)
    assert b"HTTP/1.1" not in body


def test_the_largest_body_is_taken_and_one_byte_more_is_not(live, settings):
    for size, status in ((settings.max_body_bytes, 400), (settings.max_body_bytes + 1, 413)):
        body = b" " * size
        head = PREDICT + f"Content-Length: {size}\r\nConnection: close\r\n\r\n".encode()
        assert exchange(live.server.port, head + body)[0] == status


def send_for(connection: socket.socket, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        connection.sendall(b" " * 1_000)
        time.sleep(0.001)


def test_a_client_that_sends_on_after_the_refusal_is_cut_off(live):
    with socket.create_connection(("127.0.0.1", live.server.port), timeout=20) as connection:
        connection.sendall(PREDICT + b"Content-Length: 10000000000\r\n\r\n")
        with pytest.raises(OSError, match=r"reset|[Bb]roken"):
            send_for(connection, 20)


def test_two_request_ids_are_none(live):
    sent = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\r\nX-Request-ID: b\r\nConnection: close\r\n\r\n"
    status, headers, _ = exchange(live.server.port, sent)
    assert status == 200
    assert len(headers["x-request-id"]) == 36


def test_clients_that_stall_hold_nobody_up(live, shelf, features):
    shelf.activated()
    live.post("/api/v1/predict", {"features": features})
    with contextlib.ExitStack() as stack:
        for index in range(150):
            stalled = stack.enter_context(socket.create_connection(("127.0.0.1", live.server.port), timeout=10))
            stalled.sendall(PREDICT + (b"Content-Length: 100\r\n\r\n{" if index % 2 else b"X-Slow: "))
        started = time.monotonic()
        for _ in range(5):
            assert live.post("/api/v1/predict", {"features": features}).status == 200
        assert time.monotonic() - started < 3


def test_a_connection_serves_many_requests(live):
    for _ in range(20):
        assert live.http.request("GET", "/health/live").status == 200
    assert live.http.num_connections == 1


def test_a_server_may_be_told_to_stop_more_than_once(settings, shelf):
    server = HttpServer(create_app(settings), settings, port=0)
    server.stop()
    server.run()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)


def test_a_port_that_is_taken_is_said_so(settings, shelf, live):
    with pytest.raises(CannotRun, match="PORT"):
        HttpServer(create_app(settings), settings, port=live.server.port)


Starter = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path) -> Iterator[Starter]:
    """Give a function that starts the server as people do, with settings from the environment."""
    started: list[subprocess.Popen[str]] = []

    def start_with(**environment: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **{name: str(value) for name, value in environment.items()}},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_with
    for process in started:
        process.kill()
        process.communicate()


def until_listening(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout
    for line in process.stdout:
        entry: dict[str, Any] = json.loads(line)
        if entry["message"] == "listening":
            return entry
    raise AssertionError(process.communicate()[1])


def test_a_stop_finishes_what_is_under_way_and_exits_with_0(start, free_port, shelf, features):
    shelf.activated()
    port = free_port()
    process = start(PORT=port, MODEL_PATH=shelf.registry.root, MAX_BATCH_SIZE=20_000)
    until_listening(process)
    body = json.dumps({"batch": [features] * 5_000}).encode()
    head = b"POST /api/v1/predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        with urllib3.HTTPConnectionPool("127.0.0.1", port) as http:
            deadline = time.monotonic() + 30
            while b"leadscore_http_requests_in_progress 2.0" not in http.request("GET", "/metrics").data:
                assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        received = b""
        while part := connection.recv(1_000_000):
            received += part
    assert json.loads(received.partition(b"\r\n\r\n")[2])["count"] == 5_000
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert [json.loads(line)["message"] for line in out.splitlines()][-1] == "stopped"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_stops_at_once(start, free_port, tmp_path, number):
    process = start(PORT=free_port(), MODEL_PATH=tmp_path / "models")
    until_listening(process)
    started = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert time.monotonic() - started < 5


def test_the_server_makes_its_registry_and_is_ready(start, free_port, tmp_path):
    port = free_port()
    until_listening(start(PORT=port, MODEL_PATH=tmp_path / "deep" / "models"))
    with urllib3.HTTPConnectionPool("127.0.0.1", port) as http:
        assert http.request("GET", "/health/ready").status == 200


@pytest.mark.parametrize(
    ("environment", "said"),
    [({"PORT": "x"}, "PORT"), ({"HOST": "203.0.113.1"}, "HOST"), ({"MODEL_PATH": "/dev/null/models"}, "MODEL_PATH")],
)
def test_a_server_that_cannot_start_says_why_in_a_line(start, free_port, tmp_path, environment, said):
    process = start(**{"PORT": free_port(), "MODEL_PATH": tmp_path / "models", **environment})
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said in err
    assert "Traceback" not in err
