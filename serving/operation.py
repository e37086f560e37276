"""Operation: a route that says what it takes and answers. It parses before the route runs, and is what is described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, update_wrapper
from typing import Any

import msgspec
from flask import Response, g, request

from serving.boundary import JSON_TYPE, read_body, read_query
from serving.problems import CODES, Refusal
from serving.services import services
from serving.wire import Answer, Request

View = Callable[..., Response]

EVERYTHING = "*/*"
PAGE_TYPE = "text/html; charset=utf-8"
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass
class Operation:
    """A view with its query and body types, its answers by status, and the codes of its refusals by status.

    One that `is_quick` waits for nothing but a version's first load, and is answered without a thread of its own. The
    view is called with `query` and `body` as far as they are declared, and with the path's parameters.
    """

    view: View
    query: type[Request] | None
    body: type[Request] | None
    answers: dict[int, type[Answer] | str]
    refusals: dict[int, tuple[str, ...]] = field(default_factory=dict)
    is_quick: bool = False

    def __post_init__(self) -> None:
        update_wrapper(self, self.view)

    def __call__(self, **path: str) -> Response:
        """Check what the request says of itself, parse it, and run the view."""
        if self.answers_json and request.environ.get("HTTP_ACCEPT", EVERYTHING) not in (EVERYTHING, JSON_TYPE):
            _check_accepted()
        arguments: dict[str, Any] = dict(path)
        query = read_query(self.query or Request)
        if self.query is not None:
            arguments["query"] = query
        if self.body is not None:
            arguments["body"] = read_body(self.body, services().settings.max_body_bytes)
        return self.view(**arguments)

    @cached_property
    def answers_json(self) -> bool:
        """Whether the answer is JSON; else `answers` holds the content type."""
        return not any(isinstance(kind, str) for kind in self.answers.values())


def _check_accepted() -> None:
    if request.accept_mimetypes and not request.accept_mimetypes.quality(JSON_TYPE):
        raise Refusal(406, "not_acceptable", CODES["not_acceptable"])


def operation(
    answers: dict[int, type[Answer] | str],
    *,
    query: type[Request] | None = None,
    body: type[Request] | None = None,
    refusals: dict[int, tuple[str, ...]] | None = None,
    is_quick: bool = False,
) -> Callable[[View], Operation]:
    """Make a view an Operation."""
    return lambda view: Operation(view, query, body, answers, refusals or {}, is_quick)


def answer(content: msgspec.Struct, status: int = 200, *, version: str | None = None) -> Response:
    """Return `content` as JSON; `version` is the model version that it speaks of."""
    if version is None:
        return Response(msgspec.json.encode(content), status, content_type=JSON_TYPE)
    g.version = version
    return Response(msgspec.json.encode(content), status, {"X-Model-Version": version}, content_type=JSON_TYPE)


def page(content: str | bytes) -> Response:
    """Return `content` as a page of HTML that may load nothing and run nothing."""
    response = Response(content, content_type=PAGE_TYPE)
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    return response
