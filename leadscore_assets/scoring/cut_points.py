"""Makes an org's cut points when its rule has none yet: from its base rate, or from its new leads of the last weeks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from leadscore.arrays import Floats
from leadscore.records import Window, crm_time, outcome_parameters
from leadscore_assets.scoring.grades import CAPACITY_AGE_DAYS, CAPACITY_WEEKS, CutPoints, by_base_rate, by_capacity
from leadscore_assets.scoring.org_models import OrgModel
from leadscore_assets.scoring.stored_scores import Setting
from leadscore_assets.source.database import Connection
from leadscore_assets.source.lead_features import features_at
from leadscore_assets.source.outcomes import LEAD_OUTCOMES

NEW_LEADS = f"""
SELECT lead_id, created_at + {CAPACITY_AGE_DAYS} * interval '1 day'
FROM {LEAD_OUTCOMES}
WHERE org_id = %(org_id)s AND created_at + {CAPACITY_AGE_DAYS} * interval '1 day' <= %(as_of)s
"""  # noqa: S608 (constants)


def cut_points_of(connection: Connection, org_id: str, setting: Setting, model: OrgModel, window: Window) -> CutPoints:
    """Return the setting's cut points, which are made when it has none."""
    if setting.cut_points is not None:
        return setting.cut_points
    if setting.weekly_capacity is None:
        return by_base_rate(model.base_rate)
    probabilities, weeks = _of_new_leads(connection, org_id, model, window)
    return by_capacity(probabilities, weeks, setting.weekly_capacity)


def _of_new_leads(connection: Connection, org_id: str, model: OrgModel, window: Window) -> tuple[Floats, float]:
    """Return the probabilities of the leads of the last weeks, as they were a day old, and how many weeks it were.

    A younger org has fewer weeks, at least one.
    """
    recent = msgspec.structs.replace(window, training_window_days=7 * CAPACITY_WEEKS + CAPACITY_AGE_DAYS)
    rows: list[Any] = connection.execute(NEW_LEADS, outcome_parameters(recent) | {"org_id": org_id}).fetchall()
    lead_ids, moments = [row[0] for row in rows], [row[1] for row in rows]
    contract = model.version.manifest.contract
    features = features_at(connection, org_id, lead_ids, moments, contract, crm_time_zone=window.crm_time_zone)
    span = (crm_time(window.as_of) - min(moments)) / timedelta(weeks=1) if moments else 0.0
    return model.version.scorer.probabilities(features), min(CAPACITY_WEEKS, max(1.0, span))
