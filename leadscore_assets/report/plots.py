"""The geometry of the report's pictures, in the pictures' own units. The template turns it into SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from leadscore.comparison import Estimate
from leadscore.evaluation import EvaluationReport
from leadscore.features import label_of
from leadscore_assets.report.curves import Curve
from leadscore_assets.report.effects import Effect
from leadscore_assets.report.figures import ReportMaterial
from leadscore_assets.report.importance import Drop
from leadscore_assets.report.number_format import figure, percent, points
from leadscore_assets.report.slices import Slice
from leadscore_assets.report.taught import Moved

WIDTH, HEIGHT = 360, 300
LEFT, RIGHT, TOP, BOTTOM = 48, 342, 10, 254
FIFTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
LARGEST_DOT, SMALLEST_DOT = 11.0, 2.5
BARS_WIDTH, BARS_LEFT, BARS_RIGHT, BAR_PITCH = 360, 168, 308, 22
RANGE_WIDTH, RANGE_MARGIN = 110, 5


@dataclass(frozen=True)
class Line:
    """A line through `points`, as SVG lists them. `kind` names its style: candidate, champion, rows, guide."""

    kind: str
    points: str


@dataclass(frozen=True)
class Dot:
    """A disc with its tooltip; `is_off` marks a figure that chance does not explain."""

    x: float
    y: float
    radius: float
    words: str
    is_off: bool = False


@dataclass(frozen=True)
class Tick:
    """A place on an axis, and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Plot:
    """A picture with shares from 0 to 1 on both axes. `words` describe it to screen readers."""

    title: str
    words: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    dots: tuple[Dot, ...] = ()

    width, height = WIDTH, HEIGHT
    left, right, top, bottom = LEFT, RIGHT, TOP, BOTTOM

    @property
    def x_ticks(self) -> list[Tick]:
        """The ticks of the horizontal axis."""
        return [Tick(_x(share), percent(share, 0)) for share in FIFTHS]

    @property
    def y_ticks(self) -> list[Tick]:
        """The ticks of the vertical axis."""
        return [Tick(_y(share), percent(share, 0)) for share in FIFTHS]


@dataclass(frozen=True)
class Bar:
    """One bar of a list, from `x` on; `low` and `high` are the ends of its spread, where it has one."""

    label: str
    figure: str
    kind: str
    x: float
    length: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Bars:
    """A list of horizontal bars on both sides of a zero."""

    title: str
    words: str
    zero: float
    bars: tuple[Bar, ...]

    width, label_right, pitch, thickness = BARS_WIDTH, BARS_LEFT - 8, BAR_PITCH, 13

    @property
    def height(self) -> int:
        """The picture's height."""
        return BAR_PITCH * len(self.bars) + 4


@dataclass(frozen=True)
class Range:
    """An interval with its figure, beside the figure of all rows, on a scale that a whole table shares."""

    low: float
    high: float
    at: float
    reference: float

    width, height = RANGE_WIDTH, 14


def roc_plot(material: ReportMaterial) -> Plot:
    """Draw the true positive rate against the false positive rate."""
    lines = [Line(kind, _path(curve.roc())) for kind, curve in _curves(material)]
    words = _each(material, lambda report: f"ROC-AUC {figure(report.metrics.roc_auc)}")
    return Plot("ROC curve", words, "false positive rate", "true positive rate", (_diagonal(), *lines))


def precision_recall_plot(material: ReportMaterial) -> Plot:
    """Draw the precision against the recall."""
    lines = [Line(kind, _path(curve.precision_recall())) for kind, curve in _curves(material)]
    rates = [curve.conversions[-1] / curve.rows[-1] for _, curve in _curves(material)[:1]]
    guides = [Line("guide", _path([(0, rate), (1, rate)])) for rate in rates]
    words = _each(material, lambda report: f"average precision {figure(report.metrics.average_precision)}")
    return Plot("Precision and recall", words, "recall", "precision", (*guides, *lines))


def gains_plot(material: ReportMaterial) -> Plot:
    """Draw the share of conversions in the best leads, each counted once, and in the best rows."""
    by_lead = material.by_lead
    curves = [("rows", material.curve), ("champion", by_lead.champion_curve), ("candidate", by_lead.curve)]
    lines = [Line(kind, _path(curve.gains())) for kind, curve in curves if curve]
    reached = [f"{percent(x, 0)} reach {percent(y, 0)}" for x, y in _tenths(by_lead.curve)]
    words = f"The best {', '.join(reached)} of the conversions."
    gain = by_lead.gain
    shown = f"{percent(gain.reached, 0)} reached" if gain else ""
    dots = (Dot(_x(gain.contacted / gain.rows), _y(gain.reached), 4.5, shown),) if gain else ()
    return Plot("Gains", words, "contacted, best first", "conversions reached", (_diagonal(), *lines), dots)


def calibration_plot(by_probability: Sequence[Slice]) -> Plot:
    """Draw the share converted against the probability, with a disc per tenth whose area shows its number of rows."""
    shown = [part for part in by_probability if part.calibration and part.rows]
    most = max((part.rows or 0 for part in shown), default=1)
    dots = []
    for part in shown:
        if part.calibration is None or part.rows is None:
            continue
        mean, rate = part.calibration.mean_probability, part.calibration.conversion_rate
        radius = max(SMALLEST_DOT, LARGEST_DOT * (part.rows / most) ** 0.5)
        is_off = part.calibration.is_beyond_chance
        more = ", which chance does not explain" if is_off else ""
        sentence = f"probability {percent(mean)}: {percent(rate)} of {part.rows} rows converted{more}"
        dots.append(Dot(_x(mean), _y(rate), round(radius, 1), sentence, is_off))
    words = "; ".join(dot.words for dot in dots)
    path = Line("candidate thin", " ".join(f"{dot.x},{dot.y}" for dot in dots))
    return Plot("Calibration", words, "predicted probability", "share converted", (_diagonal(), path), tuple(dots))


