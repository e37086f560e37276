"""The bridge between the event loop that reads requests and the Flask app that answers them.

Flask gets a request only when its whole body has arrived, so a slow client occupies a connection but not a thread. A
route that is marked as quick is answered in the event loop, because handing it to a thread and back would take longer
than the answer. All other routes are answered in a thread.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flask import Flask
from granian.rsgi import (  # type: ignore[attr-defined]  # two are imported there from its compiled part
    HTTPProtocol,
    ProtocolClosed,
    Scope,
)

from serving.api.problems import CODES, Refusal
from serving.telemetry.json_logging import flush_lines

if TYPE_CHECKING:
    # it imports prometheus_client, which must not be imported before a process knows where its figures go
    from serving.telemetry.recorder import Recorder

# beyond this a body is large: so many may be held at a time, the others wait unread
LARGE_BYTES = 65_536
LARGE_BODIES = 16
# and of those that are only computed with, so many: one is scored without Python's lock while the other's JSON is read
# or written, and more would only push each other's data out of the processor's caches
LARGE_AT_A_TIME = 2
# how long a body may take from its first byte to its last
BODY_SECONDS = 10.0
# how long what is sent after a refusal is thrown away
DISCARD_SECONDS = 2.0
# how often the recorder writes, and bodies that are late are given up
TICK_SECONDS = 0.05

_log = logging.getLogger(__name__)

OF_EVERY_REQUEST = {
    "SCRIPT_NAME": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}
_KEYS = {
    name: name.upper().replace("-", "_") if name.startswith("content-") else f"HTTP_{name.upper().replace('-', '_')}"
    for name in ("content-type", "content-length", "host", "user-agent", "accept", "accept-encoding", "x-request-id")
}

_LAST = ("Connection", "close")

Environ = dict[str, Any]
Response = tuple[int, list[tuple[str, str]], bytes]  # status, headers, body


class Bridge:
    """`app` as an RSGI application, as the server calls it. There is one per process.

    Once it `is_stopping`, each answer closes its connection, so that clients do not send further requests on it.
    """

    def __init__(self, app: Flask, is_stopping: threading.Event, *, threads: int, max_body_bytes: int) -> None:
        self._call, self._is_stopping, self._max_body_bytes = app.wsgi_app, is_stopping, max_body_bytes
        # the app that only measures what a server costs has none
        self._recorder: Recorder | None = getattr(app, "recorder", None)
        self._quick, self._computing = _paths_of(app, "is_quick"), _paths_of(app, "is_computing")
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._large_threads = ThreadPoolExecutor(LARGE_AT_A_TIME, thread_name_prefix="large-request")
        self._large = asyncio.Semaphore(LARGE_BODIES)
        self._bodies = _Bodies()

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the periodic work; called by the server before the first request."""
        if self._recorder:
            self._recorder.is_deferred = True
        self._tick(loop)

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        """Write the last log lines and metrics; called by the server after the last request."""
        self._large_threads.shutdown()
        self._threads.shutdown()
        if self._recorder:
            self._recorder.write()
        flush_lines()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        # first, so that a failure is logged, and tried again
        loop.call_later(TICK_SECONDS, self._tick, loop)
        self._bodies.give_up_late()
        if self._recorder:
            self._recorder.write()

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        environ = environ_of(scope)
        byte_count = _body_bytes(environ)
        try:
            if 0 <= byte_count <= LARGE_BYTES:
                await self._exchange(environ, protocol, byte_count)
            elif 0 <= byte_count <= self._max_body_bytes:
                async with self._large:
                    await self._exchange(environ, protocol, byte_count)
            else:
                await self._refuse(environ, protocol)
        except ProtocolClosed:
            _log.debug("a client left before its answer")

    async def _exchange(self, environ: Environ, protocol: HTTPProtocol, byte_count: int) -> None:
        if byte_count:
            environ["wsgi.input"] = await self._bodies.receive(protocol)
        is_large, path = byte_count > LARGE_BYTES, environ["PATH_INFO"]
        if is_large and path in self._computing:
            status, headers, content = await self._answer_in(self._large_threads, environ)
        elif not is_large and path in self._quick:
            status, headers, content = self._answer(environ)
        else:
            status, headers, content = await self._answer_in(self._threads, environ)
        if self._is_stopping.is_set():
            headers = [*headers, _LAST]
        protocol.response_bytes(status, headers, content)

    async def _refuse(self, environ: Environ, protocol: HTTPProtocol) -> None:
        """Answer a request whose body the app refuses because of its headers.

        The body is read and discarded for a while, because closing the connection while the client still sends would
        destroy the answer.
        """
        status, headers, content = await self._answer_in(self._threads, environ)
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                async for _ in protocol:
                    pass
        protocol.response_bytes(status, [*headers, _LAST], content)

    async def _answer_in(self, threads: ThreadPoolExecutor, environ: Environ) -> Response:
        return await asyncio.get_running_loop().run_in_executor(threads, self._answer, environ)

    def _answer(self, environ: Environ) -> Response:
        started: list[Any] = []
        start: Any = lambda status, headers, _=None: started.extend((status, headers))  # noqa: E731 (WSGI's type is wider)
        parts = self._call(environ, start)
        try:
            return int(started[0][:3]), started[1], b"".join(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()


def _paths_of(app: Flask, mark: str) -> frozenset[str]:
    """Return the paths whose view says so of itself."""
    rules = app.url_map.iter_rules()
    return frozenset(rule.rule for rule in rules if getattr(app.view_functions[rule.endpoint], mark, False))


class _Bodies:
    """The bodies that are still arriving. Checking all of them at once is faster than a timer for each."""

    def __init__(self) -> None:
        # when each began, the oldest first
        self._began_seconds: dict[asyncio.Task[Any], float] = {}

    async def receive(self, protocol: HTTPProtocol) -> Any:
        """Return the body as a file; if it does not arrive, a file that raises Refusal 408 when it is read."""
        task: Any = asyncio.current_task()
        self._began_seconds[task] = time.monotonic()
        try:
            return io.BytesIO(await protocol())
        except asyncio.CancelledError:
            if task in self._began_seconds:
                raise
            task.uncancel()
            return _Late()
        finally:
            self._began_seconds.pop(task, None)

    def give_up_late(self) -> None:
        """Stop waiting for bodies that are late."""
        late_seconds = time.monotonic() - BODY_SECONDS
        for task, began_seconds in list(self._began_seconds.items()):
            if began_seconds > late_seconds:
                break
            del self._began_seconds[task]
            task.cancel()


class _Late:
    """A body that did not arrive in time."""

    def read(self, _size: int = -1) -> bytes:
        raise Refusal(408, "request_timeout", CODES["request_timeout"], headers={"Connection": "close"})


def _body_bytes(environ: Environ) -> int:
    """Return the length of the body, -1 for a body in chunks, whose length the headers do not tell."""
    return -1 if "HTTP_TRANSFER_ENCODING" in environ else int(environ.get("CONTENT_LENGTH", 0))


def _as_latin_1(text: str) -> str:
    """Return `text` as WSGI hands it on: its bytes in UTF-8, each as the character of that number."""
    return text if text.isascii() else text.encode(errors="replace").decode("latin-1")


def environ_of(scope: Scope) -> Environ:
    """Return what WSGI (PEP 3333) calls the environment of the request, with no body yet."""
    environ = {
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": _as_latin_1(scope.path),
        "QUERY_STRING": _as_latin_1(scope.query_string),
        "wsgi.input": io.BytesIO(),
        **OF_EVERY_REQUEST,
    }
    for name, value in scope.headers.items():
        key = _KEYS.get(name) or f"HTTP_{name.upper().replace('-', '_')}"
        if "_" in name:
            # it would pass for the header that has - in its place
            continue
        text = _as_latin_1(value)
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ
