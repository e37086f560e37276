"""An answer in JSON whose bytes are there: a view returns it in place of Flask's Response.

A Response finds out each time what it may have to change before it is sent. Nothing of this needs to be changed, and
that takes a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from typing import Any

JSON_TYPE = "application/json"


class Encoded:
    """Status, headers and body, callable as a WSGI application."""

    __slots__ = ("content", "headers", "status_code")

    def __init__(self, content: bytes, status: int, content_type: str = JSON_TYPE) -> None:
        self.content, self.status_code = content, status
        self.headers = [("Content-Type", content_type), ("Content-Length", str(len(content)))]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Send it; a HEAD gets the headers alone."""
        start_response(_status_line(self.status_code), self.headers)
        return () if environ["REQUEST_METHOD"] == "HEAD" else (self.content,)


@cache
def _status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"
