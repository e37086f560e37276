"""The gate: each verdict and each reason at its boundary. Figures are binary fractions, so that a tie is a tie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from leadscore.evaluation import EvaluationReport
from leadscore.gate import (
    Decision,
    Judgement,
    Policy,
    Unevaluable,
    data_refusals,
    decide,
    policy_from,
    refuse_unfittable,
)
from leadscore.settings import Settings

Report = Callable[..., EvaluationReport]

POLICY = Policy(
    min_records=100, min_holdout_per_class=3, min_roc_auc=0.5, min_roc_auc_gain=0.0, max_brier_increase=0.03125
)
STRICT = msgspec.structs.replace(POLICY, min_roc_auc_gain=0.0625)
STEP = 2**-30
CHAMPION: dict[str, Any] = {"roc_auc": 0.75, "brier_score": 0.25}


def _codes(decision: Decision) -> list[str]:
    return [reason.code for reason in decision.reasons]


@pytest.mark.parametrize(
    ("roc_auc", "verdict", "code"),
    [
        (0.5 + STEP, "activate", "better_than_chance"),
        (0.5, "hold", "not_better_than_chance"),
        (0.25, "hold", "not_better_than_chance"),
        (1.0, "activate", "better_than_chance"),
    ],
)
def test_a_first_version_must_beat_chance(roc_auc: float, verdict: str, code: str, make_report: Report) -> None:
    decision = decide(make_report(roc_auc=roc_auc), None, POLICY)
    assert (decision.verdict, _codes(decision)) == (verdict, [code])
    assert (decision.reasons[0].figure, decision.reasons[0].threshold) == (roc_auc, 0.5)


@pytest.mark.parametrize(
    ("policy", "roc_auc", "brier_score", "verdict", "codes"),
    [
        (POLICY, 0.75 + STEP, 0.25, "activate", ["roc_auc_improved", "brier_score_kept"]),
        (POLICY, 0.75, 0.25, "hold", ["roc_auc_not_improved", "brier_score_kept"]),
        (POLICY, 0.75 - STEP, 0.125, "hold", ["roc_auc_not_improved", "brier_score_kept"]),
        (POLICY, 0.875, 0.28125, "activate", ["roc_auc_improved", "brier_score_kept"]),
        (POLICY, 0.875, 0.28125 + STEP, "hold", ["roc_auc_improved", "brier_score_worse"]),
        (POLICY, 0.5, 0.5, "hold", ["roc_auc_not_improved", "brier_score_worse"]),
        (STRICT, 0.8125, 0.25, "hold", ["roc_auc_not_improved", "brier_score_kept"]),
        (STRICT, 0.8125 + STEP, 0.25, "activate", ["roc_auc_improved", "brier_score_kept"]),
    ],
)
def test_a_challenger_must_rank_better_and_may_not_be_calibrated_much_worse(
    *, policy: Policy, roc_auc: float, brier_score: float, verdict: str, codes: list[str], make_report: Report
) -> None:
    candidate = make_report("20260401060000", roc_auc=roc_auc, brier_score=brier_score)
    decision = decide(candidate, make_report("20260315060000", **CHAMPION), policy)
    assert (decision.verdict, _codes(decision)) == (verdict, codes)
    assert [reason.figure for reason in decision.reasons] == [roc_auc - 0.75, brier_score - 0.25]
    assert "of the active version 20260315060000 on the same 40 leads" in decision.text


@pytest.mark.parametrize(
    ("figures", "code", "figure", "threshold"),
    [
        ({"records": 99}, "too_few_records", 99, 100),
        ({"records": 200, "converted_records": 0}, "one_class", 0, 1),
        ({"records": 200, "converted_records": 200}, "one_class", 200, 1),
        ({"holdout_converted_records": 2}, "too_few_converted_in_holdout", 2, 3),
        ({"holdout_converted_records": 38}, "too_few_unconverted_in_holdout", 2, 3),
    ],
)
def test_too_little_data_is_refused_however_good_the_figures(
    figures: dict[str, int], code: str, figure: int, threshold: int, make_report: Report
) -> None:
    for champion in (None, make_report(**CHAMPION), Unevaluable("20260315060000", "its files are damaged")):
        decision = decide(make_report(roc_auc=1.0, brier_score=0.0, **figures), champion, POLICY)
        assert (decision.verdict, _codes(decision)) == ("refuse", [code])
        assert (decision.reasons[0].figure, decision.reasons[0].threshold) == (figure, threshold)
        assert decision.reasons[0].remedy.startswith("Train again when")


@pytest.mark.parametrize(
    "figures", [{"records": 100}, {"holdout_converted_records": 3}, {"holdout_converted_records": 37}]
)
def test_just_enough_data_is_judged(figures: dict[str, int], make_report: Report) -> None:
    assert decide(make_report(**figures), None, POLICY).verdict == "activate"


def test_every_refusal_is_named_at_once(make_report: Report) -> None:
    candidate = make_report(
        records=5, converted_records=0, holdout_records=1, holdout_converted_records=0, roc_auc=None
    )
    assert _codes(decide(candidate, None, POLICY)) == [
        "too_few_records",
        "one_class",
        "too_few_converted_in_holdout",
        "too_few_unconverted_in_holdout",
    ]


@pytest.mark.parametrize(("missing", "words"), [(1, "when 1 more lead has a"), (2, "when 2 more leads have a")])
def test_a_refusal_says_how_many_leads_are_missing(missing: int, words: str) -> None:
    assert words in data_refusals(100 - missing, 20, POLICY)[0].text


def test_a_champion_that_cannot_be_evaluated_is_told_and_chance_decides(make_report: Report) -> None:
    champion = Unevaluable("20260315060000", "its forest is damaged")
    for roc_auc, verdict in ((0.75, "activate"), (0.5, "hold")):
        decision = decide(make_report(roc_auc=roc_auc), champion, POLICY)
        assert decision.verdict == verdict
        assert decision.reasons[0].code == "champion_not_evaluable"
        assert "The active version 20260315060000 cannot be compared: its forest is damaged." in decision.text


@pytest.mark.parametrize(("converted", "codes"), [(39, ["low_base_rate"]), (40, []), (41, [])])
def test_a_low_conversion_rate_is_a_note_and_decides_nothing(
    converted: int, codes: list[str], make_report: Report
) -> None:
    decision = decide(make_report(converted_records=converted), None, POLICY)
    assert ([note.code for note in decision.notes], decision.verdict) == (codes, "activate")
    assert "low_base_rate" not in _codes(decision)


@pytest.mark.parametrize(
    ("counts", "codes"),
    [
        ((0, 0, 0, 0), ["too_few_records"]),
        ((50, 0, 40, 0), ["too_few_records", "one_class"]),
        ((200, 200, 160, 160), ["one_class"]),
        ((200, 3, 160, 0), ["one_class_in_training"]),
        ((2, 1, 1, 1), ["too_few_records", "one_class_in_training"]),
        ((200, 197, 160, 160), ["one_class_in_training"]),
    ],
)
def test_data_to_which_nothing_can_be_fitted_is_refused(counts: tuple[int, ...], codes: list[str]) -> None:
    decision = refuse_unfittable(*counts, POLICY)
    assert decision is not None
    assert (decision.verdict, _codes(decision)) == ("refuse", codes)


def test_data_that_can_be_fitted_is_not_refused_before_it_is_judged() -> None:
    assert refuse_unfittable(2, 1, 2, 1, POLICY) is None
    assert refuse_unfittable(200, 80, 160, 60, POLICY) is None


def test_a_gate_without_its_numbers_is_an_error_and_never_a_pass() -> None:
    for name in Policy.__struct_fields__:
        numbers = {field: getattr(POLICY, field) for field in Policy.__struct_fields__ if field != name}
        with pytest.raises(TypeError, match=name):
            Policy(**numbers)


def test_a_report_without_roc_auc_is_an_error_and_never_a_pass(make_report: Report) -> None:
    with pytest.raises(ValueError, match="has no ROC-AUC"):
        decide(make_report(roc_auc=None), None, POLICY)
    with pytest.raises(ValueError, match="has no ROC-AUC"):
        decide(make_report(), make_report(roc_auc=None), POLICY)


def test_the_policy_is_the_settings() -> None:
    assert policy_from(Settings()) == Policy(100, 3, 0.5, 0.0, 0.01)
    assert policy_from(Settings(min_records=7)).min_records == 7


def test_a_judgement_reads_back_and_names_the_champion_it_was_against(make_report: Report) -> None:
    champion, gone = make_report("20260101000000"), Unevaluable("20260201000000", "gone")
    decision = decide(make_report(), gone, POLICY)
    for beside, version in (((champion, None), champion.version), ((None, gone), gone.version), ((None, None), None)):
        judgement = Judgement(make_report(), *beside, decision, "c0ffee", "2026-03-15T06:00:01+00:00", None)
        assert judgement.champion_version == version
        assert msgspec.json.decode(msgspec.json.encode(judgement), type=Judgement) == judgement
