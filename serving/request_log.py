"""What happens around every request: its id, its log line, its metrics, the headers that every answer has."""

from __future__ import annotations

import logging
import re
import time
import uuid

from flask import Flask, Response, g, request

from serving.metrics import OTHER
from serving.services import services

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})

_log = logging.getLogger("serving.requests")


def request_id_from(header: str | None) -> str:
    """Return the caller's request id when it is well-formed, else a new one."""
    return header if header and _REQUEST_ID.fullmatch(header) else str(uuid.uuid4())


def _begin() -> None:
    g.started_seconds = time.perf_counter()
    g.request_id = request_id_from(request.headers.get("X-Request-ID"))
    services().metrics.requests_in_progress.inc()


def _finish(response: Response) -> Response:
    duration_seconds = time.perf_counter() - g.started_seconds
    route = request.url_rule.rule if request.url_rule else OTHER
    method = request.method if request.method in _METHODS else OTHER
    response.headers["X-Request-ID"] = g.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    services().metrics.count_request(method, route, response.status_code, duration_seconds)
    fields = {
        "method": method,
        "route": route,
        "status": response.status_code,
        "duration_ms": round(duration_seconds * 1000, 3),
    }
    _log.info("%s %s %d", method, route, response.status_code, extra=fields)
    return response


def _end(_error: BaseException | None) -> None:
    if "started_seconds" in g:
        services().metrics.requests_in_progress.dec()


def observe_requests(app: Flask) -> None:
    """Make `app` identify, log and count every request."""
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_end)
