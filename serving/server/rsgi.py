"""The bridge between the event loop that reads requests and the Flask app that answers them.

Flask gets a request only when its whole body has arrived, so a slow client occupies a connection but not a thread. A
route that is marked as quick is answered in the event loop, because handing it to a thread and back would take longer
than the answer. All other routes are answered in a thread.
"""

from __future__ import annotations

import asyncio
import io
import logging
import re
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from flask import Flask
from granian.rsgi import (  # type: ignore[attr-defined]  # three are imported there from its compiled part
    HTTPProtocol,
    ProtocolClosed,
    ProtocolError,
    Scope,
)

from serving.api.problems import Refusal, defect_response
from serving.api.request_parsing import SMALL_BODY_BYTES
from serving.server.bodies import Bodies, Unread, large_threads
from serving.telemetry.json_logging import flush_lines
from serving.telemetry.request_context import REQUEST_ID_BYTES

if TYPE_CHECKING:
    # it imports prometheus_client, which must not be imported before a process knows where its figures go
    from serving.telemetry.recorder import Recorder

# how long what is sent after a refusal is thrown away
DISCARD_SECONDS = 2.0
# how often the recorder writes, and bodies that are late are given up
TICK_SECONDS = 0.05
# how long a thread that computes keeps Python's lock from the loop, which answers small requests meanwhile
SWITCH_SECONDS = 0.001

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
Headers = list[tuple[str, str]]
Response = tuple[int, Headers, bytes]


class Bridge:
    """`app` as an RSGI application, as the server calls it. There is one per process.

    Once it `is_stopping`, each answer closes its connection, so that clients do not send further requests on it.
    """

    def __init__(self, app: Flask, is_stopping: threading.Event, *, threads: int, max_body_bytes: int) -> None:
        self._call, self._is_stopping, self._max_body_bytes = app.wsgi_app, is_stopping, max_body_bytes
        # the app that only measures what a server costs has none
        self._recorder: Recorder | None = getattr(app, "recorder", None)
        self._close: Callable[[], None] = getattr(app, "close", lambda: None)
        self._quick, self._computing = _paths_of(app, "is_quick"), _paths_of(app, "is_computing")
        self._quick_with = _quick_bodies_of(app)
        # what is not at hand yet is a request to another machine
        self._at_hand: Callable[[bytes], bool] | None = getattr(app, "at_hand", None)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._large_threads = large_threads()
        self._bodies = Bodies(max_body_bytes)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the periodic work; called by the server before the first request."""
        if self._recorder:
            self._recorder.is_deferred = True
        sys.setswitchinterval(SWITCH_SECONDS)
        self._tick(loop)

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        """Write the last log lines, metrics and answered scores; called by the server after the last request."""
        self._large_threads.shutdown()
        self._threads.shutdown()
        self._close()
        flush_lines()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        # first, so that a failure is logged, and tried again
        loop.call_later(TICK_SECONDS, self._tick, loop)
        self._bodies.give_up_late()
        if self._recorder:
            self._recorder.write()

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request, whatever happens on its way to the app and back."""
        try:
            environ = environ_of(scope)
            byte_count = _body_bytes(environ)
            if 0 <= byte_count <= SMALL_BODY_BYTES:
                await self._exchange(environ, protocol, byte_count)
            elif 0 <= byte_count <= self._max_body_bytes and environ["PATH_INFO"] in self._computing:
                await self._exchange_large(environ, protocol, byte_count)
            else:
                await self._refuse(environ, protocol)
        except ProtocolClosed:
            _log.debug("a client left before its answer")
        except Exception as error:
            protocol.response_bytes(*_answer_to_defect(error))

    async def _exchange(self, environ: Environ, protocol: HTTPProtocol, byte_count: int) -> None:
        if byte_count:
            environ["wsgi.input"] = await self._bodies.receive(protocol)
        if self._is_quick(environ):
            status, headers, content = self._answer(environ)
        else:
            status, headers, content = await self._answer_in(self._threads, environ)
        protocol.response_bytes(status, _last(headers) if self._is_stopping.is_set() else headers, content)

    def _is_quick(self, environ: Environ) -> bool:
        """Return whether the answer waits for nothing, so that the event loop may make it."""
        path, body = environ["PATH_INFO"], environ["wsgi.input"]
        if path not in self._quick_with or not isinstance(body, io.BytesIO):
            return path in self._quick
        content = body.getvalue()
        is_quick = self._quick_with[path].search(content) is not None
        return is_quick and (self._at_hand is None or self._at_hand(content))

    async def _exchange_large(self, environ: Environ, protocol: HTTPProtocol, byte_count: int) -> None:
        try:
            async with self._bodies.turn(protocol, byte_count) as environ["wsgi.input"]:
                status, headers, content = await self._answer_in(self._large_threads, environ)
        except Refusal as refusal:
            environ["wsgi.input"] = Unread(refusal)
            await self._refuse(environ, protocol)
        else:
            protocol.response_bytes(status, _last(headers) if self._is_stopping.is_set() else headers, content)

    async def _refuse(self, environ: Environ, protocol: HTTPProtocol) -> None:
        """Answer a request whose body is not received, which the app refuses.

        What arrives of it is discarded for a while, because closing the connection while the client still sends would
        destroy the answer. Of a body that was given up while it arrived, the server hands over no more.
        """
        status, headers, content = await self._answer_in(self._threads, environ)
        with suppress(TimeoutError, ProtocolError):
            async with asyncio.timeout(DISCARD_SECONDS):
                async for _ in protocol:
                    pass
        protocol.response_bytes(status, _last(headers), content)

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


def _quick_bodies_of(app: Flask) -> dict[str, re.Pattern[bytes]]:
    """Return, per path, what a body must hold so that the view is quick, where not every body will do."""
    rules = app.url_map.iter_rules()
    wanted = ((rule.rule, getattr(app.view_functions[rule.endpoint], "quick_with", None)) for rule in rules)
    return {path: pattern for path, pattern in wanted if pattern is not None}


def _answer_to_defect(error: Exception) -> Response:
    """Return the answer to a request that never came to the app, or whose answer could not be sent."""
    request_id = token_hex(REQUEST_ID_BYTES)
    _log.exception("defect: %s", type(error).__name__, extra={"request_id": request_id})
    response = defect_response(request_id)
    headers = [*response.headers.items(), ("X-Request-ID", request_id), ("Cache-Control", "no-store")]
    return response.status_code, _last(headers), response.get_data()


def _last(headers: Headers) -> Headers:
    """Return the headers of the last answer of a connection."""
    return headers if _LAST in headers else [*headers, _LAST]


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
