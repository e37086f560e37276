"""All orgs at a glance: state, model and its age, last verdict, open leads, what came true, missing data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec
from flask import Blueprint, Response, render_template, url_for

from serving.api.endpoint import endpoint
from serving.api.orgs import visible_orgs
from serving.api.page import PAGE_TYPE, page
from serving.api.schema import Request
from serving.dependencies.org_health import Order, OrgGlance, OrgsPage
from serving.pages import words
from serving.services import Services

ORGS_PER_PAGE = 1_000
MOST_LISTED = 20
# the sensor refreshes the list once a minute
STALE_AFTER = timedelta(minutes=10)
# a form sends an empty field where nothing is chosen
StateOrAny = Literal[
    "",
    "active",
    "pooled",
    "no_model",
    "withdrawn",
    "damaged",
    "not_ready",
    "training_overdue",
    "training_failed",
    "refused",
    "held",
    "scores_overdue",
    "alarm",
    "listed",
]
FILTERS: dict[str, str] = {str(state): text for state, text in words.STATES.items()} | {
    **{str(warning): text for warning, text in words.ORG_WARNINGS.items()},
    "not_ready": "not ready",
    "refused": "refused",
    "held": "held",
    "alarm": "alarm",
    "listed": "to look at",
}
ORDERS: dict[Order, str] = {
    "org": "by name",
    "state": "trouble first",
    "grade_a": "most leads of grade A",
    "open_leads": "most open leads",
    "oldest_model": "oldest model",
    "held": "held for longest",
    "ready_on": "least data",
    "came_true": "alarms first",
}

routes = Blueprint("orgs_page", __name__)


class OrgsPageQuery(Request, frozen=True, kw_only=True):
    """Which orgs the page shows, and in which order."""

    search: Annotated[
        str,
        msgspec.Meta(max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$", description="a part of the org's id, in any case"),
    ] = ""
    state: StateOrAny = ""
    sort: Order = "org"
    page: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1


@routes.get("/")
@endpoint({200: PAGE_TYPE}, scope="read", query=OrgsPageQuery, refusals={503: ("database_unavailable",)})
def orgs_page(services: Services, query: OrgsPageQuery) -> Response:
    """Show the orgs that the token is for, with how each stands: a page that can be sorted and searched."""
    now = datetime.now(UTC)
    found = services.org_health.sorted(
        visible_orgs(),
        state=query.state or None,
        search=query.search,
        order=query.sort,
        most=ORGS_PER_PAGE,
        skipped=(query.page - 1) * ORGS_PER_PAGE,
    )
    content = render_template(
        "pages/orgs.html",
        page=found,
        query=query,
        is_filtered=bool(query.search or query.state),
        is_stale=found.refreshed_at is not None and now - found.refreshed_at > STALE_AFTER,
        total=sum(found.by_state.values()),
        counts=_counts(found),
        listed=found.listed[:MOST_LISTED],
        pages=-(-found.total // ORGS_PER_PAGE),
        states=words.STATES,
        filters=FILTERS,
        live_states=words.LIVE_STATES,
        warnings=words.ORG_WARNINGS,
        verdicts=words.VERDICTS,
        orders=ORDERS,
        now=now,
        today=now.date(),
        link=_links(query),
        org_link=_org_links(),
    )
    return page(content, has_form=True)


def _counts(found: OrgsPage[OrgGlance]) -> dict[str, int]:
    """Return how many orgs each filter finds."""
    states = {str(state): found.by_state.get(state, 0) for state in words.STATES}
    warnings = {str(warning): found.by_warning.get(warning, 0) for warning in words.ORG_WARNINGS}
    return states | warnings | {"alarm": found.alarms}


def _links(query: OrgsPageQuery) -> Callable[..., str]:
    """Return a function that gives the address of this page with some of the query changed, on the first page."""
    asked = {"search": query.search, "state": query.state, "sort": query.sort, "page": 1}
    defaults = {"search": "", "state": "", "sort": "org", "page": 1}

    def link(**changed: object) -> str:
        wanted = {name: value for name, value in (asked | changed).items() if value != defaults[name]}
        return url_for("orgs_page.orgs_page", **wanted)  # type: ignore[arg-type]  # strings and a number

    return link


def _org_links() -> Callable[[str], str]:
    """Return a function that gives the address of an org's page: url_for takes 60 µs, and there may be 1,000 orgs."""
    template = url_for("org_page.org_page", org_id="ORG")
    return lambda org_id: template.replace("ORG", quote(org_id, safe=""))
