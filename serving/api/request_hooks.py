"""The work around every request: its id, the headers of every answer, and the record for logs and metrics.

An error outside Flask also gets an answer with an id, and a log line.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable
from functools import cache, lru_cache, partial
from secrets import token_hex
from typing import Any

from flask import Flask, Request, Response, request, request_tearing_down
from flask.globals import request_ctx
from flask.sessions import NullSession, SessionInterface
from flask.signals import appcontext_tearing_down
from werkzeug.routing import MapAdapter

from serving.api.problems import defect_response
from serving.services import EXTENSION, Services
from serving.telemetry.events import Answered
from serving.telemetry.metrics import OTHER
from serving.telemetry.request_context import CONTEXT, REQUEST_ID_BYTES, ROUTE

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_ORG_ID = re.compile(rb'"org_id"\s*:\s*"([^"\\]*)"')
MAX_ADAPTERS = 64
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
_NO_STORE = ("Cache-Control", "no-store")

_log = logging.getLogger(__name__)


class _NoSessions(SessionInterface):
    """Sessions for an app without sessions: all requests share one, which can be neither written nor sent.

    A null session for each request takes 3 % of the time of a prediction.
    """

    def __init__(self) -> None:
        self._none = NullSession()

    def open_session(self, *_: Any) -> NullSession:
        return self._none


def _is_at_hand(services: Services, body: bytes) -> bool:
    """Return whether the model for the org that the body names, beyond doubt, is at hand."""
    named = _ORG_ID.findall(body)
    # an escape may hide a second name, and without a name the schema's default holds
    is_plain = b"\\" not in body and len(named) == body.count(b'"org_id"') == 1
    return is_plain and services.models.is_at_hand(named[0].decode("latin-1"))


class App(Flask):
    """Flask with a record of every request, and without the parts that no route needs but every request pays for.

    The record is made by WSGI around Flask, so Flask's own hooks work as in any app. Each override states the time that
    it saves, as a share of the app's part of a prediction (124 µs).
    """

    session_interface = _NoSessions()

    def __init__(self, name: str, services: Services) -> None:
        super().__init__(name, static_folder=None)
        self.extensions[EXTENSION], self.recorder = services, services.recorder
        # finding out for each request that a view is not asynchronous takes 9 %
        self.ensure_sync = cache(self.ensure_sync)  # type: ignore[method-assign]  # the same, remembered
        # making an adapter takes 1.8 µs, and it keeps nothing of a request but its path and method
        self._adapter = lru_cache(MAX_ADAPTERS)(self._new_adapter)

    @property
    def at_hand(self) -> Callable[[bytes], bool] | None:
        """What tells by a prediction's body whether its model is at hand; None over a folder, where each one is."""
        services: Services = self.extensions[EXTENSION]
        return None if services.registry.is_in_folder else partial(_is_at_hand, services)

    def warm_up(self) -> None:
        """Load the versions that will probably be asked for; called by the server before it listens."""
        services: Services = self.extensions[EXTENSION]
        services.models.warm_up(services.settings.warm_up_seconds)

    def close(self) -> None:
        """Write what was noted and not written yet; called by the server after the last request."""
        services: Services = self.extensions[EXTENSION]
        services.answered_scores.close()
        services.registry.close()
        self.recorder.write()

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request, and record it once its answer is known, whatever happens after that."""
        started_seconds = time.perf_counter()
        request_id = request_id_from(environ.get("HTTP_X_REQUEST_ID"))
        context = environ[CONTEXT] = {"request_id": request_id}
        self.recorder.begin()
        answers: list[tuple[str, list[tuple[str, str]]]] = []
        start: Any = lambda status, headers, _=None: answers.append((status, headers))  # noqa: E731 (WSGI's type is wider)
        try:
            content = super().wsgi_app(environ, start)
        except Exception as error:
            # Flask answers what happens in a view; this came before or after, such as from a header that it cannot read
            _log.exception("defect: %s", type(error).__name__, extra=context)
            content = defect_response(request_id)(environ, start)
        status, headers = answers[-1]
        method = environ["REQUEST_METHOD"]
        method, route = method if method in _METHODS else OTHER, environ.get(ROUTE, OTHER)
        self.recorder.end(Answered(method, route, int(status[:3]), time.perf_counter() - started_seconds, context))
        start_response(status, _completed(headers, request_id))
        return content

    def preprocess_request(self) -> Any:
        """Note the route, and run the hooks when there are any. Finding out that there are none takes 3 %."""
        asked: Any = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (Flask documents it)
        if asked.url_rule is not None:
            asked.environ[ROUTE] = asked.url_rule.rule
        return super().preprocess_request() if self.before_request_funcs or self.url_value_preprocessors else None

    def make_response(self, rv: Any) -> Any:
        """Return a response as it is, and make one of anything else. This and process_response save 5 %."""
        return rv if isinstance(rv, Response) else super().make_response(rv)

    def process_response(self, response: Any) -> Any:
        """Run the hooks, when there are any, and save a session of one's own."""
        ctx: Any = request_ctx._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (as Flask does)
        has_hooks = self.after_request_funcs or ctx._after_request_functions  # noqa: SLF001 (of after_this_request)
        if has_hooks or self.session_interface is not App.session_interface:
            return super().process_response(response)
        return response

    def do_teardown_request(self, *arguments: Any) -> None:
        """Run the hooks, when there are any. Finding out that there are none takes 5 %."""
        if self.teardown_request_funcs or request_tearing_down.receivers:
            super().do_teardown_request(*arguments)

    def do_teardown_appcontext(self, *arguments: Any) -> None:
        """Run the hooks, when there are any. Finding out that there are none takes 5 %."""
        if self.teardown_appcontext_funcs or appcontext_tearing_down.receivers:
            super().do_teardown_appcontext(*arguments)

    def create_url_adapter(self, asked: Request | None) -> MapAdapter | None:
        """Return the adapter that matches paths. It ignores the request's host, because reading it takes 22 %."""
        if asked is None:
            return super().create_url_adapter(asked)
        method = asked.environ["REQUEST_METHOD"]
        # werkzeug ignores slashes in front, so `//health` would be another way to write `/health`
        path = f"/.{asked.path}" if asked.environ["PATH_INFO"].startswith("//") else asked.path
        return self._adapter(path, method)

    def _new_adapter(self, path: str, method: str) -> MapAdapter:
        return self.url_map.bind("localhost", path_info=path, default_method=method, query_args="")


def request_id_from(header: str | None) -> str:
    """Return the caller's request id when it is well-formed, else a new one."""
    return header if header and _REQUEST_ID.fullmatch(header) else token_hex(REQUEST_ID_BYTES)


def _completed(headers: list[tuple[str, str]], request_id: str) -> list[tuple[str, str]]:
    """Return the headers, with those that every answer has; a route may set its own Cache-Control."""
    completed = [*headers, ("X-Request-ID", request_id), _NO_SNIFFING]
    for name, _ in headers:
        if name == "Cache-Control":
            return completed
    completed.append(_NO_STORE)
    return completed