def taught_plot(moved: Sequence[Moved]) -> Plot:
    """Draw what the version says, and what came true, against what the pooled model says; a disc per tenth."""
    most = max((part.rows for part in moved), default=1)
    dots = tuple(
        Dot(
            *(_x(part.before), _y(part.after), round(max(SMALLEST_DOT, LARGEST_DOT * (part.rows / most) ** 0.5), 1)),
            f"pooled {percent(part.before)}, taught {percent(part.after)}: {percent(part.conversion_rate)} of"
            f" {part.rows} rows converted",
        )
        for part in moved
    )
    converted = Line("champion", _path((part.before, part.conversion_rate) for part in moved))
    path = Line("candidate thin", _path((part.before, part.after) for part in moved))
    words = "; ".join(dot.words for dot in dots)
    title = "What the org's own leads changed"
    return Plot(title, words, "said by the pooled model", "said by this version", (_diagonal(), converted, path), dots)


def importance_bars(importance: Sequence[Drop]) -> Bars:
    """Draw the drops in ROC-AUC with their spread."""
    low = min([0.0, *(drop.low for drop in importance)])
    high = max([0.001, *(drop.high for drop in importance)])
    at = _Scale(low, high, BARS_LEFT, BARS_RIGHT)
    bars = [
        _bar(label_of(drop.feature), drop.mean, figure(drop.mean), at, (drop.low, drop.high)) for drop in importance
    ]
    words = "; ".join(f"{bar.label} {bar.figure}" for bar in bars)
    return Bars("Drop in ROC-AUC when a feature is shuffled", words, at(0), tuple(bars))


def effect_bars(effects: Sequence[Effect]) -> tuple[Bars, ...]:
    """Draw each feature's mean contributions, all on one scale."""
    most = max([0.001, *(abs(part.contribution) for effect in effects for part in effect.bins)])
    at = _Scale(-most, most, BARS_LEFT, BARS_RIGHT)
    drawn = []
    for effect in effects:
        bars = [_bar(part.label, part.contribution, points(part.contribution), at) for part in effect.bins]
        words = "; ".join(f"{bar.label}: {bar.figure}" for bar in bars)
        unit = f" ({effect.unit})" if effect.unit else ""
        drawn.append(Bars(effect.label + unit, words, at(0), tuple(bars)))
    return tuple(drawn)


def auc_ranges(parts: Sequence[Slice], overall: float | None) -> dict[str, Range]:
    """Return, by label, where each group's ROC-AUC stands, on the scale of them all."""
    estimates = {part.label: part.comparison.roc_auc.candidate for part in parts if part.comparison}
    if not estimates or overall is None:
        return {}
    low = min(overall, *(estimate.low for estimate in estimates.values()))
    high = max(overall, *(estimate.high for estimate in estimates.values()))
    at = _Scale(low, max(high, low + 0.001), RANGE_MARGIN, RANGE_WIDTH - RANGE_MARGIN)
    return {label: _range(estimate, overall, at) for label, estimate in estimates.items()}


class _Scale:
    """Maps figures from [low, high] to [first, last], to a tenth of a unit."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        self._low, self._first = low, first
        self._factor = (last - first) / (high - low)

    def __call__(self, value: float) -> float:
        return round(self._first + (value - self._low) * self._factor, 1)


_x, _y = _Scale(0, 1, LEFT, RIGHT), _Scale(0, 1, BOTTOM, TOP)


def _curves(material: ReportMaterial) -> list[tuple[str, Curve]]:
    """Return the curves with the kinds of their lines; the candidate's is drawn last, upon the champion's."""
    curves = [("champion", material.champion_curve), ("candidate", material.curve)]
    return [(kind, curve) for kind, curve in curves if curve]


def _each(material: ReportMaterial, tell: Callable[[EvaluationReport], str]) -> str:
    reports = [("candidate", material.judgement.report), ("champion", material.judgement.champion)]
    return "; ".join(f"{kind} {tell(report)}" for kind, report in reports if report)


def _tenths(curve: Curve | None) -> list[tuple[float, float]]:
    """Return the points of a gains curve that stand nearest to each tenth."""
    points = curve.gains()[1:] if curve else []
    nearest = [min(points, key=lambda point: abs(point[0] - tenth / 10)) for tenth in range(1, 11) if points]
    return list(dict.fromkeys(nearest))


def _path(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{_x(x)},{_y(y)}" for x, y in places)


def _diagonal() -> Line:
    return Line("guide", _path([(0, 0), (1, 1)]))


def _bar(label: str, value: float, shown: str, at: _Scale, spread: tuple[float, float] | None = None) -> Bar:
    low, high = (at(spread[0]), at(spread[1])) if spread else (None, None)
    start, end = sorted((at(0), at(value)))
    return Bar(label, shown, "up" if value >= 0 else "down", start, round(end - start, 1), low, high)


def _range(estimate: Estimate, overall: float, at: _Scale) -> Range:
    return Range(at(estimate.low), at(estimate.high), at(estimate.value), at(overall))
