"""waitress around the app: limits, refusals as problems before a request reaches Flask, and a stop that loses none.

waitress reads requests in one event loop and hands over whole ones, so a client that stalls holds no thread.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Flask
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server
from waitress.task import ErrorTask
from waitress.utilities import Error

from leadscore.errors import CannotRun
from leadscore.settings import Settings
from serving.problems import CODES, PROBLEM_TYPE, Refusal, code_of_status, problem_of
from serving.request_log import request_id_from
from serving.services import EXTENSION, Services

MAX_CONNECTIONS = 1_000
# a client that sends nothing for so long, within or between requests, is cut off
IDLE_SECONDS = 5
CLEAN_UP_SECONDS = 2
STOP_SECONDS = 30.0
LOOP_SECONDS = 1.0
STOP_LOOP_SECONDS = 0.05

_log = logging.getLogger("serving.requests")


class _LengthRequired(Error):  # type: ignore[misc]  # waitress ships no types
    code = HTTPStatus.LENGTH_REQUIRED.value
    reason = HTTPStatus.LENGTH_REQUIRED.phrase


class _Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress ships no types
    """Refuses a body of unknown length as soon as its headers are read."""

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.chunked:
            self.error = _LengthRequired(CODES["length_required"])
            # without a receiver the body is not waited for, and the connection is closed after the answer
            self.body_rcv = None


class _ProblemTask(ErrorTask):  # type: ignore[misc]  # waitress ships no types
    """Answers what waitress refuses in the words of the API."""

    def execute(self) -> None:
        status = int(self.request.error.code)
        request_id = request_id_from(self.request.headers.get("X_REQUEST_ID"))
        code = code_of_status(status)
        body = msgspec.json.encode(problem_of(Refusal(status, code, CODES[code]), request_id))
        self.status = f"{status} {HTTPStatus(status).phrase}"
        self.response_headers += [("Content-Type", PROBLEM_TYPE), ("X-Request-ID", request_id)]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.channel.is_refused = True
        self.write(body)
        _log.info("refused before routing %d", status, extra={"status": status, "request_id": request_id})


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress ships no types
    """Closes a refused connection gently: closing it while the client still sends would destroy the answer.

    Our side is shut, and what comes is thrown away until the client closes too or the idle time is over.
    """

    parser_class = _Parser
    error_task_class = _ProblemTask
    is_refused = False
    is_lingering = False

    def handle_close(self) -> None:
        if not self.is_refused or self.is_lingering or not self.connected:
            super().handle_close()
            return
        self.is_lingering, self.will_close = True, False
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            # the client is gone already
            super().handle_close()

    def readable(self) -> bool:
        return self.is_lingering or bool(super().readable())

    def handle_read(self) -> None:
        if not self.is_lingering:
            super().handle_read()
        elif not self.recv(self.adj.recv_bytes):
            super().handle_close()


class HttpServer:
    """The app on HOST:PORT; port 0 takes a free one. `run` returns after `stop`, which a signal may call."""

    def __init__(self, app: Flask, settings: Settings, port: int | None = None) -> None:
        self._services: Services = app.extensions[EXTENSION]
        self._sockets: dict[int, Any] = {}
        # a signal may call `stop` in the thread that holds this
        self._closing = threading.RLock()
        self._is_closed = False
        self._server = create_server(
            app,
            map=self._sockets,
            sockets=[_listen(settings.host, settings.port if port is None else port)],
            threads=settings.server_threads,
            connection_limit=MAX_CONNECTIONS,
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=CLEAN_UP_SECONDS,
            # waitress refuses a body of this size, so it is one more than what is allowed
            max_request_body_size=settings.max_body_bytes + 1,
            clear_untrusted_proxy_headers=True,
            asyncore_use_poll=True,
            ident="",
        )
        self._server.channel_class = _Channel
        self.port = int(self._server.effective_port)

    def run(self) -> None:
        """Answer requests until `stop` is called; then finish those that are under way."""
        while not self._services.is_stopping.is_set():
            self._turn(LOOP_SECONDS)
        self._finish()

    def stop(self) -> None:
        """Be no longer ready, and let `run` return."""
        with self._closing:
            self._services.is_stopping.set()
            if not self._is_closed:
                self._server.pull_trigger()

    def _finish(self) -> None:
        # what the kernel accepted before the stop is still a request
        self._turn(0)
        wasyncore.dispatcher.close(self._server)
        deadline = time.monotonic() + STOP_SECONDS
        while self._is_busy() and time.monotonic() < deadline:
            self._turn(STOP_LOOP_SECONDS)
        self._server.task_dispatcher.shutdown(timeout=LOOP_SECONDS)
        with self._closing:
            self._is_closed = True
            self._server.trigger.close()
            wasyncore.close_all(self._sockets)

    def _is_busy(self) -> bool:
        return any(channel.requests or channel.total_outbufs_len for channel in self._channels())

    def _channels(self) -> list[HTTPChannel]:
        return list(self._server.active_channels.values())

    def _turn(self, timeout_seconds: float) -> None:
        wasyncore.loop(timeout=timeout_seconds, use_poll=True, map=self._sockets, count=1)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise CannotRun(
            f"cannot listen on {host}:{port} ({error.strerror}); set PORT to a free port, HOST to an address"
            " of this machine"
        ) from error
