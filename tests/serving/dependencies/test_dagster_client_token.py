"""The secret by which Dagster's webserver knows the server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from serving.dependencies.dagster_client import DagsterClient

ANSWER = b'{"data": {"version": "1.13"}}'


class Listener(ThreadingHTTPServer):
    """A webserver that keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.shown: list[str | None] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.shown.append(self.headers["Authorization"])
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def webserver() -> Iterator[Listener]:
    with Listener() as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        yield listener
        listener.shutdown()
        thread.join()


def test_the_secret_is_shown_where_there_is_one(webserver: Listener) -> None:
    for secret in (None, "a-secret"):
        assert DagsterClient(f"http://127.0.0.1:{webserver.server_port}", secret).state().webserver == "up"
    assert set(webserver.shown) == {None, "Bearer a-secret"}
