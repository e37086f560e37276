"""The metadata that Dagster shows of a scoring: counts, distributions, and the first leads of the call list."""

from __future__ import annotations

from typing import Any

import dagster as dg

from leadscore.settings import Settings
from leadscore_assets.scoring.call_list import first_calls
from leadscore_assets.scoring.score_org import Scoring
from leadscore_assets.source.database import Connection

PREVIEW_LEADS = 10
PREVIEW_COLUMNS = {
    "rank": "int",
    "lead_id": "string",
    "probability": "float",
    "grade": "string",
    "trend": "string",
    "reasons": "string",
}
NONE = "none"


def scoring_metadata(settings: Settings, scoring: Scoring) -> dict[str, Any]:
    """Return the figures of a scoring, and a link to the org's call list."""
    model = scoring.model
    return {
        "as_of": dg.MetadataValue.timestamp(scoring.as_of),
        "version": model.name if model else NONE,
        "model_scope": model.scope if model else NONE,
        "dagster/row_count": scoring.scored,
        "open_leads": scoring.open_leads,
        "left_out": dg.MetadataValue.json(scoring.left_out),
        "rescored": scoring.rescored,
        "changed_rows": scoring.changed,
        "removed_rows": scoring.removed,
        "wrong_rows": scoring.unequal,
        "is_full": scoring.is_full,
        "grades": dg.MetadataValue.json(scoring.grades),
        "trends": dg.MetadataValue.json(scoring.trends),
        "call_list": dg.MetadataValue.url(settings.link("/api/v1/leads", org_id=scoring.org_id)),
    }


def preview(connection: Connection, org_id: str) -> dg.MetadataValue:
    """Return a table of the first leads to call."""
    rows: list[dict[str, str | int | float | bool | None]] = [
        {
            "rank": call.rank,
            "lead_id": call.lead_id,
            "probability": round(call.probability, 3),
            "grade": call.grade,
            "trend": call.trend,
            "reasons": "; ".join(call.reasons),
        }
        for call in first_calls(connection, org_id, PREVIEW_LEADS)
    ]
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in PREVIEW_COLUMNS.items()])
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows], schema=schema)
