"""The description of the API, for programs (/openapi.json) and as a self-contained page (/docs)."""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from itertools import repeat
from typing import Any

import msgspec
from flask import Blueprint, Flask, Response, current_app, render_template
from markupsafe import Markup, escape

from leadscore.settings import with_query
from serving.api.endpoint import endpoint
from serving.api.openapi import openapi_document, title_of
from serving.api.openapi_schemas import Schema
from serving.api.page import PAGE_TYPE, page
from serving.api.problems import CODES
from serving.api.request_parsing import JSON_TYPE
from serving.services import Services

LINE_WIDTH = 88

routes = Blueprint("docs", __name__)


@routes.app_template_filter("words")
def words(text: str) -> Markup:
    """Return text as HTML, with the parts between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped before)


@routes.get("/openapi.json")
@endpoint({200: "application/json"}, scope="read")
def openapi(_services: Services) -> Response:
    """Return this description as JSON."""
    return Response(_document(_app()), content_type="application/json")


@routes.get("/docs")
@endpoint({200: PAGE_TYPE}, scope="read")
def docs(_services: Services) -> Response:
    """Show this description as a page."""
    return page(_page(_app()))


def _app() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (Flask documents it)
    return app


@cache
def _document(app: Flask) -> bytes:
    return msgspec.json.format(msgspec.json.encode(openapi_document(app)), indent=2)


@cache
def _page(app: Flask) -> str:
    document = openapi_document(app)
    return render_template(
        "docs.html", document=document, tags=_tags(document), codes=CODES, title_of=title_of, as_json=_as_json
    )


def _tags(document: Schema) -> list[Schema]:
    """Return the tags with their calls, each with its method, its path and a command that makes it."""
    calls = [
        {**call, "method": method, "path": path, "curl": _curl(document, path, call)}
        for path, methods in document["paths"].items()
        for method, call in methods.items()
    ]
    return [
        {
            "title": tag["name"].capitalize(),
            "anchor": f"tag-{tag['name']}",
            "description": _without_title(tag["description"], tag["name"].capitalize()),
            "calls": [call for call in calls if tag["name"] in call["tags"]],
        }
        for tag in document["tags"]
    ]


def _without_title(description: str, title: str) -> str:
    """Return the description as a sentence of its own below the title."""
    rest = description.removeprefix(f"{title}: ").removeprefix(f"{title} ")
    return rest[:1].upper() + rest[1:]


def _curl(document: Schema, path: str, call: Schema) -> str:
    """Return a command for a shell that makes the call with the values of the examples."""
    shown = {parameter["name"]: parameter["schema"].get("examples", [None])[0] for parameter in call["parameters"]}
    for name in re.findall(r"\{(\w+)\}", path):
        path = path.replace(f"{{{name}}}", str(shown.pop(name)))
    query = {"org_id": shown["org_id"]} if "org_id" in shown else {}
    line = f"curl -s {shlex.quote(document['servers'][0]['url'] + with_query(path, **query))}"
    if "requestBody" not in call:
        return line
    name = call["requestBody"]["content"][JSON_TYPE]["schema"]["$ref"].rpartition("/")[2]
    body = _as_json(document["components"]["schemas"][name]["examples"][0])
    return f"{line} -H 'Content-Type: {JSON_TYPE}' -d {shlex.quote(body)}"


def _as_json(value: Any, indent: int = 0, name: str = "") -> str:
    """Return JSON for people, behind its name: what fits on a line of LINE_WIDTH stands on one."""
    line = name + json.dumps(value, ensure_ascii=False)
    if indent + len(line) < LINE_WIDTH or not isinstance(value, dict | list):
        return line
    inner = indent + 2
    names = [f"{json.dumps(name, ensure_ascii=False)}: " for name in value] if isinstance(value, dict) else repeat("")
    values = value.values() if isinstance(value, dict) else value
    parts = [" " * inner + _as_json(part, inner, name_of) for name_of, part in zip(names, values, strict=False)]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([name + opening, ",\n".join(parts), " " * indent + closing])
