"""One org: its call list, what came true and what moved, its model in a sentence, missing data, and the history."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

import msgspec
from flask import Blueprint, Response, render_template, url_for

from leadscore.errors import Damaged
from leadscore.gate import Judgement
from leadscore.pooling import Scope
from leadscore.registry.org_state import MEANINGS, Standing, holds_since, pooled_pointer, standing
from leadscore.registry.version import Manifest
from serving.api.access import caller
from serving.api.endpoint import VERSION_HEADER, endpoint
from serving.api.page import PAGE_TYPE, page
from serving.api.problems import CODES, Refusal
from serving.api.schema import MOST_LEADS, Request
from serving.dependencies.call_list import Grade, Page, Trend
from serving.pages import words
from serving.pages.arrived import what_arrives
from serving.pages.came_true import came_true, lift, role
from serving.pages.model_words import measured_on, promise
from serving.pages.timeline import timeline
from serving.services import Services

MOST_MOVES = 12
# the leads are scored daily
STALE_AFTER = timedelta(hours=30)

routes = Blueprint("org_page", __name__)


class OrgPageQuery(Request, frozen=True, kw_only=True):
    """Which leads of the call list the page shows, and how many at most."""

    grade: Grade | None = None
    trend: Trend | None = None
    most: Annotated[int, msgspec.Meta(ge=1, le=MOST_LEADS)] = 50


class _Model(NamedTuple):
    """The version that scores the org's leads, as the page says it; only who may see the version sees its figures."""

    version: str
    scope: Scope
    activated_at: datetime
    manifest: Manifest | None = None
    promise: str = ""
    measured_on: str = ""


@routes.get("/orgs/<org_id>")
@endpoint(
    {200: PAGE_TYPE},
    scope="read",
    query=OrgPageQuery,
    refusals={
        400: ("invalid_id",),
        404: ("org_not_found",),
        409: ("org_changed",),
        503: ("database_unavailable", "model_unavailable", "registry_unavailable"),
    },
)
def org_page(services: Services, query: OrgPageQuery, org_id: str) -> Response:
    """Show one org: today's call list with reasons, what moved, the model in a sentence, readiness and the history."""
    registry, now = services.registry, datetime.now(UTC)
    registry.check_same_customer(org_id)
    versions = registry.versions(org_id)
    health = services.org_health.org(org_id)
    if health is None and not versions:
        raise Refusal(404, "org_not_found", CODES["org_not_found"])
    found, history = _standing(services, org_id), registry.history(org_id)
    calls = services.call_list.page(org_id, most=query.most + 1, grade=query.grade, trend=query.trend)
    content = render_template(
        "pages/org.html",
        org_id=org_id,
        state=found.state,
        meaning=MEANINGS[found.state],
        since=holds_since(history) if found.state == "active" else health and health.state_since,
        problem=found.problem,
        model=_model(services, found),
        health=health,
        readiness=services.readiness.readiness(org_id),
        calls=calls,
        counts=services.call_list.counts(org_id) if calls else None,
        leads=calls.leads[: query.most] if calls else [],
        has_more=calls is not None and len(calls.leads) > query.most,
        is_stale=calls is not None and now - calls.scored_as_of > STALE_AFTER,
        moves=services.grade_moves.of(org_id, most=MOST_MOVES) if calls else None,
        live=came_true(services.live_proof, org_id),
        arrives=what_arrives(services.live_proof, org_id),
        lift=lift,
        role=role,
        events=timeline(registry, org_id, history, versions),
        query=query,
        states=words.STATES,
        warnings=words.WARNING_REMEDIES,
        verdicts=words.VERDICTS,
        arrows=words.ARROWS,
        trends=words.TRENDS,
        grades=Grade.__args__,  # type: ignore[attr-defined]  # of a Literal
        now=now,
        link=_links(org_id, query),
        csv_link=url_for("leads.leads", **_filters(query), org_id=org_id, format="csv", limit=MOST_LEADS),
        most_leads=MOST_LEADS,
        is_csv_cut=calls is not None and _is_csv_cut(services, org_id, calls, query),
        report_link=lambda owner, version: url_for("report.report", org_id=owner, version=version),
        lead_link=lambda lead_id: url_for("leads.lead", org_id=org_id, lead_id=lead_id),
    )
    response = page(content)
    if found.model:
        response.headers[VERSION_HEADER] = found.model.pointer.version
    return response


def _standing(services: Services, org_id: str) -> Standing:
    pooled = pooled_pointer(services.registry, is_pooling=services.settings.pooled_model)
    return standing(services.registry, org_id, pooled)


def _model(services: Services, found: Standing) -> _Model | None:
    """Return the version that scores the org's leads; None when there is none. Raises Damaged."""
    if found.model is None:
        return None
    owner, pointer, scope = found.model.owner, found.model.pointer, found.model.scope
    model = _Model(pointer.version, scope, datetime.fromisoformat(pointer.activated_at))
    if not caller().sees(owner):
        return model
    judgement = _judgement(services, owner, pointer.version)
    manifest = services.registry.manifest(owner, pointer.version, pointer.manifest_sha256)
    return model._replace(manifest=manifest, promise=promise(judgement, scope), measured_on=measured_on(judgement))


def _judgement(services: Services, owner: str, version: str) -> Judgement | None:
    """Return how the version was judged; None when that is damaged: it may have been made active by force."""
    try:
        return services.registry.judgement(owner, version)
    except Damaged:
        return None


def _filters(query: OrgPageQuery) -> dict[str, Any]:
    return {"grade": query.grade, "trend": query.trend}


def _is_csv_cut(services: Services, org_id: str, calls: Page, query: OrgPageQuery) -> bool:
    """Return whether more leads match than one answer holds; they are counted only where that can be."""
    if calls.scored_leads <= MOST_LEADS:
        return False
    return services.call_list.has_more(org_id, than=MOST_LEADS, **_filters(query))


def _links(org_id: str, query: OrgPageQuery) -> Callable[..., str]:
    """Return a function that gives the address of this page with some of the query changed; None leaves a part out."""
    asked = _filters(query) | {"most": None}

    def link(**changed: str | int | None) -> str:
        return url_for("org_page.org_page", org_id=org_id, **(asked | changed))

    return link
