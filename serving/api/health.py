"""Health for people (/health), for restarts (/health/live) and for load balancers (/health/ready), and the metrics.

Only /health shows that the database or a part of Dagster is down, because leads are scored without them.
"""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec
from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST

from leadscore.errors import LeadscoreError, NoActiveModel
from leadscore.pooling import Scope
from leadscore.tokens import EVERY_ORG
from serving.api.access import may_read
from serving.api.endpoint import JsonResponse, answer, endpoint
from serving.api.problems import CODES, Refusal, refusal_of
from serving.api.schema import HealthAnswer, OrgQuery, StatusAnswer
from serving.dependencies.probes import State
from serving.dependencies.stored_figures import Figures
from serving.services import Services
from serving.telemetry.metrics import Series

routes = Blueprint("health", __name__)

DEPENDENCIES = ("database", "dagster", "code_server", "daemon")
_IF_FAILED = {
    "orgs_have_leads": "Many orgs have no leads any more, so none of their partitions is removed. Look whether the"
    " CRM's table of leads is whole; the check orgs_have_leads in Dagster names the orgs.",
    "orgs_keep_their_leads": "An org's id may have been given to another customer, so it is not trained. Say whose it"
    " is; the check orgs_keep_their_leads in Dagster names the orgs and the command.",
    "leads_are_in_crm": "Many leads are gone from the CRM, so none is erased from our tables. Look whether the CRM's"
    " table of leads is whole; the check leads_are_in_crm in Dagster has the figures.",
}
UNREADABLE = "The org's leads are not scored: its files cannot be read. Give the server's user the right to read them."
_IF_DOWN = {
    "database": "The CRM's database does not answer: no org is trained. Start it, or correct the DB_* settings.",
    "dagster": "Dagster's webserver does not answer: no training can be requested. Start it, or correct DAGSTER_URL.",
    "code_server": "Dagster's code server does not answer: no org is trained. Start it; its log says why it ended.",
    "daemon": "Dagster's daemon has been silent for 2 minutes: schedules and queued trainings wait. Start it.",
    "registry": "MODEL_PATH cannot be read: only versions in memory, or copied from an object store, score leads."
    " Restore or correct it.",
}
_AS_NUMBER = {"up": 1.0, "down": 0.0, "unknown": math.nan}

_log = logging.getLogger(__name__)


@routes.get("/health")
@endpoint({200: HealthAnswer}, scope=None, query=OrgQuery)
def health(services: Services, query: OrgQuery) -> JsonResponse:
    """Return the state of the server, the database, Dagster and the registry, and of the model that scores the org.

    The model's files are verified. A caller without a token to read the org gets the status alone, and only one whose
    token is for all orgs learns of what concerns others.
    """
    parts = _parts(services)
    problems = _problems(services, parts)
    if not may_read(query.org_id):
        return answer(HealthAnswer(status=_status(problems)))
    is_readable = parts["registry"] == "up" or not services.registry.is_in_folder
    model = _model(services, query.org_id) if is_readable else _Model()
    if model.problem:
        problems.append(model.problem)
    return answer(
        HealthAnswer(
            status=_status(problems),
            problems=problems,
            timestamp=datetime.now(UTC).isoformat(timespec="milliseconds"),
            model_version=model.version,
            model_scope=model.scope,
            models_loaded=len(services.models) if may_read(EVERY_ORG) else msgspec.UNSET,
            **parts,
        )
    )


@routes.get("/health/live")
@endpoint({200: StatusAnswer}, scope=None, is_quick=True)
def live(_services: Services) -> JsonResponse:
    """Return 200 while the process answers; nothing else is checked."""
    return answer(StatusAnswer(status="live"))


@routes.get("/health/ready")
@endpoint({200: StatusAnswer}, scope=None, refusals={503: ("not_ready",)})
def ready(services: Services) -> JsonResponse:
    """Return 200 while the server can take requests: it can read the registry, and is not stopping.

    An object store that is down does not count: what was read before is served, and no other server could do better.
    """
    is_readable = services.registry.is_up or not services.registry.is_in_folder
    if services.is_stopping.is_set() or not is_readable:
        raise Refusal(503, "not_ready", CODES["not_ready"])
    return answer(StatusAnswer(status="ready"))


