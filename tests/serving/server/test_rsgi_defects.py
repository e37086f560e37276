"""What fails on the way to the app or back is a problem with an id, and a line in the log."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from flask import Flask

from serving.server import rsgi
from serving.server.rsgi import Bridge


class Protocol:
    """What the server hands over to answer with; `fails` makes the first answer fail."""

    def __init__(self, *, fails: bool = False) -> None:
        self.answers: list[tuple[int, list[tuple[str, str]], bytes]] = []
        self._fails = fails

    def response_bytes(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        if self._fails:
            self._fails = False
            raise ValueError("a header that cannot be sent")
        self.answers.append((status, headers, content))


def scope(**parts: Any) -> Any:
    return SimpleNamespace(**{"method": "GET", "path": "/health/live", "query_string": "", "headers": {}} | parts)


FAILING = [
    ("a length that is none", scope(headers={"content-length": "\N{SUPERSCRIPT TWO}"}), Protocol()),
    ("headers that cannot be read", scope(headers=None), Protocol()),
    ("a path that cannot be read", scope(path=None), Protocol()),
    ("an answer that cannot be sent", scope(), Protocol(fails=True)),
]


@pytest.mark.parametrize(("name", "asked", "protocol"), FAILING, ids=[name for name, _, _ in FAILING])
def test_what_the_adapter_raises_is_a_problem_with_an_id_and_a_line_in_the_log(
    app: Flask, caplog: pytest.LogCaptureFixture, name: str, asked: Any, protocol: Protocol
) -> None:
    bridge = Bridge(app, threading.Event(), threads=1, max_body_bytes=100_000)

    asyncio.run(bridge.__rsgi__(asked, protocol))

    [(status, headers, content)] = protocol.answers
    problem, named = msgspec.json.decode(content), dict(headers)
    assert (status, problem["code"], named["Content-Type"]) == (500, "internal_error", "application/problem+json")
    assert problem["request_id"] == named["X-Request-ID"]
    [record] = [record for record in caplog.records if record.name == rsgi.__name__]
    assert record.exc_info
    assert record.__dict__["request_id"] == named["X-Request-ID"]
