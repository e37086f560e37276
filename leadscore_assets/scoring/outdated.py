"""Finds the orgs whose scores are not by the model that serves them, or not by the grades that were set."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from leadscore.errors import Damaged
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.scoring.org_models import OrgModels
from leadscore_assets.scoring.stored_scores import REMEDY
from leadscore_assets.source.database import connect, explaining

# a lead's scores of one org are all of one version
SCORED_BY = "SELECT org_id, model_version, model_scope FROM leadscore.last_scoring"
UNGRADED = "SELECT org_id, set_at FROM leadscore.org_setting WHERE cut_points IS NULL"

Served = tuple[str | None, str | None]


def outdated_orgs(
    settings: Settings, registry: Registry, org_ids: Iterable[str], log: logging.Logger
) -> dict[str, str]:
    """Return the orgs to score again, each with what it should be scored by: a version, and since when grades changed.

    `org_ids` are those of the CRM. An org whose pointer cannot be read keeps its scores, and is logged. Raises
    SourceMismatch before the set-up, DatabaseUnavailable.
    """
    scored_by, ungraded = _stored(settings)
    models = OrgModels(registry, is_pooling=settings.pooled_model)
    outdated = {}
    for org_id in sorted({*org_ids, *scored_by}):
        try:
            served = _served(models, org_id)
        except Damaged as error:
            log.warning("the leads of org %s are not scored again: %s", org_id, error.message)
            continue
        if served != scored_by.get(org_id, (None, None)) or (org_id in ungraded and served != (None, None)):
            outdated[org_id] = f"{served} {ungraded.get(org_id, '')}"
    return outdated


def _served(models: OrgModels, org_id: str) -> Served:
    model = models.active(org_id)
    return (model.pointer.version, model.scope) if model else (None, None)


def _stored(settings: Settings) -> tuple[dict[str, Served], dict[str, str]]:
    with connect(settings, read_only=True) as connection, explaining("asking how the orgs were scored", REMEDY):
        scored: list[Any] = connection.execute(SCORED_BY).fetchall()
        ungraded: list[Any] = connection.execute(UNGRADED).fetchall()
    return {org_id: (version, scope) for org_id, version, scope in scored}, {
        org_id: set_at.isoformat() for org_id, set_at in ungraded
    }
