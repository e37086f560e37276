"""The leads that are open now, with their features: what the CRM's backend would ask the server about."""

from __future__ import annotations

import math

import msgspec

from leadscore.features import CONTRACT
from leadscore.records import crm_time, window_from
from leadscore.settings import Settings
from leadscore_assets.source.database import connect, explaining
from leadscore_assets.source.extraction import extract
from leadscore_assets.source.orgs import CRM_REMEDY

# A lead is open when no move closed it yet. What comes after `as_of` has not happened.
OPEN_LEADS = """
    SELECT d.id::text FROM dossier d
    WHERE d.org_id = %(org_id)s AND d.created_at <= %(as_of)s AND NOT EXISTS (
        SELECT FROM dossier_status_history h
        WHERE h.org_id = d.org_id AND h.dossier_id = d.id AND h.transitioned_at <= %(as_of)s
          AND h.to_status = ANY (%(closing)s))
"""

Features = dict[str, float | None]


def open_leads(settings: Settings, org_id: str, limit: int) -> dict[str, Features]:
    """Return the features of the newest open leads of the org, by lead id, each as of its last landmark.

    Leads of the training window that are a day old or older. Raises SourceMismatch, DatabaseUnavailable.
    """
    # A conversion window of one day makes records of these, too: their rows are the same, their label is not looked at.
    window = msgspec.structs.replace(window_from(settings), conversion_window_days=1)
    rows = extract(settings, org_id, window).rows
    with connect(settings, read_only=True) as connection, explaining("listing the open leads", CRM_REMEDY):
        found = connection.execute(
            OPEN_LEADS,
            {
                "org_id": org_id,
                "as_of": crm_time(window.as_of),
                "closing": [*settings.conversion_statuses, "WON", "LOST"],
            },
        ).fetchall()
    latest = rows[rows["lead_id"].isin([str(lead_id) for (lead_id,) in found])].drop_duplicates("lead_id", keep="last")
    return {
        str(row["lead_id"]): {name: _known(row[name]) for name in CONTRACT.names}
        for row in latest.tail(limit).to_dict("records")
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
