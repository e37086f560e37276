"""The report's first screen in plain words: what a version is good for, and how far it can be trusted.

Its figures count each lead once. A question has an answer of a word or two, a tone (yes, hold or no), and a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from leadscore.comparison import Comparison
from leadscore.features import label_of
from leadscore_assets.report import number_format as words
from leadscore_assets.report.calibration import Calibration
from leadscore_assets.report.figures import ReportMaterial
from leadscore_assets.report.slices import FEWEST_LEADS, Slice

MOST_NAMED = 3
CHANCE = 0.5


class Answer(NamedTuple):
    """A question, its answer in a word or two, the sentence behind it, and the tone: yes, hold, no or empty."""

    question: str
    verdict: str
    text: str
    tone: str = ""


class Remark(NamedTuple):
    """A sentence, and whether it warns."""

    text: str
    is_warning: bool


def headline(material: ReportMaterial) -> str:
    """Return the sentence that says what the version is good for."""
    gain, later = material.by_lead.gain, material.later
    if gain is None:
        return f"Nothing can be said of how well it ranks leads, because {_why_unranked(material)}."
    of_later = (
        f"; of those still open after {_days(later.days)}, {words.percent(later.gain.reached, 0)}"
        if later and later.gain
        else ""
    )
    reached = words.percent(gain.reached, 0)
    return f"Of new leads, the 20% that it puts first hold {reached} of the conversions{of_later}."


def answers(material: ReportMaterial) -> list[Answer]:
    """Return the questions of the first screen with their answers."""
    holds = [Answer("Does that hold for the newest leads?", *_of_the_newest(material))] if material.backtest else []
    return [_ranking(material), *holds, calibration_answer(material), _features(material), _records(material)]


def calibration_answer(material: ReportMaterial) -> Answer:
    """Return whether the probabilities can be trusted: yes, mostly where single groups are off, or not everywhere."""
    question, whole = "Can its probabilities be trusted?", _largest_excess(material)
    if whole is None:
        return Answer(question, "Unknown", "There are too few held-out leads to measure the calibration.", "hold")
    compared = f"their mean error is {_points(whole.error)} percentage points"
    by_chance = f"perfect probabilities would show up to {_points(whole.error_by_chance)} by chance"
    off, shown = groups_off(material), sum(part.calibration is not None for _, part in _calibrated_parts(material))
    if whole.is_beyond_chance:
        return Answer(question, "Not everywhere", f"Overall, {compared}, and {by_chance}.{_where(off)}", "no")
    if off:
        few = (
            f"Overall yes: {compared}, and {by_chance}. But chance does not explain the error in {len(off)} of {shown}"
        )
        return Answer(question, "Mostly", f"{few} groups: {_listed(off)}.", "hold")
    text = f"As far as {words.count(material.judgement.report.holdout_records)} leads can show: {compared}, and"
    return Answer(question, "Yes", f"{text} {by_chance}.", "yes")


def groups_off(material: ReportMaterial) -> list[str]:
    """Return the names of the groups whose calibration error chance does not explain."""
    parts = _calibrated_parts(material)
    return [name for name, part in parts if part.calibration and part.calibration.is_beyond_chance]


def backtest_remark(material: ReportMaterial) -> Remark:
    """Return in words how well the newest leads are ranked against the holdout; warn when they are ranked worse."""
    held_out: Comparison | None = material.judgement.comparison
    if material.backtest is None:
        few = f"are fewer than {FEWEST_LEADS} or have one outcome only"
        return Remark(f"There is no backtest, because the newest or the older leads {few}.", is_warning=False)
    if held_out is None or material.curve is None:
        return Remark("The backtest has no comparison, because the holdout cannot be ranked.", is_warning=False)
    newest, usual = material.backtest.comparison.roc_auc.candidate, held_out.roc_auc.candidate
    is_worse, is_better = newest.high < usual.value, newest.low > usual.value
    how = "clearly worse than" if is_worse else "clearly better than" if is_better else "about as well as"
    figures = f"ROC-AUC {words.figure(newest.value)} against {words.figure(usual.value)}"
    forest = f"A forest of the older leads ranks the newest leads {how} this version ranks the holdout"
    return Remark(f"{forest} ({figures}).", is_warning=is_worse)


def in_full(day: date) -> str:
    """Return a date such as 29 November 2026."""
    return f"{day.day} {day:%B %Y}"


def _why_unranked(material: ReportMaterial) -> str:
    if material.judgement.report.metrics.roc_auc is None:
        return "all held-out leads have the same outcome"
    return "too few leads are held out"


def _ranking(material: ReportMaterial) -> Answer:
    question, compared, later = "Does it put the right leads first?", material.by_lead.comparison, material.later
    if compared is None:
        return Answer(question, "Unknown", f"{_why_unranked(material).capitalize()}.", "hold")
    text = "Of a new lead that converts and one that does not, it puts the right one first in"
    text = f"{text} {_pairs(compared, material)}; by chance it would be 50."
    is_sure = compared.roc_auc.candidate.low > CHANCE
    if later is None or later.comparison is None:
        return Answer(question, "Yes" if is_sure else "Not surely", text, "yes" if is_sure else "hold")
    text = f"{text} After {_days(later.days)}, when it knows more, it is {_pairs(later.comparison, material)}."
    if is_sure:
        return Answer(question, "Yes", text, "yes")
    is_later_sure = later.comparison.roc_auc.candidate.low > CHANCE
    return Answer(question, "Once it knows more" if is_later_sure else "Not surely", text, "hold")


def _pairs(compared: Comparison, material: ReportMaterial) -> str:
    auc = compared.roc_auc.candidate
    active = f"; active version: {_hundredths(compared.roc_auc.baseline.value)}" if material.judgement.champion else ""
    return f"{_hundredths(auc.value)} of 100 pairs ({_hundredths(auc.low)} to {_hundredths(auc.high)}{active})"


def _of_the_newest(material: ReportMaterial) -> tuple[str, str, str]:
    remark, ahead = backtest_remark(material), material.line_ahead
    if ahead:
        line = words.figure(ahead.newest.roc_auc.candidate.value)
        text = f"{remark.text} A straight line ranks them better ({line}): the way leads convert may have changed."
        return "Less well" if remark.is_warning else "Not surely", text, "hold"
    return ("Less well", remark.text, "hold") if remark.is_warning else ("Yes", remark.text, "yes")


def _features(material: ReportMaterial) -> Answer:
    first = [label_of(entry.feature) for entry in material.manifest.importance[:MOST_NAMED]]
    text = f"{_joined(first).capitalize()} move its scores most." if first else "No feature moves its scores."
    return Answer("What does it look at?", "", text)


def _records(material: ReportMaterial) -> Answer:
    window, counts, split = material.manifest.window, material.manifest.counts, material.manifest.split
    last = window.as_of.date()
    first = last - timedelta(days=window.training_window_days)
    trained_on, judged_on = words.count(split.training_records), words.count(split.holdout_records)
    known = (
        f"{words.count(counts.records)} leads with a known outcome, created from {in_full(first)} to {in_full(last)}"
    )
    text = (
        f"{_pooled(material)}{known}; {words.percent(counts.base_rate, 0)} of them converted."
        f" It was trained on {trained_on} and judged on the other {judged_on}."
    )
    return Answer("What did it learn from?", "", text)


def _pooled(material: ReportMaterial) -> str:
    """Return what a taught version learned from others' leads, in words; nothing for other versions."""
    if material.taught is None:
        return ""
    return f"All orgs' leads, by version {material.taught.pooled_version} of the pooled model, and the org's own: "


def _largest_excess(material: ReportMaterial) -> Calibration | None:
    """Return the calibration by lead or by row, whichever exceeds chance more."""
    found = [whole for whole in (material.by_lead.calibration, material.calibration) if whole]
    return max(found, key=lambda whole: whole.error - whole.error_by_chance, default=None)


def _calibrated_parts(material: ReportMaterial) -> Iterator[tuple[str, Slice]]:
    """Yield every group of the calibration tables with its name."""
    yield from ((f"probability {part.label}", part) for part in material.by_probability)
    yield from ((f"age {_days(part.label)}", part) for part in material.by_age)
    yield from ((f"source score {part.label}", part) for part in material.by_source)


def _where(off: Sequence[str]) -> str:
    return f" It is also more than chance in {_listed(off)}." if off else ""


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _joined(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _days(number: int | str) -> str:
    return f"{number} day" if str(number) == "1" else f"{number} days"


def _hundredths(share: float) -> str:
    return f"{100 * share:.0f}"


def _points(share: float) -> str:
    return f"{100 * share:.1f}"
