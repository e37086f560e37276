"""What happens around every request: its id, the note of how it went, the headers that every answer has."""

from __future__ import annotations

import os
import re
import time
from typing import Any

from flask import Response, request

from serving.api.json_response import Encoded
from serving.telemetry.events import Answered
from serving.telemetry.metrics import OTHER
from serving.telemetry.recorder import Journal
from serving.telemetry.request_context import KNOWN

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_STARTED = "leadscore.started_seconds"
_NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
_NO_STORE = ("Cache-Control", "no-store")


def request_id_from(header: str | None) -> str:
    """Return the caller's request id when it is well-formed, else a new one."""
    return header if header and _REQUEST_ID.fullmatch(header) else _new_id()


def _new_id() -> str:
    """Return a random UUID (RFC 9562, version 4), in a tenth of the time that the standard library takes."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def begin(journal: Journal) -> None:
    """Note that the present request has come, and give it its id."""
    environ = request.environ
    environ[_STARTED] = time.perf_counter()
    environ[KNOWN] = {"request_id": request_id_from(environ.get("HTTP_X_REQUEST_ID"))}
    journal.begin()


def finish(journal: Journal, response: Response | Encoded) -> None:
    """Give `response` the headers that every answer has, and note that the present request is answered."""
    asked: Any = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (Flask documents it)
    environ, rule = asked.environ, asked.url_rule
    duration_seconds = time.perf_counter() - environ[_STARTED]
    known, method = environ[KNOWN], environ["REQUEST_METHOD"]
    _name(response, known["request_id"])
    journal.end(
        Answered(
            method if method in _METHODS else OTHER,
            rule.rule if rule else OTHER,
            response.status_code,
            duration_seconds,
            known,
        )
    )


def _name(response: Response | Encoded, request_id: str) -> None:
    if isinstance(response, Encoded):
        response.headers += (("X-Request-ID", request_id), _NO_SNIFFING, _NO_STORE)
        return
    headers = response.headers
    headers.extend([("X-Request-ID", request_id), _NO_SNIFFING])
    headers.setdefault(*_NO_STORE)
