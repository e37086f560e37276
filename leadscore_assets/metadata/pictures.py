"""The pictures of an evaluation in Dagster: ROC curve, calibration, confusion matrix and the org's versions over time.

They are small inline PNGs, drawn from what the registry stores alone: the same judgements give the same pictures.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from leadscore.evaluation import EvaluationReport
from leadscore.gate import Judgement
from leadscore_assets.metadata.history import PastVersion

GUIDE_COLOUR = "#9a9a9a"
SIZE_INCHES = (4.6, 4.0)
DOTS_PER_INCH = 100


@dataclass(frozen=True)
class Style:
    """How a version's line looks. The champion's is broad and pale, so that the candidate's shows upon it."""

    name: str
    colour: str
    width: float


CANDIDATE = Style("candidate", "#1f5fbf", 1.5)
DECISION_COLOURS = {"activate": "#1a7f4b", "hold": "#8a6100", "refuse": "#b3261e"}
CHAMPION = Style("champion", "#f0b58c", 5)


def evaluation_pictures(judgement: Judgement) -> dict[str, dg.MetadataValue]:
    """Return the pictures as Markdown metadata; a holdout with one class has no ROC curve, and says so."""
    reports = [(judgement.report, CANDIDATE)]
    if judgement.champion is not None:
        reports.insert(0, (judgement.champion, CHAMPION))
    roc, calibration, confusion = _figure("ROC curve"), _figure("Calibration"), _figure("Confusion matrix")
    for report, style in reports:
        _draw_roc(roc.gca(), report, style)
        _draw_calibration(calibration.gca(), report, style)
    _draw_confusion(confusion.gca(), judgement.report)
    return {
        "roc_curve": _picture(roc),
        "calibration_curve": _picture(calibration),
        "confusion_matrix": _picture(confusion),
    }


def versions_picture(versions: Sequence[PastVersion]) -> dg.MetadataValue:
    """Return ROC-AUC and Brier score of the versions in their order, with intervals; the active one is ringed."""
    figure = _figure("Versions over time", rows=2)
    upper, lower = figure.axes
    for axes, name, label in ((upper, "roc_auc", "ROC-AUC"), (lower, "brier_score", "Brier score")):
        _draw_versions(axes, versions, name)
        axes.set_ylabel(label)
    upper.set_xticklabels([])
    lower.set_xticklabels([past.as_of.strftime("%Y-%m-%d") if past.as_of else "" for past in versions], rotation=90)
    lower.set_xlabel("trained as of")
    handles, labels = upper.get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))
    # above the frame, where no version can stand
    legend = upper.legend(
        shown.values(), shown.keys(), loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=8
    )
    legend.set_frame_on(False)
    upper.set_title(upper.get_title(), pad=22)
    return _picture(figure)


def _draw_versions(axes: Axes, versions: Sequence[PastVersion], name: str) -> None:
    for place, past in enumerate(versions):
        estimate = getattr(past, name)
        if estimate is None:
            continue
        spread = [[estimate.value - estimate.low], [estimate.high - estimate.value]]
        colour = DECISION_COLOURS[past.decision]
        axes.errorbar(place, estimate.value, spread, fmt="o", color=colour, label=past.decision, capsize=2, linewidth=1)
        if past.is_active:
            axes.plot(place, estimate.value, "o", markersize=12, fillstyle="none", color=colour, label="active")
    axes.set(xticks=range(len(versions)), xlim=(-0.5, len(versions) - 0.5))
    axes.tick_params(labelsize=8)


def _draw_roc(axes: Axes, report: EvaluationReport, style: Style) -> None:
    points = report.roc_curve
    auc = "no ROC-AUC: one class" if report.metrics.roc_auc is None else f"ROC-AUC {report.metrics.roc_auc:.3f}"
    x, y = [point.false_positive_rate for point in points], [point.true_positive_rate for point in points]
    axes.plot(x, y, color=style.colour, linewidth=style.width, label=f"{style.name} {report.version}\n{auc}")
    _finish(axes, "false positive rate", "true positive rate")


def _draw_calibration(axes: Axes, report: EvaluationReport, style: Style) -> None:
    x, y = [b.mean_probability for b in report.calibration], [b.conversion_rate for b in report.calibration]
    label = f"{style.name}\nBrier {report.metrics.brier_score:.3f}"
    axes.plot(x, y, color=style.colour, linewidth=style.width, marker="o", markersize=style.width + 3, label=label)
    _finish(axes, "predicted probability (mean of a tenth)", "share that converted")


def _finish(axes: Axes, x_label: str, y_label: str) -> None:
    axes.plot([0, 1], [0, 1], color=GUIDE_COLOUR, linestyle="--", linewidth=1)
    axes.set(xlabel=x_label, ylabel=y_label, xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="best", fontsize=8, frameon=False)


def _draw_confusion(axes: Axes, report: EvaluationReport) -> None:
    matrix = report.metrics.confusion_matrix
    cells = [[matrix.true_negatives, matrix.false_positives], [matrix.false_negatives, matrix.true_positives]]
    most = max(1, *cells[0], *cells[1])
    axes.imshow(cells, cmap="Blues", vmin=0, vmax=most)
    for row, counts in enumerate(cells):
        for column, count in enumerate(counts):
            colour = "white" if count > most / 2 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=14)
    axes.set(xticks=[0, 1], yticks=[0, 1], xlabel="predicted at 0.5", ylabel="outcome (rows)")
    axes.set_xticklabels(["not converted", "converted"])
    axes.set_yticklabels(["not\nconverted", "converted"])


def _figure(title: str, rows: int = 1) -> Figure:
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="tight")
    FigureCanvasAgg(figure)
    figure.subplots(rows)
    figure.axes[0].set_title(title)
    return figure


def _picture(figure: Figure) -> dg.MetadataValue:
    buffer = io.BytesIO()
    # without the library's name in it, the same judgement gives the same bytes
    figure.savefig(buffer, format="png", metadata={"Software": None})
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![{figure.axes[0].get_title()}](data:image/png;base64,{encoded})")
