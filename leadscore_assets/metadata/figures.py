"""The metadata that Dagster shows of a materialization: typed figures, tables and links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from leadscore.comparison import Comparison, Estimate
from leadscore.evaluation import EvaluationReport
from leadscore.features import Contract
from leadscore.gate import Judgement
from leadscore.left_out import largest_first
from leadscore.records import RecordCounts, Window
from leadscore.registry.version import Importance
from leadscore.settings import Settings
from leadscore_assets.metadata.history import PastVersion, table_rows

METRICS = (
    "roc_auc",
    "average_precision",
    "brier_score",
    "log_loss",
    "expected_calibration_error",
    "accuracy",
    "precision",
    "recall",
    "f1_score",
)

COMPARED = ("roc_auc", "brier_score", "log_loss")
DIGITS = 3  # more would be noise: in a holdout of 1,000 leads the second digit is not sure either

Metadata = dict[str, Any]


def without_tables(metadata: Mapping[str, Any]) -> Metadata:
    """Return the metadata without tables and pictures: what is left takes some hundred bytes an asset."""
    big = (dg.TableMetadataValue, dg.MarkdownMetadataValue)
    return {name: value for name, value in metadata.items() if not isinstance(value, big)}


def row_schema(contract: Contract) -> dg.TableSchema:
    """Return the columns of a table of rows: the lead, its age, its outcome, and the contract's features."""
    keys = [
        dg.TableColumn("lead_id", "text", "the lead's id"),
        dg.TableColumn("landmark_days", "integer", "the lead's age, in days, at which the features are computed"),
        dg.TableColumn("converted", "integer", "1 when the lead converted within the conversion window"),
    ]
    features = [
        dg.TableColumn(
            feature.name,
            "double precision",
            f"{feature.meaning} ({feature.unit})",
            constraints=dg.TableColumnConstraints(nullable=feature.nullable),
        )
        for feature in contract.features
    ]
    return dg.TableSchema([*keys, *features])


def records_metadata(settings: Settings, org_id: str, counts: RecordCounts, window: Window) -> Metadata:
    """Return the figures of the records, the window, and a link to the org's active version."""
    link = dg.MetadataValue.url(settings.link("/api/v1/model/info", org_id=org_id))
    return {**counts_metadata(counts), **window_metadata(window), "info": link}


def counts_metadata(counts: RecordCounts) -> Metadata:
    """Return the counts of records and rows, the base rate, and the left-out leads and rows by reason."""
    leads = counts.read_records + sum(counts.excluded.values())
    metadata: Metadata = {
        "dagster/row_count": counts.rows,
        "records": counts.records,
        "converted_records": counts.converted_records,
        "excluded": _count_table(counts.excluded, "leads", of=leads),
        "excluded_leads": sum(counts.excluded.values()),
        "sql_sha256": counts.sql_sha256,
    }
    if counts.unknown_statuses:
        moves = largest_first(counts.unknown_statuses)
        metadata["unknown_statuses"] = _table({"status": "string", "moves": "int"}, moves)
    if counts.unreadable_orgs:
        metadata["unreadable_orgs"] = counts.unreadable_orgs
    if counts.base_rate is not None:
        metadata["base_rate"] = round(counts.base_rate, DIGITS)
    if counts.fingerprint:
        metadata["fingerprint"] = counts.fingerprint
        metadata["set_aside"] = _count_table(counts.set_aside, "rows", of=counts.read_rows)
        metadata["set_aside_rows"] = counts.set_aside_rows
        metadata["lost_records"] = counts.lost_records
    return metadata


def window_metadata(window: Window) -> Metadata:
    """Return the window of the training: time, lengths, statuses and landmarks."""
    return {
        "as_of": dg.MetadataValue.timestamp(window.as_of),
        "training_window_days": window.training_window_days,
        "conversion_window_days": window.conversion_window_days,
        "conversion_statuses": ", ".join(window.conversion_statuses),
        "lost_statuses": ", ".join(window.lost_statuses),
        "conversion_is_final": window.conversion_is_final,
        "crm_time_zone": window.crm_time_zone,
        "landmark_days": ", ".join(map(str, window.landmark_days)),
    }


def decision_metadata(judgement: Judgement, plan: Mapping[str, str | float]) -> Metadata:
    """Return the decision in words first, then the `plan` of a refusal, and candidate and champion side by side.

    The probabilities that the candidate ranks better, and that it gives better probabilities, are separate figures.
    They are absent when nothing was compared. `withheld` is there when the version does not become active whatever the
    verdict.
    """
    report, decision = judgement.report, judgement.decision
    return {
        "version": report.version,
        "verdict": decision.verdict,
        "reasons": decision.text,
        **({"withheld": " ".join(reason.text for reason in judgement.withheld)} if judgement.withheld else {}),
        **plan,
        "champion_version": judgement.champion_version or "none",
        "notes": " ".join(note.text for note in decision.notes) or "none",
        **(_comparison_metadata(judgement.comparison) if judgement.comparison else {}),
        "metrics": _metrics_table(report, judgement.champion),
    }


