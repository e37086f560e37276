"""The list of the orgs that a caller may see, with how each stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import Blueprint

from leadscore.tokens import EVERY_ORG
from serving.api.access import caller
from serving.api.endpoint import JsonResponse, answer, endpoint
from serving.api.schema import (
    OpenLeadsByGrade,
    OrgCameTrue,
    OrgEntry,
    OrgModel,
    OrgReadiness,
    OrgsAnswer,
    OrgScoring,
    OrgsQuery,
    OrgTraining,
    OrgVerdict,
)
from serving.dependencies.org_health import OrgHealth
from serving.services import Services

routes = Blueprint("orgs", __name__, url_prefix="/api/v1/orgs")


@routes.get("")
@endpoint({200: OrgsAnswer}, scope="read", query=OrgsQuery, refusals={503: ("database_unavailable",)})
def orgs(services: Services, query: OrgsQuery) -> JsonResponse:
    """List the orgs that the token is for: state, version and its age, last verdict, readiness, open leads by grade.

    The list is in the order of ids, and goes on behind the cursor, so an org that comes or goes moves no other one.
    """
    found = services.org_health.after(visible_orgs(), query.cursor or "", state=query.state, most=query.limit + 1)
    shown, now = found.orgs[: query.limit], datetime.now(UTC)
    return answer(
        OrgsAnswer(
            orgs=[org_entry(org, now) for org in shown],
            next_cursor=shown[-1].org_id if len(found.orgs) > query.limit else None,
            total=found.total,
            refreshed_at=found.refreshed_at,
        )
    )


def visible_orgs() -> tuple[str, ...] | None:
    """Return the orgs that the present request's token is for, None for all."""
    orgs = caller().orgs
    return None if EVERY_ORG in orgs else tuple(orgs)


def org_entry(org: OrgHealth, now: datetime) -> OrgEntry:
    """Return how the org stands at `now`, as the API says it."""
    return OrgEntry(
        org_id=org.org_id,
        state=org.state,
        state_since=org.state_since,
        problem=org.problem or None,
        model=_model(org, now),
        last_verdict=_verdict(org),
        last_run_at=org.last_run_at,
        readiness=_readiness(org),
        scoring=_scoring(org),
        came_true=_came_true(org),
        last_training=_last_training(org),
        warnings=org.warnings,
    )


def _model(org: OrgHealth, now: datetime) -> OrgModel | None:
    if org.model_version is None or org.model_scope is None:
        return None
    age_days = None if org.trained_at is None else round((now - org.trained_at) / timedelta(days=1), 2)
    return OrgModel(
        version=org.model_version,
        scope=org.model_scope,
        activated_at=org.activated_at,
        trained_at=org.trained_at,
        age_days=age_days,
    )


def _verdict(org: OrgHealth) -> OrgVerdict | None:
    if org.verdict is None:
        return None
    return OrgVerdict(
        verdict=org.verdict,
        version=org.judged_version,
        reasons=org.verdict_reasons,
        judged_at=org.judged_at,
        held_since=org.held_since,
    )


def _readiness(org: OrgHealth) -> OrgReadiness | None:
    if org.is_ready is None or org.records is None or org.records_needed is None or org.readiness_as_of is None:
        return None
    return OrgReadiness(
        is_ready=org.is_ready,
        records=org.records,
        records_needed=org.records_needed,
        expected_on=org.ready_on,
        message=org.readiness,
        as_of=org.readiness_as_of,
    )


def _scoring(org: OrgHealth) -> OrgScoring | None:
    if org.scored_as_of is None or org.open_leads is None or org.scored_leads is None:
        return None
    return OrgScoring(
        scored_as_of=org.scored_as_of,
        open_leads=org.open_leads,
        scored_leads=org.scored_leads,
        leads_by_grade=OpenLeadsByGrade(a=org.leads_a, b=org.leads_b, c=org.leads_c, d=org.leads_d),
        improving_leads=org.improving_leads,
        declining_leads=org.declining_leads,
    )


def _last_training(org: OrgHealth) -> OrgTraining | None:
    if org.last_training is None or org.last_training_at is None:
        return None
    return OrgTraining(status=org.last_training, ended_at=org.last_training_at)


def _came_true(org: OrgHealth) -> OrgCameTrue | None:
    if org.live_state is None:
        return None
    return OrgCameTrue(
        state=org.live_state,
        leads=org.live_leads,
        promised=org.live_promised,
        converted=org.live_converted,
        alarmed_on=org.live_alarmed_on,
        judgeable_on=org.live_judgeable_on,
        is_listed=org.live_is_listed,
    )
