"""What Dagster shows of what arrives for an org: the check `inputs_as_learned`."""

from __future__ import annotations

from typing import Any

import dagster as dg

from leadscore.live_inputs import LiveInputs

KEY = dg.AssetKey("lead_scores")
CHECK = "inputs_as_learned"


def inputs_result(figures: LiveInputs | None) -> dict[str, Any]:
    """Return what the check says of the findings, None before the first: the arguments of its result or its event."""
    if figures is None:
        return {
            "passed": True,
            "severity": dg.AssetCheckSeverity.WARN,
            "description": "what arrives was not judged yet; materialize live_performance",
        }
    return {
        "passed": figures.state != "shifted",
        "severity": dg.AssetCheckSeverity.WARN,
        "description": figures.in_words,
        "metadata": {
            "state": figures.state,
            "days": figures.days,
            "leads": figures.leads,
            "alarms": len(figures.alarms),
            **({"findings": _table(figures)} if figures.findings else {}),
        },
    }


def inputs_event(figures: LiveInputs) -> dg.AssetCheckEvaluation:
    """Return what the check says as an event of its own."""
    return dg.AssetCheckEvaluation(asset_key=KEY, check_name=CHECK, partition=figures.org_id, **inputs_result(figures))


def _table(figures: LiveInputs) -> dg.MetadataValue:
    columns = {"feature": "string", "kind": "string", "since": "string", "served": "float", "learned": "float"}
    records = [
        dg.TableRecord(
            {
                "feature": each.feature,
                "kind": each.kind,
                "since": str(each.since),
                "served": each.served,
                "learned": each.learned,
            }
        )
        for each in figures.findings
    ]
    return dg.MetadataValue.table(
        records, schema=dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()])
    )
