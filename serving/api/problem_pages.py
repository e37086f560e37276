"""Problems as pages: what a browser shows in place of a page that cannot be shown.

Only a browser asks for text/html before JSON, and only addresses of pages, and those that do not exist, answer with a
page; programs receive application/problem+json, as everywhere.
"""

from __future__ import annotations

from contextlib import suppress

from flask import Response, current_app, render_template, request

from leadscore.errors import InvalidId
from leadscore.registry.ids import check_crm_org_id
from serving.api.page import page
from serving.api.schema import Problem

# in the order in which they are preferred where the caller has no preference
ACCEPTED = ("application/problem+json", "application/json", "text/html")

TITLES = {
    "database_unavailable": "The database does not answer",
    "forbidden": "This token may not open the page",
    "internal_error": "Something went wrong here",
    "invalid_id": "This is not an id",
    "invalid_query": "This address is not right",
    "model_unavailable": "This version cannot be shown",
    "no_active_model": "There is no model yet",
    "org_not_found": "There is no such org",
    "not_found": "There is no such page",
    "report_not_found": "This version has no report",
    "unauthorized": "This page needs a token",
    "version_not_found": "There is no such version",
}


def is_for_a_browser() -> bool:
    """Return whether a browser asked for a page, or for an address that does not exist."""
    view = current_app.view_functions.get(request.endpoint or "")
    is_page = view is None or getattr(view, "answers_page", False)
    return is_page and request.accept_mimetypes.best_match(ACCEPTED) == ACCEPTED[-1]


def problem_page(problem: Problem, meaning: str) -> Response:
    """Return `problem` as a page; `meaning` says what its code stands for."""
    content = render_template(
        "problem.html",
        problem=problem,
        title=TITLES.get(problem.code, problem.title),
        detail=f"{problem.detail[:1].upper()}{problem.detail[1:].removesuffix('.')}.",
        meaning=meaning,
        org_id=_org_with_a_page(),
    )
    return page(content, problem.status)


def _org_with_a_page() -> str | None:
    """Return the org that the address of a report names, whose own page has more."""
    org_id = request.args.get("org_id")
    with suppress(InvalidId):
        return check_crm_org_id(org_id)
    return None
