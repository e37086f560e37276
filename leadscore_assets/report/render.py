"""The page itself: `page.html` filled with what was gathered. The same material gives the same bytes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from leadscore.comparison import Comparison
from leadscore_assets.report import plots, words
from leadscore_assets.report.material import ReportMaterial
from leadscore_assets.report.slices import FEWEST_LEADS

FOLDER = Path(__file__).parent
VERDICTS = {
    "activate": "Better: it may become the active version",
    "hold": "Held: it does not become the active version",
    "refuse": "Refused: there is too little data to judge it",
}
ACTIONS = {
    "HIGH_PRIORITY": "probability from {high_probability:.2f}, confidence from {high_confidence:.2f}",
    "MEDIUM_PRIORITY": "probability from {medium_probability:.2f}, confidence from {medium_confidence:.2f}",
    "NURTURE": "probability from {nurture_probability:.2f}",
    "LOW_PRIORITY": "all others",
}


def render_report(material: ReportMaterial) -> bytes:
    """Return the report as one page of HTML in UTF-8, without anything from elsewhere."""
    page = _environment().get_template("page.html").render(_told(material))
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
    ):
        environment.filters[write.__name__] = write
    return environment


def _told(material: ReportMaterial) -> dict[str, Any]:
    """Return what the template names: the material, the pictures, and the sentences that take a decision."""
    manifest, judgement = material.manifest, material.judgement
    overall, matrix = judgement.report.metrics.roc_auc, judgement.report.metrics.confusion_matrix
    return {
        "m": material,
        "manifest": manifest,
        "judgement": judgement,
        "metrics": judgement.report.metrics,
        "comparison": judgement.comparison,
        "champion": judgement.champion,
        "fewest_leads": FEWEST_LEADS,
        "conversions": matrix.true_positives + matrix.false_negatives,
        "verdict": VERDICTS[judgement.decision.verdict],
        "actions": {name: rule.format(**_thresholds(material)) for name, rule in ACTIONS.items()},
        "first_day": manifest.window.as_of.date() - timedelta(days=manifest.window.training_window_days),
        "parameters": [*_flattened(manifest.parameters)],
        "rebuild": shlex.join(["make", "rebuild", f"ORG={manifest.org_id}", f"VERSION={manifest.version}"]),
        "backtest_sentence": backtest_sentence(judgement.comparison, material),
        "age_ranges": plots.auc_ranges(material.by_age, overall),
        "month_ranges": plots.auc_ranges(material.by_month, overall),
        "gains": plots.gains_plot(judgement, material.youngest_lift),
        "calibration": plots.calibration_plot(material.by_probability),
        "roc": plots.roc_plot(judgement),
        "precision_recall": plots.precision_recall_plot(judgement),
        "importance": plots.importance_bars(material.importance),
        "effects": plots.effect_bars(material.effects),
        "steady": [effect.feature for effect in material.effects if len(effect.bins) < 2],  # noqa: PLR2004 (a pair)
    }


def backtest_sentence(held_out: Comparison | None, material: ReportMaterial) -> str:
    """Say in words how the newest leads compare with the held-out ones."""
    if material.backtest is None:
        return "There is no backtest: the newest or the older leads have one outcome only."
    if held_out is None:
        return "The holdout cannot be ranked, so there is nothing to set beside it."
    newest, usual = material.backtest.comparison.roc_auc.candidate, held_out.roc_auc.candidate
    figures = f"ROC-AUC {words.figure(newest.value)} against {words.figure(usual.value)}"
    if newest.high < usual.value:
        return (
            f"It ranks the newest leads clearly worse ({figures}): what makes a lead convert has moved. Expect the"
            " lower figure in use; train more often, or on a shorter window."
        )
    if newest.low > usual.value:
        return f"It ranks the newest leads clearly better ({figures}): they are easier to tell apart than the older."
    return f"It ranks the newest leads about as well as those of all ages ({figures}; the interval holds both)."


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
