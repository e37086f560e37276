"""The pictures of an evaluation in Dagster: ROC curve, calibration, confusion matrix, and an org's versions over time.

Dagster shows Markdown of less than 1,000 characters in place, and longer Markdown behind a button only. So a picture is
a small SVG within its link, with the legend as text below it, and says as much as fits. It is drawn from what the
registry stores alone: the same judgements give the same pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import quote

import dagster as dg

from leadscore.arrays import evenly_spread
from leadscore.comparison import Estimate
from leadscore.evaluation import EvaluationReport
from leadscore.gate import Judgement
from leadscore_assets.metadata.history import PastVersion

MOST_CHARACTERS = 999
MOST_POINTS = 20  # of a curve
# names, because a # takes three characters in a link
CANDIDATE_COLOUR, CHAMPION_COLOUR = "royalblue", "sandybrown"
DECISION_COLOURS = {"activate": "green", "hold": "orange", "refuse": "red"}
# the plotting area, in the picture's units
LEFT, RIGHT, TOP, BOTTOM = 30, 290, 8, 128
WIDTH, HEIGHT = 300, 150
# within a link in angle brackets only these must be quoted
_UNQUOTED = " !$&'()*+,-./:;=?@[]^_{|}~"

Point = tuple[float, float]


def evaluation_pictures(judgement: Judgement) -> dict[str, dg.MetadataValue]:
    """Return the pictures as Markdown metadata; a holdout with one class has no ROC curve, and says so."""
    return {
        "roc_curve": _roc_curve(judgement.report, judgement.champion),
        "calibration_curve": _calibration(judgement.report, judgement.champion),
        "confusion_matrix": _confusion_matrix(judgement.report),
    }


def versions_pictures(versions: Sequence[PastVersion]) -> dict[str, dg.MetadataValue]:
    """Return ROC-AUC and Brier score of the versions by the time as of which they were trained, with intervals.

    The versions that were judged on the same leads as the newest have hollow dots; figures on other leads are not
    comparable to the last digit. Where there are too many for one picture, the newest are drawn.
    """
    return {
        f"{name}_over_time": _versions_picture(versions, name, label)
        for name, label in (("roc_auc", "ROC-AUC"), ("brier_score", "Brier score"))
    }


def _roc_curve(report: EvaluationReport, champion: EvaluationReport | None) -> dg.MetadataValue:
    curves = [_curve(_roc_points(report), CANDIDATE_COLOUR, 2)]
    legend = f"Blue: candidate, {_auc(report)}"
    if champion is not None:
        curves.insert(0, _curve(_roc_points(champion), CHAMPION_COLOUR, 5))
        legend += f"; orange: active version, {_auc(champion)}"
    return _picture("ROC curve", [_unit_square("false positive rate", "true positive rate"), *curves], f"{legend}.")


def _roc_points(report: EvaluationReport) -> list[Point]:
    return [(point.false_positive_rate, point.true_positive_rate) for point in report.roc_curve]


def _auc(report: EvaluationReport) -> str:
    return "no ROC-AUC: one class" if report.metrics.roc_auc is None else f"ROC-AUC {report.metrics.roc_auc:.3f}"


def _calibration(report: EvaluationReport, champion: EvaluationReport | None) -> dg.MetadataValue:
    points = _calibration_points(report)
    drawn = [_curve(points, CANDIDATE_COLOUR, 2), _dots(map(_placed, points), CANDIDATE_COLOUR, 6)]
    legend = f"Blue: candidate, Brier score {report.metrics.brier_score:.3f}"
    if champion is not None:
        drawn.insert(0, _curve(_calibration_points(champion), CHAMPION_COLOUR, 5))
        legend += f"; orange: active version, {champion.metrics.brier_score:.3f}"
    axes = _unit_square("predicted probability (mean of a tenth)", "share that converted")
    return _picture("Calibration", [axes, *drawn], f"{legend}.")


def _calibration_points(report: EvaluationReport) -> list[Point]:
    return [(tenth.mean_probability, tenth.conversion_rate) for tenth in report.calibration]


def _confusion_matrix(report: EvaluationReport) -> dg.MetadataValue:
    matrix = report.metrics.confusion_matrix
    cells = (
        (100, 10, matrix.true_negatives),
        (200, 10, matrix.false_positives),
        (100, 70, matrix.false_negatives),
        (200, 70, matrix.true_positives),
    )
    most = max(1, *(count for _, _, count in cells))
    drawn = [
        f"<path d='M{x} {y}h96v56h-96z' fill='{CANDIDATE_COLOUR}' fill-opacity='{0.1 + 0.4 * count / most:.2f}'/>"
        f"<text x='{x + 8}' y='{y + 34}'>{count:,}</text>"
        for x, y, count in cells
    ]
    labels = _text(2, 42, "not converted") + _text(2, 102, "converted") + _text(100, 142, "predicted no")
    return _picture("Confusion matrix", [*drawn, labels, _text(200, 142, "yes (0.5)")], "Rows of the holdout.")


def _versions_picture(versions: Sequence[PastVersion], name: str, label: str) -> dg.MetadataValue:
    drawn = [past for past in versions if past.as_of is not None and getattr(past, name) is not None]
    legend = "Hollow: judged on the newest version's leads. Green: activate, orange: hold, red: refuse, ringed: active."
    while True:
        elements = list(_Timeline.of(drawn, name).elements()) if drawn else []
        markdown = _markdown(f"{label} over time", elements, legend)
        if len(markdown) <= MOST_CHARACTERS:
            return dg.MetadataValue.md(markdown)
        drawn = drawn[1:]


@dataclass(frozen=True)
class _Mark:
    """A version in the picture: where it stands, the ends of its interval, its colour, and what it is marked as."""

    x: int
    y: int
    top: int
    bottom: int
    colour: str
    is_comparable: bool
    is_active: bool


@dataclass(frozen=True)
class _Timeline:
    """Versions over time, with the labels of the axes."""

    marks: Sequence[_Mark]
    first: datetime
    last: datetime
    lowest: float
    highest: float

    @classmethod
    def of(cls, versions: Sequence[PastVersion], name: str) -> _Timeline:
        """Place the versions, of which there is at least one."""
        moments = [past.as_of for past in versions if past.as_of]
        estimates: list[Estimate] = [getattr(past, name) for past in versions]
        low, high = min(each.low for each in estimates), max(each.high for each in estimates)
        first, span = min(moments), (max(moments) - min(moments)).total_seconds()

        def across(moment: datetime) -> int:
            share = (moment - first).total_seconds() / span if span else 0.5
            return round(LEFT + 8 + share * (RIGHT - LEFT - 16))

        def down(figure: float) -> int:
            return round(BOTTOM - 6 - (figure - low) / ((high - low) or 1.0) * (BOTTOM - TOP - 12))

        newest = versions[-1].fingerprint
        marks = [
            _Mark(
                across(moment),
                down(each.value),
                down(each.high),
                down(each.low),
                DECISION_COLOURS[past.decision],
                past.fingerprint == newest,
                past.is_active,
            )
            for past, moment, each in zip(versions, moments, estimates, strict=True)
        ]
        return cls(marks, first, max(moments), low, high)

    def elements(self) -> Iterable[str]:
        """Yield the axes with their labels, the intervals, a ring around the active version, and the dots."""
        yield _axes() + _text(0, TOP + 8, f"{self.highest:.2f}") + _text(0, BOTTOM - 2, f"{self.lowest:.2f}")
        yield _text(LEFT, HEIGHT - 4, f"{self.first:%Y-%m-%d}")
        if self.last > self.first:
            yield _text(RIGHT - 56, HEIGHT - 4, f"{self.last:%Y-%m-%d}")
        bars = _lines(((mark.x, mark.top, mark.bottom - mark.top) for mark in self.marks), "v")
        yield f"<path d='{bars}' stroke='gray'/>"
        yield _dots(((mark.x, mark.y) for mark in self.marks if mark.is_active), "black", 11)
        for colour in DECISION_COLOURS.values():
            yield _dots(((mark.x, mark.y) for mark in self.marks if mark.colour == colour), colour, 8)
        yield _dots(((mark.x, mark.y) for mark in self.marks if mark.is_comparable), "white", 4)


def _unit_square(x_label: str, y_label: str) -> str:
    """Return axes from 0 to 1 with their labels, and the diagonal."""
    diagonal = f"<path d='M{LEFT} {BOTTOM}L{RIGHT} {TOP}' stroke='gray' stroke-dasharray='4'/>"
    return _axes() + diagonal + _text(LEFT, HEIGHT - 8, x_label) + _text(LEFT + 6, TOP + 8, y_label)


def _axes() -> str:
    return f"<path d='M{LEFT} {TOP}V{BOTTOM}H{RIGHT}' fill='none' stroke='gray'/>"


def _placed(point: Point) -> tuple[int, int]:
    """Return where a point of the unit square stands in the picture."""
    x, y = point
    return round(LEFT + x * (RIGHT - LEFT)), round(BOTTOM - y * (BOTTOM - TOP))


def _curve(points: Sequence[Point], colour: str, width: int) -> str:
    """Return a line through at most MOST_POINTS of the points."""
    if not points:
        return ""
    placed = [_placed(points[index]) for index in evenly_spread(len(points), MOST_POINTS)]
    steps = " ".join(f"{x} {y}" for x, y in placed)
    return f"<path d='M{steps}' fill='none' stroke='{colour}' stroke-width='{width}'/>"


def _dots(places: Iterable[tuple[int, int]], colour: str, size: int) -> str:
    """Return round dots: lines without a length, whose ends are round."""
    lines = _lines(((x, y, 0) for x, y in places), "h")
    return f"<path d='{lines}' stroke='{colour}' stroke-width='{size}'/>" if lines else ""


def _lines(lines: Iterable[tuple[int, int, int]], direction: Literal["h", "v"]) -> str:
    """Return lines, given as x, y and length. Each is drawn from the end of the one before, because steps are short."""
    drawn, (at_x, at_y) = "", (0, 0)
    for x, y, length in lines:
        drawn += f"m{x - at_x} {y - at_y}{direction}{length}".replace(" -", "-")
        at_x, at_y = (x + length, y) if direction == "h" else (x, y + length)
    return drawn


def _text(x: int, y: int, words: str) -> str:
    return f"<text x='{x}' y='{y}'>{words}</text>"


def _picture(title: str, elements: Iterable[str], legend: str) -> dg.MetadataValue:
    return dg.MetadataValue.md(_markdown(title, elements, legend))


def _markdown(title: str, elements: Iterable[str], legend: str) -> str:
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='450' viewBox='0 0 {WIDTH} {HEIGHT}' font-size='10'"
        f" stroke-linecap='round' style='background:white'>{''.join(elements)}</svg>"
    )
    return f"![{title}](<data:image/svg+xml,{quote(svg, safe=_UNQUOTED)}>)\n\n{legend}"
