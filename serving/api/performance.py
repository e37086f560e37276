"""What came true of the scores that an org was given."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from flask import Blueprint

from leadscore.live_performance import LivePerformance
from leadscore.registry.ids import check_crm_org_id
from serving.api.endpoint import JsonResponse, answer, endpoint
from serving.api.problems import CODES, Refusal
from serving.api.schema import PerformanceQuery
from serving.services import Services

routes = Blueprint("performance", __name__, url_prefix="/api/v1/model")

NOT_JUDGED = "The org's scores were not judged yet: Dagster's schedule judge_scores_daily does so once a day."


@routes.get("/performance")
@endpoint(
    {200: LivePerformance},
    scope="read",
    query=PerformanceQuery,
    refusals={
        404: ("version_not_found",),
        409: ("org_changed",),
        503: ("database_unavailable", "model_unavailable", "registry_unavailable"),
    },
)
def performance(services: Services, query: PerformanceQuery) -> JsonResponse:
    """Return what was promised to the org and what came true, by grade, month, age and version, with intervals.

    `version` leaves that version's entry alone in `versions`; the other figures stay those of all scores.
    """
    services.registry.check_same_customer(check_crm_org_id(query.org_id))
    figures = services.live_proof.of(query.org_id) or not_judged(query.org_id)
    return answer(figures if query.version is None else _of_version(figures, query.version))


def not_judged(org_id: str) -> LivePerformance:
    """Return the figures of an org whose scores were not judged yet."""
    return LivePerformance(org_id=org_id, as_of=datetime.now(UTC), state="no_scores", in_words=NOT_JUDGED)


def _of_version(figures: LivePerformance, version: str) -> LivePerformance:
    entries = [entry for entry in figures.versions if entry.version == version]
    if not entries:
        raise Refusal(404, "version_not_found", CODES["version_not_found"])
    return msgspec.structs.replace(figures, versions=entries)
