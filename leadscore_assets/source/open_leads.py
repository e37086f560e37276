"""The leads that are open now, with their features: what the CRM's backend would ask the server about."""

from __future__ import annotations

import math

import msgspec

from leadscore.features import CONTRACT
from leadscore.records import Window, outcome_parameters, window_from
from leadscore.settings import Settings
from leadscore_assets.source.database import connect, explaining
from leadscore_assets.source.extraction import consistent_reading, extract
from leadscore_assets.source.outcomes import LEAD_OUTCOMES, REMEDY

OPEN_LEADS = f"""
    SELECT lead_id
    FROM {LEAD_OUTCOMES}
    WHERE org_id = %(org_id)s AND open_during @> %(as_of)s::timestamp
        AND (excluded_because = 'outcome_time_unknown') IS NOT TRUE
"""  # noqa: S608 (a constant)

Features = dict[str, float | None]


def open_leads(settings: Settings, org_id: str, limit: int) -> dict[str, Features]:
    """Return the features of the newest open leads of the org, by lead id, each as of its last landmark.

    Leads of the training window that are a day old or older. Raises SourceMismatch, DatabaseUnavailable.
    """
    # A conversion window of one day makes records of these, too: their rows are the same, their label is not looked at.
    window = msgspec.structs.replace(window_from(settings), conversion_window_days=1)
    rows = extract(settings, org_id, window).rows
    latest = rows[rows["lead_id"].isin(_open_lead_ids(settings, org_id, window))].drop_duplicates(
        "lead_id", keep="last"
    )
    return {
        str(row["lead_id"]): {name: _none_if_unknown(row[name]) for name in CONTRACT.names}
        for row in latest.tail(limit).to_dict("records")
    }


def _open_lead_ids(settings: Settings, org_id: str, window: Window) -> list[str]:
    parameters = outcome_parameters(window) | {"org_id": org_id}
    with (
        connect(settings, read_only=True) as connection,
        explaining("listing the open leads", REMEDY),
        consistent_reading(connection),
    ):
        return [str(lead_id) for (lead_id,) in connection.execute(OPEN_LEADS, parameters)]


def _none_if_unknown(value: float) -> float | None:
    return None if math.isnan(value) else value
