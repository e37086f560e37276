"""The API's description (OpenAPI 3.1), made from the app's routes and from their request and answer types."""

from __future__ import annotations

import inspect
import re
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Flask

from leadscore import VERSION
from leadscore.features import CONTRACT, Contract, Feature
from serving.api.endpoint import Endpoint
from serving.api.problems import CODES, PROBLEM_TYPE
from serving.api.request_parsing import JSON_TYPE
from serving.api.schema import (
    BatchFault,
    BatchRequest,
    BatchScore,
    InsufficientData,
    PredictRequest,
    Problem,
    RollbackRequest,
    TrainRequest,
)

Schema = dict[str, Any]

_REF = "#/components/schemas/{name}"
_METHODS = ("GET", "POST")

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
    operations = {}
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if not isinstance(view, Endpoint):
            raise TypeError(f"the route {rule.rule} is not an Endpoint; declare it with @endpoint")
        for method in _METHODS:
            if method in (rule.methods or ()):
                operations[re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower()] = view
    schemas = _schemas(list(operations.values()), contract)
    paths: dict[str, Schema] = {}
    for (path, method), view in operations.items():
        paths.setdefault(path, {})[method] = _described(path, view, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lead scoring",
            "version": VERSION,
            "description": "Scores a CRM's leads with a conversion probability and its reasons, and manages the"
            " versions of each org's model. Every refusal is application/problem+json, and every answer has the header"
            " X-Request-ID. When a JSON object repeats a name, the last value counts.",
        },
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _SECURITY_SCHEMES},
    }


def _schemas(operations: list[Endpoint], contract: Contract) -> Schema:
    kinds: list[Any] = [Problem, InsufficientData, BatchScore, BatchFault]
    for view in operations:
        kinds += [kind for kind in (view.query, view.body, *view.answers.values()) if isinstance(kind, type)]
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    for kind, example in _examples(contract).items():
        schemas[kind.__name__]["examples"] = [example]
    return {**schemas, **_feature_schemas(contract)}


def _examples(contract: Contract) -> dict[type, Schema]:
    return {
        PredictRequest: {"org_id": "default", "features": contract.example},
        BatchRequest: {"org_id": "default", "batch": [{"lead_id": "lead-1", "features": contract.example}]},
        RollbackRequest: {"org_id": "default", "version": "20260314150926", "reason": "the new version ranks worse"},
        TrainRequest: {"org_id": "default"},
    }


def _feature_schemas(contract: Contract) -> Schema:
    required = [feature.name for feature in contract.features if not feature.nullable]
    properties = {feature.name: _feature_schema(feature) for feature in contract.features}
    features = {
        "title": "Features",
        "description": "What is known about the lead now. Each version uses the features that it was trained with;"
        " these are the features of this release.",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
        "examples": [contract.example],
    }
    lead_id = {"anyOf": [{"type": "string", "maxLength": 128}, {"type": "integer"}, {"type": "null"}]}
    nested = {
        "type": "object",
        "properties": {"features": {"$ref": _REF.format(name="Features")}, "lead_id": lead_id},
        "required": ["features"],
        "additionalProperties": False,
    }
    flat = {**features, "title": "FlatItem", "properties": {**properties, "lead_id": lead_id}}
    return {"Features": features, "BatchItem": {"title": "BatchItem", "anyOf": [nested, flat]}}


def _feature_schema(feature: Feature) -> Schema:
    kind = "number" if feature.kind == "number" else "integer"
    return {
        "type": [kind, "null"] if feature.nullable else kind,
        "minimum": feature.minimum,
        "maximum": feature.maximum,
        "description": f"{feature.unit}: {feature.meaning}",
    }


def _described(path: str, view: Endpoint, schemas: Schema) -> Schema:
    summary, _, rest = (inspect.getdoc(view.view) or "").partition("\n")
    described: Schema = {
        "operationId": view.view.__name__,
        "summary": summary,
        "parameters": [*_path_parameters(path), *_query_parameters(view, schemas)],
        "responses": {str(status): content for status, content in sorted(_responses(view).items())},
    }
    roles = [] if view.scope is None else [view.scope]
    described["security"] = [{scheme: roles} for scheme in _SECURITY_SCHEMES] if roles else []
    if rest.strip():
        described["description"] = " ".join(rest.split())
    if view.body is not None:
        described["requestBody"] = {"required": True, "content": {JSON_TYPE: {"schema": _ref(view.body)}}}
    return described


def _path_parameters(path: str) -> list[Schema]:
    names = re.findall(r"\{(\w+)\}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(view: Endpoint, schemas: Schema) -> list[Schema]:
    if view.query is None:
        return []
    properties = schemas[view.query.__name__]["properties"]
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in properties.items()]


def _responses(view: Endpoint) -> dict[int, Schema]:
    responses = {status: _refused(codes) for status, codes in _refusals(view).items()}
    for status, kind in view.answers.items():
        if isinstance(kind, str):
            responses[status] = _response("The text.", kind, {"type": "string"})
        elif kind is InsufficientData:
            codes = _refusals(view).get(status, ())
            either = {"anyOf": [_ref(InsufficientData), _ref(Problem)]}
            responses[status] = _response(_meanings((*codes, "insufficient_data")), PROBLEM_TYPE, either)
        else:
            responses[status] = _response(inspect.getdoc(kind) or "", JSON_TYPE, _ref(kind))
    return responses


def _refusals(view: Endpoint) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    always = _ALWAYS if view.answers_json else {400: ("invalid_query",)}
    for group in (always, _WITH_SCOPE if view.scope else {}, _WITH_BODY if view.body else {}, view.refusals):
        for status, codes in group.items():
            found[status] = tuple(dict.fromkeys((*found.get(status, ()), *codes)))
    return found


def _refused(codes: tuple[str, ...]) -> Schema:
    return _response(_meanings(codes), PROBLEM_TYPE, _ref(Problem))


def _meanings(codes: tuple[str, ...]) -> str:
    return " ".join(f"`{code}`: {CODES[code]}" for code in codes)


def _response(description: str, content_type: str, schema: Schema) -> Schema:
    return {"description": description, "content": {content_type: {"schema": schema}}}


def _ref(kind: type) -> Schema:
    return {"$ref": _REF.format(name=kind.__name__)}


def title_of(status: str) -> str:
    """Return a status with its name, such as `404 Not Found`."""
    return f"{status} {HTTPStatus(int(status)).phrase}"
