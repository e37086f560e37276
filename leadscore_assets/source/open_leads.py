"""The open leads of an org with their features as of now: what the CRM's backend would ask the server about."""

from __future__ import annotations

import math

from leadscore.features import CONTRACT
from leadscore.records import crm_time, window_from
from leadscore.settings import Settings
from leadscore_assets.source import lead_features
from leadscore_assets.source.database import connect
from leadscore_assets.source.extraction import consistent_reading

Features = dict[str, float | None]


def open_leads(settings: Settings, org_id: str, limit: int) -> dict[str, Features]:
    """Return the features of the newest open leads of the org that can be scored, by lead id, the oldest first.

    AS_OF counts as now. Raises SourceMismatch, DatabaseUnavailable.
    """
    window = window_from(settings)
    with connect(settings, read_only=True) as connection, consistent_reading(connection):
        lead_ids = lead_features.open_leads(connection, org_id, window).lead_ids[-limit:]
        now = [crm_time(window.as_of)] * len(lead_ids)
        rows = lead_features.features_at(
            connection, org_id, lead_ids, now, CONTRACT, crm_time_zone=window.crm_time_zone
        )
    return {
        lead_id: {name: _none_if_unknown(value) for name, value in zip(CONTRACT.names, row, strict=True)}
        for lead_id, row in zip(lead_ids, rows.tolist(), strict=True)
    }


def _none_if_unknown(value: float) -> float | None:
    return None if math.isnan(value) else value
