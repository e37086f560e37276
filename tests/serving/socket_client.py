"""A client that sends over a socket what Flask's own client hands to the app, and is called in the same way."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

IN_A_PATH = "".join(map(chr, range(0x21, 0x7F)))  # what needs no quotes: a test sends it as it stands


@dataclass(frozen=True)
class SocketAnswer:
    """An answer, with the names that Flask's has."""

    status_code: int
    headers: http.client.HTTPMessage
    data: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.data.decode()

    @property
    def json(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.data)

    @property
    def content_type(self) -> str | None:
        """The header of that name."""
        return self.headers["Content-Type"]


class SocketClient:
    """Sends each request on a connection of its own."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str, **sent: Any) -> SocketAnswer:
        """Send a GET."""
        return self.open(path, method="GET", **sent)

    def post(self, path: str, **sent: Any) -> SocketAnswer:
        """Send a POST."""
        return self.open(path, method="POST", **sent)

    def open(
        self,
        path: str,
        *,
        method: str,
        json: Any = None,
        data: str | bytes | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        query_string: Mapping[str, str] | None = None,
        environ_overrides: Mapping[str, str] | None = None,
    ) -> SocketAnswer:
        """Send a request; of `environ_overrides` the length that is said of the body, none if it is empty."""
        body, content_type = _body(json, data, content_type)
        length = (environ_overrides or {}).get("CONTENT_LENGTH", "" if body is None else str(len(body)))
        given = {"Content-Type": content_type, "Content-Length": length or None, **(headers or {})}
        target = quote(path, safe=IN_A_PATH) + (f"?{urlencode(query_string)}" if query_string else "")
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in given.items():
                if value is not None:
                    connection.putheader(name, value.encode("latin-1"))
            connection.endheaders(body)
            answer = connection.getresponse()
            return SocketAnswer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()


def _body(given: Any, data: str | bytes | None, content_type: str | None) -> tuple[bytes | None, str | None]:
    if data is None and given is None:
        return None, content_type
    if data is None:
        return json.dumps(given).encode(), content_type or "application/json"
    return data.encode() if isinstance(data, str) else data, content_type
