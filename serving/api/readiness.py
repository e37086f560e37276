"""Readiness: has an org enough data for a model, and if not, when it will."""

from __future__ import annotations

from flask import Blueprint

from leadscore.errors import NoActiveModel
from leadscore.readiness import Readiness
from serving.api.endpoint import answer, operation
from serving.api.json_response import Encoded
from serving.api.schema import OrgQuery, ReadinessAnswer
from serving.services import services

routes = Blueprint("readiness", __name__, url_prefix="/api/v1/model")


@routes.get("/readiness")
@operation(
    {200: ReadinessAnswer},
    query=OrgQuery,
    refusals={503: ("database_unavailable", "model_unavailable", "registry_unavailable")},
)
def readiness(query: OrgQuery) -> Encoded:
    """Say whether the org has enough data for a training, and if not, what is missing and when it is expected."""
    return answer(readiness_answer(query.org_id, services().readiness.readiness(query.org_id)))


def readiness_answer(org_id: str, readiness: Readiness) -> ReadinessAnswer:
    """Return an org's readiness as callers see it. Raises Damaged when its active model's pointer cannot be read."""
    return ReadinessAnswer(
        org_id=org_id,
        as_of=readiness.as_of.isoformat(timespec="seconds"),
        is_ready=readiness.is_ready,
        needs=readiness.needs,
        pace=readiness.pace,
        expected_on=readiness.expected_on,
        message=readiness.message,
        has_active_model=_has_active_model(org_id),
    )


def _has_active_model(org_id: str) -> bool:
    try:
        services().models.pointer(org_id)
    except NoActiveModel:
        return False
    return True
