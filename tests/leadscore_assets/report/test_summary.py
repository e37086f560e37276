"""The first screen says in plain words what the figures say, and no more than they do."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import msgspec
import pytest

from leadscore.comparison import Estimate
from leadscore_assets.report.calibration import Calibration
from leadscore_assets.report.figures import ReportMaterial
from leadscore_assets.report.line_ahead import LineAhead
from leadscore_assets.report.summary import (
    Answer,
    answers,
    backtest_remark,
    calibration_answer,
    groups_off,
    headline,
    in_full,
)

FINE = Calibration(0.3, 0.3, 0.02, 0.05)
OFF = Calibration(0.3, 0.4, 0.10, 0.05)


@pytest.fixture
def material(second) -> ReportMaterial:
    """Give the material of a version whose probabilities are fine in every group."""
    fine = {
        name: tuple(replace(part, calibration=FINE) for part in getattr(second.material, name))
        for name in ("by_probability", "by_age", "by_source")
    }
    return replace(
        second.material, calibration=FINE, by_lead=replace(second.material.by_lead, calibration=FINE), **fine
    )


def ranked(material: ReportMaterial, new: Estimate, later: Estimate) -> Answer:
    """Return the answer on the ranking when ROC-AUC is `new` of new leads and `later` afterwards."""
    compared, older = material.by_lead.comparison, material.later.comparison
    by_lead = replace(material.by_lead, comparison=msgspec.structs.replace(compared, roc_auc=of(compared, new)))
    after = replace(material.later, comparison=msgspec.structs.replace(older, roc_auc=of(older, later)))
    return answers(replace(material, by_lead=by_lead, later=after))[0]


def of(compared, candidate: Estimate):
    return msgspec.structs.replace(compared.roc_auc, candidate=candidate)


def test_the_headline_is_what_the_first_fifth_of_new_leads_hold_and_of_older_ones(material):
    new, later = material.by_lead.gain.reached, material.later.gain.reached
    assert headline(material) == (
        f"Of new leads, the 20% that it puts first hold {new:.0%} of the conversions;"
        f" of those still open after 3 days, {later:.0%}."
    )
    assert headline(replace(material, later=None)).endswith(f"hold {new:.0%} of the conversions.")


def test_without_enough_leads_the_headline_says_so(material):
    nothing = replace(material, by_lead=replace(material.by_lead, gain=None))
    assert headline(nothing) == "Nothing can be said of how well it ranks leads, because too few leads are held out."


@pytest.mark.parametrize(
    ("new", "later", "verdict"),
    [(0.55, 0.6, "Yes"), (0.45, 0.6, "Once it knows more"), (0.45, 0.45, "Not surely")],
)
def test_a_version_ranks_well_when_its_interval_is_above_chance(material, new, later, verdict):
    answer = ranked(material, Estimate(0.63, new, 0.7), Estimate(0.7, later, 0.8))
    assert answer.verdict == verdict
    active = f"active version: {100 * material.by_lead.comparison.roc_auc.baseline.value:.0f}"
    assert f"63 of 100 pairs ({100 * new:.0f} to 70; {active}); by chance it would be 50." in answer.text
    assert f"After 3 days, when it knows more, it is 70 of 100 pairs ({100 * later:.0f} to 80; " in answer.text


def test_of_one_outcome_no_ranking_is_told(material):
    unknown = replace(material, by_lead=replace(material.by_lead, comparison=None))
    assert answers(unknown)[0].verdict == "Unknown"


def test_probabilities_are_trusted_when_no_group_is_beyond_chance(material):
    answer = calibration_answer(material)
    assert (answer.verdict, answer.tone) == ("Yes", "yes")
    assert "mean error is 2.0 percentage points, and perfect probabilities would show up to 5.0 by" in answer.text


def test_groups_that_chance_does_not_explain_make_it_mostly(material):
    first, *others = material.by_age
    named = replace(material, by_age=(replace(first, calibration=OFF), *others))
    answer = calibration_answer(named)
    assert (answer.verdict, answer.tone) == ("Mostly", "hold")
    shown = sum(len(getattr(material, name)) for name in ("by_probability", "by_age", "by_source"))
    assert answer.text.endswith(f"chance does not explain the error in 1 of {shown} groups: age 0 days.")
    assert groups_off(named) == ["age 0 days"]


def test_many_such_groups_are_counted(material):
    all_off = replace(material, by_source=tuple(replace(part, calibration=OFF) for part in material.by_source * 2))
    assert calibration_answer(all_off).text.endswith("source score 10, source score 40, source score 70 and 3 more.")


@pytest.mark.parametrize("is_by_lead", [True, False])
def test_an_error_of_the_whole_is_no_mostly(material, is_by_lead):
    whole = {"by_lead": replace(material.by_lead, calibration=OFF)} if is_by_lead else {"calibration": OFF}
    answer = calibration_answer(replace(material, **whole))
    assert (answer.verdict, answer.tone) == ("Not everywhere", "no")
    assert "mean error is 10.0 percentage points" in answer.text


def test_without_a_calibration_nothing_is_claimed(material):
    nothing = replace(material, calibration=None, by_lead=replace(material.by_lead, calibration=None))
    assert calibration_answer(nothing).verdict == "Unknown"


def test_what_it_looks_at_and_learned_from_is_told_in_words(material):
    *_, features, records = answers(material)
    assert features.text.endswith("move its scores most.")
    assert "_" not in features.text
    counts, split = material.manifest.counts, material.manifest.split
    assert f"{counts.records} leads with a known outcome, created from 30 November 2025 to 1 June 2026" in records.text
    assert f"trained on {split.training_records} and judged on the other {split.holdout_records}." in records.text


def test_a_backtest_that_ranks_worse_is_a_warning(material):
    usual = material.judgement.comparison
    worse = msgspec.structs.replace(usual.roc_auc, candidate=Estimate(0.45, 0.4, 0.5))
    changed = replace(material.backtest, comparison=msgspec.structs.replace(usual, roc_auc=worse))
    remark = backtest_remark(replace(material, backtest=changed))
    assert remark.is_warning
    assert "clearly worse" in remark.text
    assert answers(replace(material, backtest=changed))[1].verdict == "Less well"
    assert not backtest_remark(material).is_warning
    assert not backtest_remark(replace(material, backtest=None)).is_warning
    assert len(answers(replace(material, backtest=None))) == len(answers(material)) - 1


def test_a_line_that_ranks_the_newest_leads_better_is_a_doubt(material):
    usual = material.judgement.comparison
    newest = msgspec.structs.replace(usual, roc_auc=of(usual, Estimate(0.71, 0.65, 0.77)))
    doubtful = replace(material, line_ahead=LineAhead("2026-05-01", newest, usual))
    answer = answers(doubtful)[1]
    assert (answer.verdict, answer.tone) == ("Not surely", "hold")
    assert answer.text.endswith("A straight line ranks them better (0.710): the way leads convert may have changed.")


def test_a_date_is_written_in_full():
    assert in_full(date(2026, 11, 9)) == "9 November 2026"