@routes.get("/metrics")
@endpoint({200: CONTENT_TYPE_LATEST}, scope="metrics", shows_all_orgs=True)
def metrics(services: Services) -> Response:
    """Return the metrics in Prometheus' text format."""
    parts = _parts(services)
    for name in DEPENDENCIES:
        services.metrics.dependency_up.labels(name).set(_AS_NUMBER[parts[name]])
    services.recorder.write()
    figures = services.stored_figures.present()
    # absent while the database cannot say: any number would be wrong
    shared = [] if figures is None else [*_org_series(figures), *_run_series(figures)]
    return Response(services.metrics.text(shared), content_type=CONTENT_TYPE_LATEST)


def _org_series(figures: Figures) -> list[Series]:
    """Return how many orgs there are by state, and when that was last found out."""
    warned = figures.orgs_by_warning | {"skew": figures.skewed_orgs, "shifted": figures.shifted_orgs}
    refreshed = {} if figures.refreshed_at_seconds is None else {"": figures.refreshed_at_seconds}
    return [
        Series("leadscore_orgs", "Orgs by state: whose model scores their leads", "state", figures.orgs_by_state),
        Series(
            "leadscore_orgs_came_true",
            "Orgs by whether what was promised came true",
            "state",
            figures.orgs_by_live_state,
        ),
        Series("leadscore_orgs_warned", "Orgs that may need attention; one may count several times", "why", warned),
        Series(
            "leadscore_org_health_refreshed_timestamp_seconds",
            "When the orgs' health was last refreshed",
            "",
            refreshed,
        ),
    ]


def _run_series(figures: Figures) -> list[Series]:
    """Return how trainings ended, how many wait, how many runs failed, and when each schedule is to run next."""
    return [
        Series(
            "ml_model_training",
            "Trainings that ended, by outcome, whichever way they began",
            "status",
            figures.trainings,
            is_counter=True,
        ),
        Series("leadscore_due_trainings", "Trainings on the work list of train_orgs", "", {"": figures.due_trainings}),
        Series(
            "leadscore_failed_runs",
            "Runs in Dagster that failed, by job",
            "job_name",
            figures.failed_runs,
            is_counter=True,
        ),
        Series(
            "leadscore_schedule_next_run_timestamp_seconds",
            "The schedule's first time after its last run; a run is missing once it is over",
            "schedule",
            figures.next_run_at_seconds,
        ),
    ]


def _status(problems: list[str]) -> Literal["healthy", "degraded"]:
    return "degraded" if problems else "healthy"


def _parts(services: Services) -> dict[str, Any]:
    """Return the state of each part; the database and Dagster are probed at the same time."""
    services.database.start()
    services.dagster.start()
    dagster = services.dagster.answer()
    return {
        "database": services.database.answer().state,
        "dagster": dagster.webserver,
        "code_server": dagster.code_server,
        "daemon": dagster.daemon,
        "registry": _registry_state(services),
    }


def _problems(services: Services, parts: dict[str, Any]) -> list[str]:
    """Return a sentence for each part that is down, and for each check about all orgs that fails."""
    problems = [text for name, text in _IF_DOWN.items() if parts[name] == "down"]
    if may_read(EVERY_ORG):
        problems += [_IF_FAILED[check] for check in services.dagster.answer().failed_checks]
    try:
        services.check_registry()
    except LeadscoreError as error:
        problems.append(f"Trainings and rollbacks are refused: {refusal_of(error).detail}.")
    return problems


def _registry_state(services: Services) -> State:
    return "up" if services.registry.is_up else "down"


class _Model(NamedTuple):
    """The version that scores an org's leads, and why it cannot."""

    version: str | None = None
    scope: Scope | None = None
    problem: str | None = None


def _model(services: Services, org_id: str) -> _Model:
    """Return the org's model. It is loaded, if it is not yet: only that shows whether its files are whole."""
    found = _Model()
    try:
        active = services.models.active_model(org_id)
        found = _Model(active.pointer.version, active.scope)
        services.models.active(org_id)
    except NoActiveModel:
        return found
    except LeadscoreError as error:
        return found._replace(problem=f"The org's leads are not scored: {refusal_of(error).detail}.")
    except OSError as error:
        _log.warning("an org's files cannot be read: %s", type(error).__name__, extra={"org_id": org_id})
        return found._replace(problem=UNREADABLE)
    return found
