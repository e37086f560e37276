"""The open leads as they were last scored: an org's call list, as JSON or CSV, and one lead with its history."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC

import msgspec
from flask import Blueprint, Response, request

from leadscore.errors import Fault
from leadscore.settings import with_query
from serving.api.csv_response import CSV_TYPE, csv_response
from serving.api.endpoint import VERSION_HEADER, JsonResponse, answer, endpoint
from serving.api.problems import CODES, Refusal, invalid
from serving.api.request_parsing import JSON_TYPE
from serving.api.schema import Contribution, LeadAnswer, LeadsAnswer, LeadsQuery, OrgQuery
from serving.dependencies.call_list import CallListEntry, Page, Place, ScoredLead, is_lead_id, place_of
from serving.services import Services

routes = Blueprint("leads", __name__, url_prefix="/api/v1/leads")

_UNAVAILABLE = ("database_unavailable", "model_unavailable", "registry_unavailable")
_ENTRY_FIELDS = CallListEntry.__struct_fields__


@routes.get("")
@endpoint(
    {200: LeadsAnswer},
    scope="read",
    query=LeadsQuery,
    refusals={404: ("org_not_scored",), 409: ("org_changed",), 503: _UNAVAILABLE},
    other_types=(CSV_TYPE,),
)
def leads(services: Services, query: LeadsQuery) -> Response:
    """List the org's open leads as they were last scored, best first: its call list.

    A page goes on behind the last lead of the page before, by that lead's probability then. So leads whose score has
    not changed between two pages are listed exactly once; one that a new scoring moved from one side of the cursor to
    the other may be listed twice or not at all. `scored_as_of` shows whether there was a new scoring. As CSV, the next
    page is in the header `Link`.
    """
    services.registry.check_same_customer(query.org_id)
    after = None if query.cursor is None else _place_in(query.cursor)
    page = services.call_list.page(
        query.org_id, most=query.limit + 1, grade=query.grade, trend=query.trend, after=after
    )
    if page is None:
        raise Refusal(404, "org_not_scored", CODES["org_not_scored"])
    next_cursor = _cursor_of(place_of(page.leads[query.limit - 1])) if len(page.leads) > query.limit else None
    page = msgspec.structs.replace(page, leads=page.leads[: query.limit])
    if _wants_csv(query):
        return _as_csv(query, page, next_cursor)
    return answer(
        LeadsAnswer(
            leads=page.leads,
            next_cursor=next_cursor,
            scored_as_of=page.scored_as_of,
            scored_leads=page.scored_leads,
            model_version=page.model_version,
            org_id=query.org_id,
        ),
        version=page.model_version,
    )


@routes.get("/<path:lead_id>")
@endpoint(
    {200: LeadAnswer},
    scope="read",
    query=OrgQuery,
    refusals={404: ("org_not_scored", "lead_not_scored"), 409: ("org_changed",), 503: _UNAVAILABLE},
)
def lead(services: Services, query: OrgQuery, lead_id: str) -> JsonResponse:
    """Return an open lead's score at the last scoring: every contribution, the reasons in words, trend and history."""
    services.registry.check_same_customer(query.org_id)
    found = services.call_list.lead(query.org_id, lead_id)
    if found is None:
        raise Refusal(404, "org_not_scored", CODES["org_not_scored"])
    if found.lead is None:
        raise Refusal(404, "lead_not_scored", CODES["lead_not_scored"])
    return answer(
        LeadAnswer(
            **{name: getattr(found.lead, name) for name in _ENTRY_FIELDS},
            org_id=query.org_id,
            scored_as_of=found.scored_as_of,
            base_value=found.lead.base_value,
            feature_contributions=_contributions(found.lead),
            history=found.lead.history,
        ),
        version=found.lead.model_version,
    )


def _contributions(lead: ScoredLead) -> list[Contribution]:
    """Return every feature's contribution, the strongest first."""
    each = map(Contribution, lead.feature_names, lead.features, lead.contributions)
    return sorted(each, key=lambda one: -abs(one.contribution))


def _wants_csv(query: LeadsQuery) -> bool:
    if query.format is not None:
        return query.format == "csv"
    return request.accept_mimetypes.best_match((JSON_TYPE, CSV_TYPE)) == CSV_TYPE


def _as_csv(query: LeadsQuery, page: Page, next_cursor: str | None) -> Response:
    rows = ((*msgspec.structs.astuple(entry), page.scored_as_of) for entry in page.leads)
    response = csv_response((*_ENTRY_FIELDS, "scored_as_of"), rows, file_name=f"leads-{query.org_id}.csv")
    if page.model_version is not None:
        response.headers[VERSION_HEADER] = page.model_version
    if next_cursor is not None:
        filters = {name: getattr(query, name) for name in ("grade", "trend") if getattr(query, name) is not None}
        next_page = with_query(
            request.path, org_id=query.org_id, **filters, limit=str(query.limit), format="csv", cursor=next_cursor
        )
        response.headers["Link"] = f'<{next_page}>; rel="next"'
    return response


def _cursor_of(place: Place) -> str:
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _place_in(cursor: str) -> Place:
    """Return the place that a cursor names. Raises Refusal 400 for a text that no answer gave as a cursor."""
    try:
        place = msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=Place)
        place.lead_id.encode()
    except (ValueError, msgspec.MsgspecError):
        place = None
    if place is None or place.created_at.tzinfo != UTC or not is_lead_id(place.lead_id):
        fault = Fault("?cursor", "wrong_type", "expected the next_cursor of an answer, unchanged")
        raise invalid((fault,), 400, "invalid_query")
    return place
