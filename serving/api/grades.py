"""Grades: the rule by which an org's open leads are graded, read and set."""

from __future__ import annotations

import logging

import msgspec
from flask import Blueprint

from leadscore.errors import Fault
from leadscore.registry.ids import check_crm_org_id
from serving.api.access import asker
from serving.api.endpoint import JsonResponse, answer, endpoint
from serving.api.problems import CODES, Refusal, invalid
from serving.api.schema import GradesAnswer, GradesRequest, OrgQuery
from serving.dependencies.grade_rules import GradeSetting
from serving.services import Services

routes = Blueprint("grades", __name__, url_prefix="/api/v1/grades")

_UNAVAILABLE = ("database_unavailable", "model_unavailable", "registry_unavailable")
_NEEDED = Fault("/weekly_capacity", "missing", "required with the rule capacity: how many new leads a week get grade A")
_NEEDLESS = Fault("/weekly_capacity", "unknown", "only the rule capacity has one; leave it out with base_rate")

_log = logging.getLogger(__name__)


@routes.get("")
@endpoint({200: GradesAnswer}, scope="read", query=OrgQuery, refusals={409: ("org_changed",), 503: _UNAVAILABLE})
def grades(services: Services, query: OrgQuery) -> JsonResponse:
    """Return the rule by which the org's open leads are graded, and its cut points."""
    services.registry.check_same_customer(check_crm_org_id(query.org_id))
    return _answer(query.org_id, services.grade_rules.read(query.org_id))


@routes.post("")
@endpoint(
    {200: GradesAnswer},
    scope="activate",
    body=GradesRequest,
    refusals={404: ("org_not_found",), 409: ("org_changed",), 503: _UNAVAILABLE},
)
def set_grades(services: Services, body: GradesRequest) -> JsonResponse:
    """Set the rule by which the org's open leads are graded from the next scoring on.

    That scoring computes the cut points, which then stay when the model changes. To compute them anew, set the rule
    again.
    """
    if (body.rule == "capacity") != (body.weekly_capacity is not None):
        raise invalid((_NEEDED if body.rule == "capacity" else _NEEDLESS,), 422, "invalid_request")
    services.registry.check_same_customer(check_crm_org_id(body.org_id))
    is_known = bool(services.registry.versions(body.org_id))
    setting = services.grade_rules.set(body.org_id, body.rule, body.weekly_capacity, set_by=asker(), is_known=is_known)
    if setting is None:
        raise Refusal(404, "org_not_found", CODES["org_not_found"])
    _log.info("set the rule of grades", extra={"rule": setting.rule, "weekly_capacity": setting.weekly_capacity})
    return _answer(body.org_id, setting)


def _answer(org_id: str, setting: GradeSetting) -> JsonResponse:
    return answer(GradesAnswer(org_id=org_id, **msgspec.structs.asdict(setting)))
