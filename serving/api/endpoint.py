"""Endpoint: a view that declares its scope, its request and its answers. It checks and parses before the view runs.

OpenAPI is made from these declarations. This module also has the answer of most views: encoded JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property, update_wrapper
from http import HTTPStatus
from time import monotonic
from typing import Any

import msgspec
from flask import Response, current_app, request
from werkzeug.datastructures import Headers

from leadscore.registry.ids import check_crm_org_id
from leadscore.tokens import EVERY_ORG, Scope, Token
from serving.api.access import ACCESS, ANYBODY, CALLER, Access, check_org
from serving.api.page import PAGE_TYPE
from serving.api.problems import CODES, Refusal
from serving.api.request_parsing import JSON_TYPE, read_body, read_query
from serving.api.schema import OrgRequest, Request
from serving.services import EXTENSION, Services
from serving.telemetry.request_context import CONTEXT

View = Callable[..., Response]

EVERYTHING = "*/*"
VERSION_HEADER = "X-Model-Version"


@dataclass(eq=False)
class Endpoint:
    """A view with its query and body types, its answers by status, and the codes of its refusals by status.

    `scope` is what the caller's token must allow; None asks for no token. The org that the request names, in the query,
    the body or the path (`org_id`), must be one of the token's. A route that `shows_all_orgs` needs a token for all
    orgs.

    `is_computing` marks a view that waits for nothing but a version's first load. `is_quick` marks such a view that is
    answered in the event loop, without a thread; with `quick_with`, only if that is found in the body. The view is
    called with the app's services, with `query` and `body` if they are declared, and with the path's parameters.
    `other_types` are content types in which an answer that is JSON by default can be had, too.
    """

    view: View
    query: type[Request] | None
    body: type[OrgRequest] | None
    answers: dict[int, type[msgspec.Struct] | str]
    scope: Scope | None
    refusals: dict[int, tuple[str, ...]] = field(default_factory=dict)
    is_quick: bool = False
    is_computing: bool = False
    shows_all_orgs: bool = False
    other_types: tuple[str, ...] = ()
    quick_with: re.Pattern[bytes] | None = None

    def __post_init__(self) -> None:
        update_wrapper(self, self.view)

    def __call__(self, **arguments: Any) -> Response:
        """Check the caller and the request's headers, parse it, and run the view."""
        asked: Any = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (Flask documents it)
        environ, parts = asked.environ, current_app.extensions
        services: Services = parts[EXTENSION]
        caller = environ[CALLER] = self._admitted(environ, parts[ACCESS])
        if self.answers_json and environ.get("HTTP_ACCEPT", EVERYTHING) not in (EVERYTHING, JSON_TYPE):
            _check_accepted((JSON_TYPE, *self.other_types))
        query = read_query(self.query or Request, environ, services.settings)
        if self.query is not None:
            arguments["query"] = query
        if self.body is not None:
            arguments["body"] = read_body(self.body, environ, services.settings)
        if caller is not ANYBODY:
            self._check_org(caller, arguments)
        if "org_id" in arguments:
            environ[CONTEXT]["org_id"] = check_crm_org_id(arguments["org_id"])
        response = self.view(services, **arguments)
        version = response.version if type(response) is JsonResponse else response.headers.get(VERSION_HEADER)
        if version is not None:
            environ[CONTEXT]["version"] = version
        return response

    def _admitted(self, environ: dict[str, Any], access: Access) -> Token:
        """Return who asks. Raises Refusal when they may not.

        What can be known without asking is: it takes half a microsecond in place of four, and no file.
        """
        if self.scope is None:
            return ANYBODY
        is_remembered = environ.get("HTTP_HOST") in access.open_to and "HTTP_ORIGIN" not in environ
        if is_remembered and monotonic() < access.open_until_seconds:
            return ANYBODY
        return access.admit(environ, self.scope)

    def _check_org(self, caller: Token, arguments: dict[str, Any]) -> None:
        """Raise Refusal when the org that the request names is not the caller's; before anything is looked up."""
        named = arguments["query"] if self._is_org_in_query else arguments.get("body")
        if self.shows_all_orgs:
            check_org(caller, EVERY_ORG)
        elif named is not None:
            check_org(caller, named.org_id)
        elif "org_id" in arguments:
            check_org(caller, arguments["org_id"])

    @cached_property
    def _is_org_in_query(self) -> bool:
        return self.query is not None and issubclass(self.query, OrgRequest)

    @cached_property
    def answers_json(self) -> bool:
        """Whether the answer is JSON; else `answers` holds the content type."""
        return not any(isinstance(kind, str) for kind in self.answers.values())

    @cached_property
    def answers_page(self) -> bool:
        """Whether the answer is a page of HTML, so that a browser gets its refusals as pages, too."""
        return PAGE_TYPE in self.answers.values()


def _check_accepted(types: tuple[str, ...]) -> None:
    if request.accept_mimetypes and request.accept_mimetypes.best_match(types) is None:
        raise Refusal(406, "not_acceptable", CODES["not_acceptable"])


def endpoint(
    answers: dict[int, type[msgspec.Struct] | str],
    *,
    scope: Scope | None,
    query: type[Request] | None = None,
    body: type[OrgRequest] | None = None,
    refusals: dict[int, tuple[str, ...]] | None = None,
    is_quick: bool = False,
    is_computing: bool = False,
    shows_all_orgs: bool = False,
    other_types: tuple[str, ...] = (),
    quick_with: re.Pattern[bytes] | None = None,
) -> Callable[[View], Endpoint]:
    """Make a view an Endpoint."""
    return lambda view: Endpoint(
        view,
        query,
        body,
        answers,
        scope,
        refusals or {},
        is_quick,
        is_computing,
        shows_all_orgs,
        other_types,
        quick_with,
    )


class JsonResponse(Response):
    """A Flask response for encoded JSON, without the work that such an answer never needs.

    A plain `Response` checks each time whether it must change before it is sent, which takes a third of the app's time
    for a prediction (54 of 179 µs). `version` is the model version of the answer, if it has one.
    """

    direct_passthrough = False

    def __init__(self, content: bytes, status: int, content_type: str, version: str | None) -> None:
        self._ready = [("Content-Type", content_type), ("Content-Length", str(len(content)))]
        if version is not None:
            self._ready.append((VERSION_HEADER, version))
        self.response = self._content = [content]
        self.version = version
        self._status, self._status_code = _status_line(status), status
        self._on_close = []

    @cached_property
    def headers(self) -> Headers:  # type: ignore[override]  # made when a view or a hook asks for them
        """The headers, which may be changed."""
        return Headers(self._ready)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Send it; a HEAD gets the headers alone."""
        if "headers" in self.__dict__ or self._on_close or self.response is not self._content:
            return super().__call__(environ, start_response)  # a hook changed it
        start_response(self._status, self._ready)
        return () if environ["REQUEST_METHOD"] == "HEAD" else self._content


def answer(
    content: msgspec.Struct, status: int = 200, *, version: str | None = None, content_type: str = JSON_TYPE
) -> JsonResponse:
    """Return `content` as JSON; `version` is the model version of the answer."""
    return JsonResponse(msgspec.json.encode(content), status, content_type, version)


@cache
def _status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"
