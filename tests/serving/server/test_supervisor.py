"""The real server: what Flask never sees, clients that stall, processes that die, and a stop that loses no answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import urllib3

from serving.server.bodies import BODY_SECONDS
from serving.server.supervisor import PARTING_SECONDS

PREDICT = b"POST /api/v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BATCH = PREDICT.replace(b"predict", b"predict/batch")


def exchange(port: int, sent: bytes, timeout_seconds: float = 10) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, and return the status, the headers and the body of what comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_seconds) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent)
        received = b""
        while part := connection.recv(65_536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


CHUNKED = PREDICT + b"Transfer-Encoding: chunked\r\n"
REFUSED = [
    ("a chunked body", CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n", 411),
    ("chunked and a length", CHUNKED + b"Content-Length: 2\r\n\r\n0\r\n\r\n", 411),
    ("a chunked body that never ends", CHUNKED + b"\r\n" + b"5\r\nabcde\r\n" * 50_000, 411),
    ("a huge length", PREDICT + b"Content-Length: 10000000000\r\n\r\n{", 413),
]
MALFORMED = [
    ("chunked twice", PREDICT + b"Transfer-Encoding: chunked, chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    ("another encoding", PREDICT + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    ("a negative length", PREDICT + b"Content-Length: -1\r\n\r\n{}", 400),
    ("a signed length", PREDICT + b"Content-Length: +2\r\n\r\n{}", 400),
    ("two lengths", PREDICT + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", 400),
    ("a zero byte in a header", PREDICT + b"X-A: a\x00b\r\nContent-Length: 2\r\n\r\n{}", 400),
    ("a header of 1 MB", PREDICT + b"X-A: " + b"a" * 1_000_000 + b"\r\n\r\n", 431),
    ("no request line", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
]


@pytest.mark.parametrize(("name", "sent", "status"), REFUSED, ids=[name for name, _, _ in REFUSED])
def test_a_body_of_no_length_or_too_long_a_one_is_refused_as_a_problem_and_the_connection_closed(
    live, name, sent, status
):
    answered, headers, body = exchange(live.port, sent)
    assert answered == status
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["request_id"] == headers["x-request-id"]
    assert live.http.request("GET", "/health/live").status == 200


def test_what_is_no_http_is_refused_without_a_word_and_the_connection_closed(live):
    for name, sent, status in MALFORMED:
        assert (name, *exchange(live.port, sent)[::2]) == (name, status, b"")
    assert live.http.request("GET", "/health/live").status == 200


def test_a_second_request_hidden_behind_a_refused_one_is_not_answered(live):
    hidden = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    _, _, body = exchange(live.port, CHUNKED + b"\r\n0\r\n\r\n" + hidden)
    assert b"HTTP/1.1" not in body


def test_a_request_without_a_length_has_no_body(live):
    assert exchange(live.port, PREDICT + b"Connection: close\r\n\r\n")[0] == 411


def test_the_largest_body_is_taken_and_one_byte_more_is_not(live, settings):
    for size, status in ((settings.max_body_bytes, 400), (settings.max_body_bytes + 1, 413)):
        body = (b" " * 999 + b",") * (size // 1_000) + b" " * (size % 1_000)
        head = BATCH + f"Content-Length: {size}\r\nConnection: close\r\n\r\n".encode()
        assert exchange(live.port, head + body)[0] == status


def send_for(connection: socket.socket, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        connection.sendall(b" " * 1_000)
        time.sleep(0.001)


def test_a_client_that_sends_on_after_the_refusal_is_cut_off(live):
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
        connection.sendall(PREDICT + b"Content-Length: 10000000000\r\n\r\n")
        with pytest.raises(OSError, match=r"reset|[Bb]roken"):
            send_for(connection, 20)


def test_two_request_ids_are_none(live):
    head = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    sent = head + b"X-Request-ID: a\r\nX-Request-ID: b\r\n\r\n"
    status, headers, _ = exchange(live.port, sent)
    assert status == 200
    assert len(headers["x-request-id"]) == 32


def test_clients_that_stall_hold_nobody_up(live, shelf, features):
    shelf.activated()
    live.post("/api/v1/predict", {"features": features})
    with contextlib.ExitStack() as stack:
        for index in range(150):
            stalled = stack.enter_context(socket.create_connection(("127.0.0.1", live.port), timeout=10))
            stalled.sendall(PREDICT + (b"Content-Length: 100\r\n\r\n{" if index % 2 else b"X-Slow: "))
        started = time.monotonic()
        for _ in range(5):
            assert live.post("/api/v1/predict", {"features": features}).status == 200
        assert time.monotonic() - started < 3


def test_a_connection_serves_many_requests(live):
    with urllib3.HTTPConnectionPool("127.0.0.1", live.port) as http:
        for _ in range(20):
            assert http.request("GET", "/health/live").status == 200
        assert http.num_connections == 1


def test_a_body_that_does_not_come_is_refused(live):
    started = time.monotonic()
    status, _, body = exchange(live.port, PREDICT + b"Content-Length: 100\r\n\r\n{", timeout_seconds=60)
    assert (status, json.loads(body)["code"]) == (408, "request_timeout")
    assert time.monotonic() - started < 2 * BODY_SECONDS


def test_a_header_that_would_pass_for_another_is_ignored(live):
    sent = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX_Request_ID: mine\r\nConnection: close\r\n\r\n"
    assert exchange(live.port, sent)[1]["x-request-id"] != "mine"


def test_a_process_that_dies_is_replaced_and_its_counts_stay(live, shelf, features):
    shelf.activated()
    for _ in range(20):
        assert live.post("/api/v1/predict", {"features": features}).status == 200
    until_counted(live, 20)
    victim = sorted(live.processes())[0]
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while victim in live.processes() or len(live.processes()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    until_counted(live, 20)


def until_counted(live, count: int) -> None:
    """Wait until the processes together say that they scored so many leads; they write it down some times a second.

    For a moment there may be none that listens: the second may still begin when the first is killed.
    """
    deadline, counted = time.monotonic() + 30, -1.0
    while counted != count:
        assert time.monotonic() < deadline, counted
        with urllib3.HTTPConnectionPool("127.0.0.1", live.port) as http:
            retries = urllib3.Retry(10, backoff_factor=0.1)
            lines = http.request("GET", "/metrics", retries=retries).data.decode().splitlines()
        counted = sum(float(line.split()[1]) for line in lines if line.startswith("ml_predictions_total{"))


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_processes_whose_supervisor_is_killed_end_too(start, free_port, tmp_path):
    port = free_port()
    process = start(PORT=port, MODEL_PATH=tmp_path / "models")
    until_listening(process)
    process.kill()
    process.wait(10)
    deadline = time.monotonic() + 30
    while is_listening(port):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_all_processes_answer_and_any_of_them_counts_for_all(live, shelf, features):
    shelf.activated()
    for _ in range(40):
        with urllib3.HTTPConnectionPool("127.0.0.1", live.port) as http:
            assert http.request("POST", "/api/v1/predict", json={"features": features}).status == 200
    until_counted(live, 40)


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
    process = start(PORT=port, MODEL_PATH=shelf.registry.root, MAX_BATCH_SIZE=20_000, MAX_BODY_BYTES=8_000_000)
    until_listening(process)
    body = json.dumps({"batch": [features] * 20_000}).encode()
    head = b"POST /api/v1/predict/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        with urllib3.HTTPConnectionPool("127.0.0.1", port) as http:
            deadline = time.monotonic() + 30
            while b"leadscore_http_requests_in_progress 2.0" not in http.request("GET", "/metrics", timeout=10).data:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        received = b""
        while part := connection.recv(1_000_000):
            received += part
    assert json.loads(received.partition(b"\r\n\r\n")[2])["count"] == 20_000
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert [json.loads(line)["message"] for line in out.splitlines()][-1] == "stopped"


def test_a_stop_under_load_cuts_off_no_request(start, free_port, shelf, features, started_threads):
    """Clients with kept connections are told which answer is the last; who comes later finds nobody listening."""
    shelf.activated()
    port = free_port()
    process = start(PORT=port, MODEL_PATH=shelf.registry.root)
    until_listening(process)
    statuses: list[int] = []
    cut_off: list[Exception] = []

    def ask() -> None:
        answered_at = time.monotonic()
        with urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=1, timeout=30, retries=False) as http:
            while True:
                try:
                    answer = http.request("POST", "/api/v1/predict", json={"features": features})
                except urllib3.exceptions.NewConnectionError:
                    return
                except urllib3.exceptions.HTTPError as error:
                    # one that got no processor for so long asks too late
                    if time.monotonic() - answered_at < PARTING_SECONDS / 2:
                        cut_off.append(error)
                    return
                answered_at = time.monotonic()
                statuses.append(answer.status)
                if answer.headers.get("Connection") == "close":
                    return

    threads = [started_threads(ask) for _ in range(8)]
    deadline = time.monotonic() + 30
    while len(statuses) < 200:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(30)
    assert process.wait(30) == 0
    assert cut_off == []
    assert set(statuses) == {200}


def test_nobody_reads_the_log_and_the_server_answers_and_stops_all_the_same(start, free_port, tmp_path):
    """Its lines fill a pipe (65,536 bytes, which are fewer than 500 lines) several times over."""
    port = free_port()
    process = start(PORT=port, MODEL_PATH=tmp_path, SERVER_WORKERS=1)
    until_listening(process)
    with urllib3.HTTPConnectionPool("127.0.0.1", port, timeout=30, retries=False) as http:
        statuses = {http.request("GET", "/health/live").status for _ in range(2_000)}
    assert statuses == {200}
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("is_for_all", [False, True], ids=["to the server", "to all of its processes"])
def test_an_idle_server_stops_at_once_and_without_a_complaint(start, free_port, tmp_path, number, is_for_all):
    """Ctrl-C reaches all processes of a terminal's foreground, and service managers signal every process."""
    process = start(PORT=free_port(), MODEL_PATH=tmp_path / "models")
    until_listening(process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    started = time.monotonic()
    for pid in [process.pid, *(map(int, children) if is_for_all else [])]:
        os.kill(pid, number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    # granian may warn that it kills a process which another of its threads is just burying
    assert [line["message"] for line in lines if line["level"] != "WARNING"] == ["stopped"]
    assert time.monotonic() - started < 5


def test_the_server_makes_its_registry_and_is_ready(start, free_port, tmp_path):
    port = free_port()
    until_listening(start(PORT=port, MODEL_PATH=tmp_path / "deep" / "models"))
    with urllib3.HTTPConnectionPool("127.0.0.1", port) as http:
        assert http.request("GET", "/health/ready").status == 200
