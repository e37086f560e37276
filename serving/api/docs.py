"""The description of the API, for programs (/openapi.json) and as a self-contained page (/docs)."""

from __future__ import annotations

import json
import re
from functools import cache

import msgspec
from flask import Blueprint, Flask, Response, current_app, render_template
from markupsafe import Markup, escape

from serving.api.endpoint import endpoint
from serving.api.openapi import openapi_document, title_of
from serving.api.page import PAGE_TYPE, page
from serving.api.problems import CODES
from serving.services import Services

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
    return render_template("docs.html", document=document, codes=CODES, title_of=title_of, as_json=_as_json)


def _as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
