"""What Dagster shows of an org's live performance: its figures as metadata, and the check `came_true`."""

from __future__ import annotations

import hashlib
from typing import Any

import dagster as dg
import msgspec

from leadscore.live_performance import LivePerformance
from leadscore.settings import Settings
from leadscore_assets.proof.sent_features import SkewFound

KEY = dg.AssetKey("live_performance")
CHECK = "came_true"
SKEW_CHECK = "features_as_computed"


def live_metadata(settings: Settings, figures: LivePerformance) -> dict[str, Any]:
    """Return what came true, in words and figures, and a link to all of it."""
    shown: dict[str, Any] = {
        "as_of": dg.MetadataValue.timestamp(figures.as_of),
        "state": figures.state,
        "came_true": figures.in_words,
        "remedy": figures.remedy,
        "judged_through": str(figures.judged_through),
        "judgeable_on": str(figures.judgeable_on),
        "page": dg.MetadataValue.url(settings.link(f"/orgs/{figures.org_id}")),
    }
    if figures.overall and figures.quality:
        shown |= {
            "dagster/row_count": figures.overall.leads,
            "promised": round(figures.overall.promised, 3),
            "converted": round(figures.overall.converted.value, 3),
            "brier_score": round(figures.quality.brier_score.value, 3),
            "by_grade": _table(figures),
        }
    if figures.evidence:
        shown["log_e_value"] = round(figures.evidence.log_e, 2)
    return {name: value for name, value in shown.items() if value not in ("", "None")}


def data_version(figures: LivePerformance) -> str:
    """Return a hash of the figures, whenever they were made."""
    timeless = msgspec.structs.replace(figures, as_of=figures.as_of.min.replace(tzinfo=figures.as_of.tzinfo))
    return hashlib.sha256(msgspec.json.encode(timeless)).hexdigest()


def came_true_result(figures: LivePerformance | None) -> dict[str, Any]:
    """Return what the check says of the figures, None before the first: the arguments of its result or its event."""
    if figures is None:
        return {
            "passed": True,
            "severity": dg.AssetCheckSeverity.WARN,
            "description": "the org's scores were not judged yet; materialize live_performance",
        }
    return {
        "passed": figures.state != "alarm",
        "severity": dg.AssetCheckSeverity.WARN,
        "description": " ".join(filter(None, (figures.in_words, figures.remedy))),
        "metadata": {
            "state": figures.state,
            "leads": figures.evidence.leads if figures.evidence else 0,
            **({"since": str(figures.evidence.since)} if figures.state == "alarm" and figures.evidence else {}),
        },
    }


def came_true_event(figures: LivePerformance) -> dg.AssetCheckEvaluation:
    """Return what the check says as an event of its own."""
    return dg.AssetCheckEvaluation(
        asset_key=KEY, check_name=CHECK, partition=figures.org_id, **came_true_result(figures)
    )


def skew_event(found: SkewFound) -> dg.AssetCheckEvaluation:
    """Return whether requests bring the features that the CRM's data give, as an event of the check."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("lead_scores"),
        check_name=SKEW_CHECK,
        partition=found.org_id,
        passed=not found.named,
        severity=dg.AssetCheckSeverity.WARN,
        description=found.in_words,
        metadata={"compared": found.compared, "features": ", ".join(skew.feature for skew in found.named) or "none"},
    )


def _table(figures: LivePerformance) -> dg.MetadataValue:
    columns = {"grade": "string", "leads": "int", "promised": "float", "converted": "float"}
    rows = [
        (group.name, group.outcomes.leads, round(group.outcomes.promised, 3), round(group.outcomes.converted.value, 3))
        for group in figures.by_grade
    ]
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()])
    return dg.MetadataValue.table([dg.TableRecord(dict(zip(columns, row, strict=True))) for row in rows], schema=schema)
