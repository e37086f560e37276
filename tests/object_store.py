"""A real S3 server on this machine, and a proxy before it that loses answers, fails and is slow when a test says so.

The server (moto) checks the condition of a write and then writes, so the proxy hands it one write at a time: then
conditional writes are what they are in a real object store.
"""

from __future__ import annotations

import http.client
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from leadscore.registry.object_client import ObjectClient
from leadscore.settings import PROJECT_ROOT
from standalone.throwaway import free_port

BUCKET = "models"
SECRET = "secret-of-the-tests"
START_SECONDS = 60
_CHANGING = ("PUT", "POST", "DELETE")

Headers = list[tuple[str, str]]
Answer = tuple[int, Headers, bytes]
_FAILURE: Answer = (500, [], b"")


class Fault(Enum):
    """What becomes of a request."""

    NONE = "it is answered"
    REFUSED = "it is answered with 500, and changes nothing"
    FAILED = "it takes effect, and is answered with 500"
    LOST = "it takes effect, and its answer is lost"
    DEAD = "it does not arrive"


class FaultyStore:
    """The proxy. `fault(number, method, path)` decides what becomes of each request, numbered from 1 by `watch`."""

    def __init__(self, server_port: int) -> None:
        self.server_port, self.port = server_port, free_port()
        self.fault: Callable[[int, str, str], Fault] = lambda *_: Fault.NONE
        self.latency_seconds = 0.0
        self.requests: list[str] = []
        self.one_write_at_a_time = threading.Lock()
        self._guard = threading.Lock()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find the store."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def new_url(self) -> str:
        """Return the URL of a registry of its own."""
        return f"s3://{BUCKET}/{secrets.token_hex(8)}/registry"

    def decide(self, method: str, path: str) -> Fault:
        """Return what becomes of the next request."""
        with self._guard:
            self.requests.append(f"{method} {path}")
            number = len(self.requests)
        return self.fault(number, method, path)

    @contextmanager
    def faulty(self, fault: Callable[[int, str, str], Fault]) -> Iterator[list[str]]:
        """Let `fault` decide from now on, count from 1, and give the requests."""
        self.requests, self.fault = [], fault
        try:
            yield self.requests
        finally:
            self.fault = lambda *_: Fault.NONE

    @contextmanager
    def down(self) -> Iterator[list[str]]:
        """Let no request arrive."""
        with self.faulty(lambda *_: Fault.DEAD) as requests:
            yield requests


def contents(url: str) -> dict[str, bytes]:
    """Return every object of a registry, by its key."""
    client = ObjectClient(url)
    found = {entry.key: client.get(entry.key) for entry in client.entries("")}
    return {key: object_.content for key, object_ in found.items() if object_}


@contextmanager
def running_store() -> Iterator[FaultyStore]:
    """Run the server and the proxy; this process finds them by its environment."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _make_bucket(port, server)
            store = FaultyStore(port)
            proxy = _Proxy(store)
            threading.Thread(target=proxy.serve_forever, daemon=True, name="object-store").start()
            before = dict(os.environ)
            os.environ.update(store.environment)
            try:
                yield store
            finally:
                proxy.shutdown()
                proxy.server_close()
                for name in store.environment:
                    os.environ.pop(name)
                    if name in before:
                        os.environ[name] = before[name]
        finally:
            server.kill()


def _make_bucket(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("PUT", f"/{BUCKET}")
            assert connection.getresponse().status == http.HTTPStatus.OK
        except ConnectionError:
            assert server.poll() is None, "the object store ended"
            assert time.monotonic() < deadline, "the object store did not start"
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, store: FaultyStore) -> None:
        self.store = store
        super().__init__(("127.0.0.1", store.port), _Handler)

    def handle_error(self, *_: Any) -> None:
        """Say nothing: clients leave when their answer is lost."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # an answer in one piece: the client would wait for the acknowledgement of the first
    wbufsize = -1
    server: _Proxy

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(self.server.store.latency_seconds)
        fault = self.server.store.decide(self.command, self.path)
        answer = _FAILURE if fault in (Fault.DEAD, Fault.REFUSED) else self._forwarded(body)
        if fault in (Fault.DEAD, Fault.LOST):
            self.close_connection = True
            return
        self._send(*(_FAILURE if fault is Fault.FAILED else answer))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 (names that the library looks for)

    def _send(self, status: int, headers: Headers, content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _forwarded(self, body: bytes) -> Answer:
        one_at_a_time = self.server.store.one_write_at_a_time if self.command in _CHANGING else nullcontext()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.store.server_port, timeout=30)
        with one_at_a_time, closing(connection):
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
        kept = [pair for pair in answer.getheaders() if pair[0].lower() not in ("connection", "transfer-encoding")]
        return answer.status, kept, content

    def log_message(self, *_: Any) -> None:
        """Keep silent."""