def _comparison_metadata(comparison: Comparison) -> Metadata:
    return {
        "probability_ranks_better": round(comparison.roc_auc.probability_better, DIGITS),
        "probability_fits_better": round(comparison.brier_score.probability_better, DIGITS),
        "comparison": _comparison_table(comparison),
    }


def quality_metadata(report: EvaluationReport) -> Metadata:
    """Return each figure by itself, which Dagster plots across orgs, and the quality by age and by share contacted."""
    metadata: Metadata = {
        "records": report.records,
        "base_rate": round(report.base_rate, DIGITS),
        "holdout_records": report.holdout_records,
        "holdout_rows": report.holdout_rows,
        "quality_by_age": _age_table(report),
        "lift": _lift_table(report),
    }
    for name in METRICS:
        figure = getattr(report.metrics, name)
        if figure is not None:
            metadata[name] = round(figure, DIGITS)
    return metadata


def importance_table(importance: Sequence[Importance]) -> dg.MetadataValue:
    """Return the features by importance: their mean absolute contribution."""
    return _table(
        {"feature": "string", "mean_absolute_contribution": "float"},
        [(entry.feature, round(entry.importance, DIGITS)) for entry in importance],
    )


def version_links(settings: Settings, org_id: str, version: str) -> Metadata:
    """Return the URLs of the version's description and report on the HTTP server."""
    return {
        page: dg.MetadataValue.url(settings.link(f"/api/v1/model/{page}", org_id=org_id, version=version))
        for page in ("info", "report")
    }


def history_metadata(versions: Sequence[PastVersion]) -> Metadata:
    """Return the org's versions over time as a table, newest first."""
    columns = ("version", "as_of", "records", "roc_auc", "brier_score", "decision", "active")
    return {"versions": _table(dict.fromkeys(columns, "string"), table_rows(versions))}


def _count_table(counts: Mapping[str, int], unit: str, *, of: int) -> dg.MetadataValue:
    """Return the reasons, the largest first, each with its count and its share of all."""
    rows = [(reason, count, f"{count / of:.1%}") for reason, count in largest_first(counts)]
    return _table({"reason": "string", unit: "int", "share": "string"}, rows)


def _metrics_table(report: EvaluationReport, champion: EvaluationReport | None) -> dg.MetadataValue:
    rows = [
        (name, _rounded(getattr(report.metrics, name)), _rounded(getattr(champion.metrics, name) if champion else None))
        for name in METRICS
    ]
    return _table({"metric": "string", "candidate": "string", "champion": "string"}, rows)


def _comparison_table(comparison: Comparison) -> dg.MetadataValue:
    columns = {"metric": "string", "candidate": "string", comparison.baseline: "string", "gain": "string"}
    rows = [
        (
            name,
            *map(_with_interval, (metric.candidate, metric.baseline, metric.gain)),
            round(metric.probability_better, DIGITS),
        )
        for name in COMPARED
        for metric in [getattr(comparison, name)]
    ]
    return _table(columns | {"probability_better": "float"}, rows)


def _with_interval(estimate: Estimate) -> str:
    return f"{estimate.value:z.3f} ({estimate.low:z.3f} to {estimate.high:z.3f})"


def _rounded(figure: float | None) -> str:
    return "none" if figure is None else f"{figure:.3f}"


def _age_table(report: EvaluationReport) -> dg.MetadataValue:
    columns = {"age_days": "int", "rows": "int", "conversion_rate": "string", "roc_auc": "string", "brier": "string"}
    rows = [
        (age.landmark_days, age.rows, _rounded(age.conversion_rate), _rounded(age.roc_auc), _rounded(age.brier_score))
        for age in report.by_age
    ]
    return _table(columns, rows)


def _lift_table(report: EvaluationReport) -> dg.MetadataValue:
    columns = {"contacted": "string", "conversions_reached": "string", "lift": "float"}
    return _table(columns, [(f"{s.contacted:.0%}", f"{s.reached:.0%}", round(s.lift, 2)) for s in report.lift])


def _table(columns: Mapping[str, str], rows: Sequence[Sequence[str | int | float]]) -> dg.MetadataValue:
    return dg.MetadataValue.table(
        records=[dg.TableRecord(dict(zip(columns, row, strict=True))) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()]),
    )
