"""Renders the report page from `page.html`. The same material gives the same bytes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from leadscore.features import label_of
from leadscore.gate import Reason
from leadscore_assets.report import number_format as words
from leadscore_assets.report import plots, summary
from leadscore_assets.report.figures import ReportMaterial
from leadscore_assets.report.slices import FEWEST_LEADS

FOLDER = Path(__file__).parent
VERDICTS = {
    "activate": "Passed: the gate lets it become the active version",
    "hold": "Held: it does not become the active version",
    "refuse": "Refused: there is too little data to judge it",
}
ACTIONS = {
    "HIGH_PRIORITY": "probability at least {high_probability:.2f}, confidence at least {high_confidence:.2f}",
    "MEDIUM_PRIORITY": "probability at least {medium_probability:.2f}, confidence at least {medium_confidence:.2f}",
    "NURTURE": "probability at least {nurture_probability:.2f}",
    "LOW_PRIORITY": "all others",
}

NEUTRAL = "champion_not_evaluable"


def render_report(material: ReportMaterial) -> bytes:
    """Return the report as one self-contained page of HTML in UTF-8."""
    page = _environment().get_template("page.html").render(_page_values(material))
    return page.encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for write in (
        words.figure,
        words.percent,
        words.count,
        words.change,
        words.interval,
        words.change_interval,
        words.spoken,
        label_of,
    ):
        environment.filters[write.__name__] = write
    return environment


def _page_values(material: ReportMaterial) -> dict[str, Any]:
    """Return the template's variables: material, pictures, and sentences that depend on the figures."""
    manifest, judgement = material.manifest, material.judgement
    window, report = manifest.window, judgement.report
    overall, matrix = report.metrics.roc_auc, report.metrics.confusion_matrix
    return {
        "m": material,
        "manifest": manifest,
        "judgement": judgement,
        "metrics": report.metrics,
        "comparison": judgement.comparison,
        "champion": judgement.champion,
        "pooled": judgement.comparison is not None and judgement.comparison.against.kind == "pooled",
        "fewest_leads": FEWEST_LEADS,
        "has_enough_leads": report.holdout_records >= FEWEST_LEADS,
        "mark": mark,
        "conversions": matrix.true_positives + matrix.false_negatives,
        "verdict": VERDICTS[judgement.decision.verdict],
        "actions": {name: rule.format(**_thresholds(material)) for name, rule in ACTIONS.items()},
        "first_day": window.as_of.date() - timedelta(days=window.training_window_days),
        "closed_only_since": window.as_of.date() - timedelta(days=window.conversion_window_days),
        "parameters": [*_flattened(manifest.parameters)],
        "rebuild": shlex.join(["make", "rebuild", f"ORG={manifest.org_id}", f"VERSION={manifest.version}"]),
        "headline": summary.headline(material),
        "answers": summary.answers(material),
        "calibrated": summary.calibration_answer(material),
        "trained_on": summary.in_full(window.as_of.date()),
        "remark": summary.backtest_remark(material),
        "age_ranges": plots.auc_ranges(material.by_age, overall),
        "month_ranges": plots.auc_ranges(material.by_month, overall),
        "gains": plots.gains_plot(material),
        "calibration": plots.calibration_plot(material.by_probability),
        "taught": plots.taught_plot(material.taught.moved) if material.taught else None,
        "roc": plots.roc_plot(material),
        "precision_recall": plots.precision_recall_plot(material),
        "importance": plots.importance_bars(material.importance),
        "effects": plots.effect_bars(material.effects),
        "steady": [effect.label for effect in material.effects if len(effect.bins) < 2],  # noqa: PLR2004 (a pair)
    }


def mark(reason: Reason) -> str:
    """Return the sign beside a reason: for the candidate, against it, or neither."""
    if reason.code == NEUTRAL:
        return "!"
    return "\N{CHECK MARK}" if reason.speaks_for else "\N{BALLOT X}"


def _thresholds(material: ReportMaterial) -> dict[str, float]:
    return {name: getattr(material.policy, name) for name in material.policy.__struct_fields__}


def _flattened(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield names and texts of nested parameters; an inner name follows its outer one after a dot."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            parts = [" ".join(map(_plain, part.values())) if isinstance(part, dict) else _plain(part) for part in value]
            yield prefix + name, "; ".join(parts)
        else:
            yield prefix + name, _plain(value)


def _plain(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
