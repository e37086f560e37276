"""Readiness: whether an org has enough data for a training and, if not, when it will."""

from __future__ import annotations

from datetime import UTC

from flask import Blueprint

from leadscore.errors import NoActiveModel
from leadscore.left_out import largest_first
from leadscore.outcome_forecast import LastRun
from leadscore.readiness import Readiness
from serving.api.endpoint import JsonResponse, answer, endpoint
from serving.api.schema import LastRunAnswer, OrgQuery, ReadinessAnswer, SetAside
from serving.services import Services

routes = Blueprint("readiness", __name__, url_prefix="/api/v1/model")


@routes.get("/readiness")
@endpoint(
    {200: ReadinessAnswer},
    scope="read",
    query=OrgQuery,
    refusals={503: ("database_unavailable", "model_unavailable", "registry_unavailable")},
)
def readiness(services: Services, query: OrgQuery) -> JsonResponse:
    """Return whether the org has enough data for a training and, if not, what is missing and when it is expected."""
    return answer(readiness_answer(services, query.org_id, services.readiness.readiness(query.org_id)))


def readiness_answer(services: Services, org_id: str, readiness: Readiness) -> ReadinessAnswer:
    """Return the answer for an org's readiness. Raises Damaged when the org's active.json cannot be read."""
    return ReadinessAnswer(
        org_id=org_id,
        as_of=readiness.as_of.isoformat(timespec="seconds"),
        is_ready=readiness.is_ready,
        needs=readiness.needs,
        pace=readiness.pace,
        expected_on=readiness.expected_on,
        message=readiness.message,
        has_active_model=_has_active_model(services, org_id),
        last_run=_last_run_answer(readiness.last_run) if readiness.last_run else None,
    )


def _last_run_answer(last_run: LastRun) -> LastRunAnswer:
    counts = last_run.counts
    return LastRunAnswer(
        stored_at=last_run.stored_at.astimezone(UTC).isoformat(timespec="seconds"),
        rows=counts.read_rows,
        set_aside_rows=counts.set_aside_rows,
        records=counts.read_records,
        records_left=counts.records,
        set_aside=[
            SetAside(reason=reason, rows=rows, share=rows / counts.read_rows)
            for reason, rows in largest_first(counts.set_aside)
        ],
    )


def _has_active_model(services: Services, org_id: str) -> bool:
    try:
        services.models.own_pointer(org_id)
    except NoActiveModel:
        return False
    return True
