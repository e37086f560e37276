"""The API's description (OpenAPI 3.1), made from the app's routes and from their request and answer types."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from flask import Flask

from leadscore import VERSION
from leadscore.features import CONTRACT, Contract
from serving.api import examples
from serving.api.endpoint import Endpoint
from serving.api.openapi_schemas import Schema, component_schemas, path_schema, query_schemas, reference
from serving.api.problems import CODES, PROBLEM_TYPE
from serving.api.request_parsing import JSON_TYPE
from serving.api.schema import InsufficientData, LeadIdText, OrgId, Problem, RunId
from serving.services import EXTENSION, Services

_METHODS = ("GET", "POST")
_IN_PATH: dict[str, Any] = {"lead_id": LeadIdText, "org_id": OrgId, "run_id": RunId}

# how a token is sent; OpenAPI calls a scope a role
_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "a token, as `python -m leadscore.tokens` makes it"},
    "basic": {"type": "http", "scheme": "basic", "description": "the same token as the password, with any user name"},
}

# what any operation may answer, depending on its request
_ALWAYS = {400: ("invalid_query", "invalid_id"), 406: ("not_acceptable",)}
_WITH_SCOPE = {
    401: ("unauthorized",),
    403: ("forbidden",),
    421: ("unknown_host",),
    503: ("tokens_unavailable",),
}
_WITH_BODY = {
    403: ("foreign_origin",),
    400: ("invalid_json", "invalid_query", "invalid_id"),
    408: ("request_timeout",),
    411: ("length_required",),
    413: ("too_large",),
    415: ("unsupported_media_type",),
    422: ("invalid_request",),
}


def openapi_document(app: Flask, contract: Contract = CONTRACT) -> Schema:
    """Return the description of every route of `app`, with the features of `contract`.

    Raises TypeError for a route that is not an Endpoint.
    """
    services: Services = app.extensions[EXTENSION]
    operations = dict(_operations(app))
    views = list(operations.values())
    paths: dict[str, Schema] = {}
    for (path, method), view in operations.items():
        paths.setdefault(path, {})[method] = _described(path, view, contract)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lead scoring",
            "version": VERSION,
            "description": "Scores a CRM's leads with a conversion probability and its reasons, and manages the"
            " versions of each org's model. Every refusal is application/problem+json, and every answer has the header"
            " X-Request-ID. When a JSON object repeats a name, the last value counts.",
        },
        "servers": [{"url": services.settings.link(""), "description": "this server; SERVER_URL sets the address"}],
        "tags": _tags(views),
        "paths": paths,
        "components": {
            "schemas": component_schemas(_types(views), contract),
            "examples": {code: _problem_example(code) for code in CODES},
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _operations(app: Flask) -> Iterator[tuple[tuple[str, str], Endpoint]]:
    """Yield each path with a method in lower case, and its view."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if not isinstance(view, Endpoint):
            raise TypeError(f"the route {rule.rule} is not an Endpoint; declare it with @endpoint")
        for method in _METHODS:
            if method in (rule.methods or ()):
                yield (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower()), view


def _types(views: list[Endpoint]) -> list[type]:
    """Return the types of all bodies and answers."""
    return [kind for view in views for kind in (view.body, *view.answers.values()) if isinstance(kind, type)]


def _tag(view: Endpoint) -> str:
    """Return the tag of a view: the name of the module that it is in."""
    return view.view.__module__.rpartition(".")[2]


def _tags(views: list[Endpoint]) -> list[Schema]:
    """Return the tags, in the order of their routes, each described by the first line of its module."""
    modules = {_tag(view): sys.modules[view.view.__module__] for view in views}
    return [
        {"name": tag, "description": (inspect.getdoc(module) or "").partition("\n")[0]}
        for tag, module in modules.items()
    ]


def _problem_example(code: str) -> Schema:
    return {"summary": CODES[code], "value": examples.problem(code)}


def _described(path: str, view: Endpoint, contract: Contract) -> Schema:
    summary, _, rest = (inspect.getdoc(view.view) or "").partition("\n")
    described: Schema = {
        "operationId": view.view.__name__,
        "tags": [_tag(view)],
        "summary": summary,
        "parameters": [*_path_parameters(path), *_query_parameters(view)],
        "responses": {str(status): content for status, content in sorted(_responses(view, contract).items())},
    }
    roles = [] if view.scope is None else [view.scope]
    described["security"] = [{scheme: roles} for scheme in _SECURITY_SCHEMES] if roles else []
    if rest.strip():
        described["description"] = " ".join(rest.split())
    if view.body is not None:
        described["requestBody"] = {"required": True, "content": {JSON_TYPE: {"schema": reference(view.body)}}}
    return described


def _path_parameters(path: str) -> list[Schema]:
    names = re.findall(r"\{(\w+)\}", path)
    return [
        {"name": name, "in": "path", "required": True, "schema": path_schema(_IN_PATH.get(name, str))} for name in names
    ]


def _query_parameters(view: Endpoint) -> list[Schema]:
    if view.query is None:
        return []
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in query_schemas(view.query).items()
    ]


def _responses(view: Endpoint, contract: Contract) -> dict[int, Schema]:
    responses = {status: _refused(codes) for status, codes in _refusals(view).items()}
    for status, kind in view.answers.items():
        if isinstance(kind, str):
            responses[status] = _response("The text.", kind, {"type": "string"})
            continue
        example = {"example": {"value": examples.answers(contract)[kind]}}
        if kind is InsufficientData:
            codes = _refusals(view).get(status, ())
            either = {"anyOf": [reference(InsufficientData), reference(Problem)]}
            given = example | _references(codes)
            responses[status] = _response(_meanings((*codes, "insufficient_data")), PROBLEM_TYPE, either, given)
        else:
            responses[status] = _response(inspect.getdoc(kind) or "", JSON_TYPE, reference(kind), example)
            responses[status]["content"] |= {other: {"schema": {"type": "string"}} for other in view.other_types}
    return responses


def _refusals(view: Endpoint) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    always = _ALWAYS if view.answers_json else {400: ("invalid_query",)}
    for group in (always, _WITH_SCOPE if view.scope else {}, _WITH_BODY if view.body else {}, view.refusals):
        for status, codes in group.items():
            found[status] = tuple(dict.fromkeys((*found.get(status, ()), *codes)))
    return found


def _refused(codes: tuple[str, ...]) -> Schema:
    return _response(_meanings(codes), PROBLEM_TYPE, reference(Problem), _references(codes))


def _references(codes: tuple[str, ...]) -> Schema:
    return {code: {"$ref": f"#/components/examples/{code}"} for code in codes}


def _meanings(codes: tuple[str, ...]) -> str:
    return " ".join(f"`{code}`: {CODES[code]}" for code in codes)


def _response(description: str, content_type: str, schema: Schema, given: Schema | None = None) -> Schema:
    content = {"schema": schema, **({"examples": given} if given else {})}
    return {"description": description, "content": {content_type: content}}


def title_of(status: str) -> str:
    """Return a status with its name, such as `404 Not Found`."""
    return f"{status} {HTTPStatus(int(status)).phrase}"
