"""What happens around every request, outside Flask: its id, the headers of every answer, the record of how it went.

It is WSGI around the app, so that Flask's own hooks stay free for whoever needs them, and so that an error that Flask
never sees still gives an answer with an id, and a log line.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Iterable
from typing import Any

from serving.api.json_response import VERSION_HEADER
from serving.api.problems import defect_response
from serving.telemetry.events import Answered
from serving.telemetry.metrics import OTHER
from serving.telemetry.recorder import Recorder
from serving.telemetry.request_context import CONTEXT, ROUTE

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
_NO_STORE = ("Cache-Control", "no-store")

_log = logging.getLogger(__name__)


class RequestHooks:
    """A WSGI application around `app`, which begins and ends each request in `recorder`."""

    def __init__(self, app: Any, recorder: Recorder) -> None:
        self._app, self._recorder = app, recorder

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        started_seconds = time.perf_counter()
        request_id = request_id_from(environ.get("HTTP_X_REQUEST_ID"))
        context = environ[CONTEXT] = {"request_id": request_id}
        self._recorder.begin()

        def start(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Any:
            duration_seconds = time.perf_counter() - started_seconds
            self._recorder.end(_answered(environ, int(status[:3]), headers, duration_seconds, context))
            return start_response(status, _completed(headers, request_id))

        try:
            return self._app(environ, start)  # type: ignore[no-any-return]  # WSGI says so
        except Exception as error:
            # Flask answers whatever happens in a view; this came before, such as from a header that it cannot read
            _log.exception("defect: %s", type(error).__name__, extra=context)
            return defect_response(request_id)(environ, start)


def request_id_from(header: str | None) -> str:
    """Return the caller's request id when it is well-formed, else a new one."""
    return header if header and _REQUEST_ID.fullmatch(header) else str(uuid.uuid4())


def _answered(
    environ: dict[str, Any],
    status: int,
    headers: list[tuple[str, str]],
    duration_seconds: float,
    context: dict[str, Any],
) -> Answered:
    method = environ["REQUEST_METHOD"]
    for name, value in headers:
        if name == VERSION_HEADER:
            context["version"] = value
    return Answered(
        method if method in _METHODS else OTHER, environ.get(ROUTE, OTHER), status, duration_seconds, context
    )


def _completed(headers: list[tuple[str, str]], request_id: str) -> list[tuple[str, str]]:
    """Return the headers with those that every answer has; a route may have a rule of its own for caches."""
    is_cached = any(name == "Cache-Control" for name, _ in headers)
    return [*headers, ("X-Request-ID", request_id), _NO_SNIFFING, *(() if is_cached else (_NO_STORE,))]
