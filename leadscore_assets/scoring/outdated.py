"""Finds the orgs whose scores are not by the model that serves them, or not by the grades that were set."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from leadscore.errors import Damaged
from leadscore.registry.active_model import ActiveModel
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.scoring.org_models import OrgModels
from leadscore_assets.scoring.stored_scores import REMEDY, LastScoring, last_scorings
from leadscore_assets.source.database import connect, explaining

UNGRADED = "SELECT org_id, set_at FROM leadscore.org_setting WHERE cut_points IS NULL"


def outdated_orgs(
    settings: Settings, registry: Registry, org_ids: Iterable[str], log: logging.Logger
) -> dict[str, str]:
    """Return the orgs to score again, each with why: its last scoring, what serves it since when, and its new rule.

    `org_ids` are those of the CRM. An org whose pointer cannot be read keeps its scores, and is logged. Raises
    SourceMismatch before the set-up, DatabaseUnavailable.
    """
    scorings, ungraded = _stored(settings)
    models = OrgModels(registry, is_pooling=settings.pooled_model)
    outdated = {}
    for org_id in sorted({*org_ids, *scorings}):
        last = scorings.get(org_id)
        try:
            model = models.active(org_id)
        except Damaged as error:
            log.warning("the leads of org %s are not scored again: %s", org_id, error.message)
            continue
        if _is_by_another(last, model) or (org_id in ungraded and model is not None):
            # a version that becomes active a second time is another reason than the first time
            outdated[org_id] = f"{last and last.scored_at} {model and model.pointer} {ungraded.get(org_id, '')}"
    return outdated


def _is_by_another(last: LastScoring | None, model: ActiveModel | None) -> bool:
    scored_by = (last.model_version, last.model_scope) if last else (None, None)
    return scored_by != ((model.pointer.version, model.scope) if model else (None, None))


def _stored(settings: Settings) -> tuple[dict[str, LastScoring], dict[str, str]]:
    with connect(settings, read_only=True) as connection:
        scorings = last_scorings(connection)
        with explaining("asking whose grades were set", REMEDY):
            ungraded: list[Any] = connection.execute(UNGRADED).fetchall()
    return scorings, {org_id: set_at.isoformat() for org_id, set_at in ungraded}
