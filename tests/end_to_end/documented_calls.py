"""The examples of the documents as calls: each curl line read, and matched with a call of the API's description."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft202012Validator

from tests.docs.documents import API, EXAMPLE, README

EXAMPLE_ADDRESS = "http://127.0.0.1:5000"
EXAMPLE_VERSION = "20260601020000"
EXAMPLE_LEAD = "4711"
_CONVERTED: dict[Any, Callable[[str], Any]] = {"integer": int, "number": float, "boolean": lambda text: text == "true"}


@dataclass(frozen=True)
class Curl:
    """A line of curl: what it sends."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None


@dataclass(frozen=True)
class Call:
    """An example as a call of the description, with typed values in the path and in the query, and what it shows."""

    operation_id: str
    tag: str
    method: str
    path: str
    in_path: dict[str, str]
    query: dict[str, Any]
    body: Any
    body_type: str | None
    accept: str | None
    shown: Any


def read_curl(command: str) -> Curl:
    """Return what the line sends."""
    words = iter(shlex.split(command))
    assert next(words) == "curl"
    method, url, headers, body = None, "", {}, None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, value = next(words).split(": ", 1)
            headers[name] = value
        elif word == "-d":
            body = next(words)
        elif word == "-o":
            assert next(words).endswith(".html")
        elif word != "-s":
            url = word
    return Curl(method or ("POST" if body else "GET"), url, headers, body)


def documented_calls(document: dict[str, Any], actual: dict[str, str]) -> list[Call]:
    """Return every example of README and docs/api.md, with `actual` values in place of the examples' own.

    Items of a batch that break their schema, which an example shows to be refused, are left out: a typed client cannot
    send them.
    """
    found = []
    for command, shown in EXAMPLE.findall(README.read_text() + API.read_text()):
        for example, value in actual.items():
            command = command.replace(example, value)  # noqa: PLW2901 (the same line, with other values)
        call = _call(read_curl(command), json.loads(shown or "{}"), document)
        found.append(_without_faults(call, document) if "batch" in (call.body or {}) else call)
    return found


def _without_faults(call: Call, document: dict[str, Any]) -> Call:
    schema = {"$ref": "#/components/schemas/BatchItem", "components": document["components"]}
    is_valid = [Draft202012Validator(schema).is_valid(item) for item in call.body["batch"]]
    body = call.body | {"batch": [*compress(call.body["batch"], is_valid)]}
    shown = call.shown | {"predictions": [*compress(call.shown["predictions"], is_valid)]}
    return replace(call, body=body, shown=shown)


def _call(curl: Curl, shown: Any, document: dict[str, Any]) -> Call:
    parts = urlsplit(curl.url)
    path, in_path = _matched(parts.path, document)
    described = document["paths"][path][curl.method.lower()]
    types = {each["name"]: each["schema"] for each in described["parameters"] if each["in"] == "query"}
    content = described.get("requestBody", {}).get("content", {}).get("application/json")
    return Call(
        operation_id=described["operationId"],
        tag=described["tags"][0],
        method=curl.method,
        path=path,
        in_path=in_path,
        query={name: _typed(text, types[name]) for name, text in parse_qsl(parts.query)},
        body=None if curl.body is None else json.loads(curl.body),
        body_type=content and content["schema"]["$ref"].rpartition("/")[2],
        accept=curl.headers.get("Accept"),
        shown=shown,
    )


def _matched(path: str, document: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the described path that fits best, and the values of its parameters."""
    for template in sorted(document["paths"], key=lambda known: known.count("{")):
        if found := re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template), path):
            return template, found.groupdict()
    raise AssertionError(f"{path} is not described")


def _typed(text: str, schema: dict[str, Any]) -> Any:
    kinds = [schema.get("type"), *(part.get("type") for part in schema.get("anyOf", ()))]
    convert = next((_CONVERTED[kind] for kind in kinds if kind in _CONVERTED), str)
    return convert(text)


def names_in(example: Any, prefix: str = "") -> set[str]:
    """Return the paths of all names in a JSON value."""
    if isinstance(example, dict):
        return {f"{prefix}/{name}" for name in example}.union(
            *(names_in(v, f"{prefix}/{k}") for k, v in example.items())
        )
    if isinstance(example, list):
        return set().union(*(names_in(value, f"{prefix}/{index}") for index, value in enumerate(example)))
    return set()
