"""Health for people (/health), for restarts (/health/live) and for load balancers (/health/ready), and the metrics.

Only /health shows that the database or Dagster is down, because leads are scored without them.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from typing import Literal

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST

from leadscore.errors import Damaged, NoActiveModel
from leadscore.pooling import Scope
from serving.api.access import may_read
from serving.api.endpoint import JsonResponse, answer, endpoint
from serving.api.problems import CODES, Refusal
from serving.api.schema import HealthAnswer, OrgQuery, StatusAnswer
from serving.services import Services

routes = Blueprint("health", __name__)

_log = logging.getLogger(__name__)


@routes.get("/health")
@endpoint({200: HealthAnswer}, scope=None, query=OrgQuery)
def health(services: Services, query: OrgQuery) -> JsonResponse:
    """Return the state of the server, the database, Dagster and the registry, and the version that scores the org.

    A caller without a token to read the org gets the status alone.
    """
    dependencies = _dependencies(services)
    if not may_read(query.org_id):
        return answer(HealthAnswer(status=_status(_is_registry_readable(services), dependencies)))
    version, scope, is_registry_up = _scoring_version(services, query.org_id)
    return answer(
        HealthAnswer(
            status=_status(is_registry_up, dependencies),
            timestamp=datetime.now(UTC).isoformat(timespec="milliseconds"),
            model_version=version,
            model_scope=scope,
            database="up" if dependencies["database"] else "down",
            dagster="up" if dependencies["dagster"] else "down",
            registry="up" if is_registry_up else "down",
            models_loaded=len(services.models),
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
    """Return 200 while the server can take requests: it can read the registry, and is not stopping."""
    if services.is_stopping.is_set() or not _is_registry_readable(services):
        raise Refusal(503, "not_ready", CODES["not_ready"])
    return answer(StatusAnswer(status="ready"))


@routes.get("/metrics")
@endpoint({200: CONTENT_TYPE_LATEST}, scope="metrics", shows_all_orgs=True)
def metrics(services: Services) -> Response:
    """Return the metrics in Prometheus' text format."""
    for name, is_up in _dependencies(services).items():
        services.metrics.dependency_up.labels(name).set(is_up)
    services.recorder.write()
    return Response(services.metrics.text(), content_type=CONTENT_TYPE_LATEST)


def _status(is_registry_up: bool, dependencies: dict[str, bool]) -> Literal["healthy", "degraded"]:
    return "healthy" if is_registry_up and all(dependencies.values()) else "degraded"


def _dependencies(services: Services) -> dict[str, bool]:
    """Return whether the database and Dagster are up; both are probed at the same time."""
    services.database.start()
    services.dagster.start()
    return {"database": services.database.is_up(), "dagster": services.dagster.is_up()}


def _scoring_version(services: Services, org_id: str) -> tuple[str | None, Scope | None, bool]:
    """Return the version that scores the org's leads, its scope, and whether the registry could be read."""
    try:
        model = services.models.active_model(org_id)
    except NoActiveModel:
        return None, None, _is_registry_readable(services)
    except (Damaged, OSError) as error:
        _log.warning("the registry cannot be read: %s", type(error).__name__)
        return None, None, False
    return model.pointer.version, model.scope, True


def _is_registry_readable(services: Services) -> bool:
    root = services.settings.model_path
    return root.is_dir() and os.access(root, os.R_OK | os.X_OK)
