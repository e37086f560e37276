"""The gate: each verdict and each reason at its boundary. Figures are binary fractions, so that a tie is a tie."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from leadscore.comparison import BASE_RATE, Baseline, Comparison, probability_no_lower
from leadscore.evaluation import EvaluationReport
from leadscore.gate import (
    FEWEST_OWN_RECORDS,
    Decision,
    Judgement,
    Policy,
    Unevaluable,
    Verdict,
    decide,
    policy_from,
    probability_needed,
    refuse_unfittable,
    withheld,
)
from leadscore.left_out import causes_of
from leadscore.records import RecordCounts
from leadscore.settings import Settings

Report = Callable[..., EvaluationReport]
Compared = Callable[..., Comparison]

POLICY = Policy(
    min_records=100,
    min_holdout_per_class=3,
    min_probability_better=0.75,
    min_probability_better_stale=0.25,
    min_probability_not_worse=0.5,
    max_roc_auc_decrease=0.015625,
    max_brier_increase=0.03125,
    max_log_loss_increase=0.0625,
)
STEP = 2**-30
CHAMPION = "20260315060000"
POOLED = Baseline("pooled", CHAMPION)
GONE = Unevaluable(CHAMPION, "its forest is damaged")


def _codes(decision: Decision) -> list[str]:
    return [reason.code for reason in decision.reasons]


@pytest.mark.parametrize(
    ("figures", "verdict", "codes"),
    [
        ({"ranks_better": 0.75}, "activate", ["better_than_chance", "better_than_base_rate"]),
        ({"ranks_better": 0.75 - STEP}, "hold", ["not_better_than_chance", "better_than_base_rate"]),
        ({"brier_score": (0.25, 0.25)}, "hold", ["better_than_chance", "not_better_than_base_rate"]),
        ({"brier_score": (0.25 + STEP, 0.25)}, "hold", ["better_than_chance", "not_better_than_base_rate"]),
        ({"brier_score": (0.25 - STEP, 0.25)}, "activate", ["better_than_chance", "better_than_base_rate"]),
        ({"shared_window": 0.0, "ranks_better": 0.5}, "hold", ["not_better_than_chance", "better_than_base_rate"]),
    ],
)
def test_a_first_version_must_beat_chance_and_the_base_rate(
    *, figures: dict[str, Any], verdict: str, codes: list[str], make_report: Report, make_comparison: Compared
) -> None:
    beats_both = {"against": BASE_RATE, "roc_auc": (0.75, 0.5), "ranks_better": 1.0, "brier_score": (0.125, 0.25)}
    decision = decide(make_report(), make_comparison(**beats_both | figures), None, POLICY)
    assert (decision.verdict, _codes(decision)) == (verdict, codes)


def test_a_first_version_is_told_by_how_much(make_report: Report, make_comparison: Compared) -> None:
    figures = {"against": BASE_RATE, "roc_auc": (0.625, 0.5), "ranks_better": 0.5, "brier_score": (0.2, 0.25)}
    decision = decide(make_report(), make_comparison(**figures), None, POLICY)
    assert decision.text == (
        "The probability that it ranks leads better than chance is 0.50 (0.75 needed); ROC-AUC 0.625 on 40 leads. Train"
        " again when new outcomes are known. Brier score 0.200 against 0.250 for the base rate."
    )


OWN_KEPT = ["may_rank_better", "level_kept", "brier_score_kept", "log_loss_kept"]


@pytest.mark.parametrize(
    ("figures", "verdict", "codes"),
    [
        ({"ranks_better": 0.5}, "activate", OWN_KEPT),
        ({"ranks_better": 0.5 - STEP, "fits_better": 1.0}, "hold", ["ranks_no_better", *OWN_KEPT[1:]]),
        # the older the champion, the surer must be what holds the candidate back
        ({"ranks_better": 0.125, "shared_window": 0.25}, "activate", OWN_KEPT),
        ({"ranks_better": 0.125 - STEP, "shared_window": 0.25}, "hold", ["ranks_no_better", *OWN_KEPT[1:]]),
        ({"ranks_better": 0.0, "shared_window": 0.0}, "activate", OWN_KEPT),
        # nor must its level probably have fallen
        ({"when_judged": 0.75 + STEP}, "hold", [OWN_KEPT[0], "level_fell", *OWN_KEPT[2:]]),
        ({"when_judged": 0.75 + STEP, "shared_window": 0.75}, "activate", OWN_KEPT),
        ({"when_judged": 0.875, "shared_window": 0.125}, "hold", [OWN_KEPT[0], "level_fell", *OWN_KEPT[2:]]),
        ({"when_judged": 1.0, "shared_window": 0.0}, "activate", OWN_KEPT),
        ({"when_judged": 1.0, "ranks_better": 0.75}, "activate", OWN_KEPT),
        ({"when_judged": 1.0, "ranks_better": 0.75 - STEP}, "hold", [OWN_KEPT[0], "level_fell", *OWN_KEPT[2:]]),
        ({"when_judged": None}, "activate", [OWN_KEPT[0], *OWN_KEPT[2:]]),
        # its probabilities may be worse by so much, and no more
        ({"brier_score": (0.28125, 0.25)}, "activate", OWN_KEPT),
        ({"brier_score": (0.28125 + STEP, 0.25)}, "hold", [*OWN_KEPT[:2], "brier_score_worse", OWN_KEPT[3]]),
        ({"brier_score": (0.375, 0.25), "shared_window": 0.25}, "activate", OWN_KEPT),
        (
            {"brier_score": (0.375 + STEP, 0.25), "shared_window": 0.25},
            "hold",
            [*OWN_KEPT[:2], "brier_score_worse", OWN_KEPT[3]],
        ),
        # tenfold at most
        ({"brier_score": (0.5625, 0.25), "shared_window": 0.0}, "activate", OWN_KEPT),
        (
            {"brier_score": (0.5625 + STEP, 0.25), "shared_window": 0.0},
            "hold",
            [*OWN_KEPT[:2], "brier_score_worse", OWN_KEPT[3]],
        ),
        ({"log_loss": (0.5625, 0.5)}, "activate", OWN_KEPT),
        ({"log_loss": (0.5625 + STEP, 0.5)}, "hold", [*OWN_KEPT[:3], "log_loss_worse"]),
    ],
)
def test_a_candidate_takes_its_own_orgs_place_unless_something_says_that_it_is_worse(
    *, figures: dict[str, Any], verdict: str, codes: list[str], make_report: Report, make_comparison: Compared
) -> None:
    comparison = make_comparison(**{"when_judged": 0.75} | figures)
    decision = decide(make_report("20260401060000"), comparison, None, POLICY)
    assert (decision.verdict, _codes(decision)) == (verdict, codes)
    assert (decision.verdict == "activate") == all(reason.speaks_for for reason in decision.reasons)


def test_the_words_have_the_figures(make_report: Report, make_comparison: Compared) -> None:
    figures: dict[str, Any] = {"ranks_better": 0.41, "roc_auc": (0.712, 0.718), "brier_score": (0.181, 0.178)}
    comparison = make_comparison(**figures, when_judged=0.8125, shared_window=0.75)
    held = decide(make_report(), comparison, None, POLICY)
    assert held.text == (
        "The probability that it ranks leads better than the active version 20260315060000 is 0.41 (0.38 needed, since"
        " 25% of this training window is newer than that version); ROC-AUC 0.712 against 0.718 on the same 40 leads."
        " The probability that it reaches the ROC-AUC with which the active version 20260315060000 was judged is 0.01"
        " (0.38 needed, since 25% of this training window is newer than that version); ROC-AUC 0.712 against 0.812"
        " then. Look for wrong or missing outcomes in the newest months, and train again. Brier score 0.181 against"
        " 0.178 (it may rise by at most 0.042). Log loss 0.500 against 0.500 (it may rise by at most 0.083)."
    )
    assert comparison.baseline_when_judged is not None
    fallen = probability_no_lower(comparison.roc_auc.candidate, comparison.baseline_when_judged)
    assert [reason.figure for reason in held.reasons] == pytest.approx([0.41, fallen, -0.003, 0.0])
    assert [reason.threshold for reason in held.reasons] == [0.375, 0.375, -0.03125 / 0.75, -0.0625 / 0.75]


def test_probabilities_that_are_worse_come_with_a_remedy(make_report: Report, make_comparison: Compared) -> None:
    held = decide(make_report(), make_comparison(brier_score=(0.3, 0.25)), None, POLICY)
    assert "Its probabilities are worse; look at the calibration, and train again on more leads." in held.text


RANKING = ["ranks_better", "brier_score_kept", "log_loss_kept"]
HELD = ["ranks_no_better", "brier_score_kept", "log_loss_kept"]
FITTING = ["roc_auc_kept", "fits_better", "log_loss_kept"]


@pytest.mark.parametrize(
    ("figures", "verdict", "codes"),
    [
        ({"ranks_better": 0.75}, "activate", RANKING),
        ({"ranks_better": 0.75 - STEP}, "hold", HELD),
        ({"ranks_better": 0.0, "roc_auc": (0.75, 0.75)}, "hold", HELD),
        # its probabilities may be worse by so much, and no more
        ({"ranks_better": 1.0, "brier_score": (0.28125, 0.25)}, "activate", RANKING),
        (
            {"ranks_better": 1.0, "brier_score": (0.28125 + STEP, 0.25)},
            "hold",
            ["ranks_better", "brier_score_worse", "log_loss_kept"],
        ),
        ({"ranks_better": 1.0, "log_loss": (0.5625, 0.5)}, "activate", RANKING),
        (
            {"ranks_better": 1.0, "log_loss": (0.5625 + STEP, 0.5)},
            "hold",
            ["ranks_better", "brier_score_kept", "log_loss_worse"],
        ),
        # its ranking may be worse by so much, and no more, however little is asked against a stale pooled model
        ({"ranks_better": 0.25, "shared_window": 0.0, "roc_auc": (0.734375, 0.75)}, "activate", RANKING),
        (
            {"ranks_better": 0.25, "shared_window": 0.0, "roc_auc": (0.734375 - STEP, 0.75)},
            "hold",
            ["ranks_better", "roc_auc_worse", "brier_score_kept", "log_loss_kept"],
        ),
        ({"ranks_better": 0.25 - STEP, "shared_window": 0.0, "roc_auc": (0.5, 0.75), "fits_better": 0.0}, "hold", HELD),
        # probabilities that are surely better let in a candidate whose ranking is not surely better
        ({"fits_better": 0.75}, "activate", FITTING),
        ({"fits_better": 0.75 - STEP}, "hold", HELD),
        ({"fits_better": 1.0, "ranks_better": 0.75}, "activate", RANKING),
        ({"fits_better": 1.0, "roc_auc": (0.734375, 0.75)}, "activate", FITTING),
        (
            {"fits_better": 1.0, "roc_auc": (0.734375 - STEP, 0.75)},
            "hold",
            ["roc_auc_worse", "fits_better", "log_loss_kept"],
        ),
        (
            {"fits_better": 1.0, "log_loss": (0.5625 + STEP, 0.5)},
            "hold",
            ["roc_auc_kept", "fits_better", "log_loss_worse"],
        ),
        # how sure falls with the share of the window that the pooled model has seen
        ({"ranks_better": 0.5, "shared_window": 0.5}, "activate", RANKING),
        ({"ranks_better": 0.5 - STEP, "fits_better": 0.0, "shared_window": 0.5}, "hold", HELD),
        ({"fits_better": 0.5, "ranks_better": 0.25, "shared_window": 0.5}, "activate", FITTING),
        ({"ranks_better": 0.25, "shared_window": 0.0}, "activate", RANKING),
        ({"ranks_better": 0.25 - STEP, "fits_better": 0.0, "shared_window": 0.0}, "hold", HELD),
    ],
)
def test_a_challenger_of_the_pooled_model_must_be_surely_better_in_one_thing_and_not_much_worse_in_the_others(
    *, figures: dict[str, Any], verdict: str, codes: list[str], make_report: Report, make_comparison: Compared
) -> None:
    decision = decide(
        make_report("20260401060000", records=FEWEST_OWN_RECORDS),
        make_comparison(against=POOLED, **figures),
        None,
        POLICY,
    )
    assert (decision.verdict, _codes(decision)) == (verdict, codes)
    assert (decision.verdict == "activate") == all(reason.speaks_for for reason in decision.reasons)


def test_the_words_against_the_pooled_model_have_the_figures(make_report: Report, make_comparison: Compared) -> None:
    figures: dict[str, Any] = {"ranks_better": 0.41, "roc_auc": (0.712, 0.718), "brier_score": (0.181, 0.178)}
    figures["against"] = POOLED
    held = decide(make_report(records=FEWEST_OWN_RECORDS), make_comparison(**figures), None, POLICY)
    assert held.text == (
        "The probability that it ranks leads better than the pooled model 20260315060000, which scores the org's leads"
        " now, is 0.41 (0.75 needed); ROC-AUC 0.712 against 0.718 on the same 40 leads. Train again when new outcomes"
        " are known. Brier score 0.181 against 0.178 (it may rise by at most 0.031). Log loss 0.500 against 0.500 (it"
        " may rise by at most 0.062)."
    )
    assert [reason.figure for reason in held.reasons] == pytest.approx([0.41, -0.003, 0.0])
    assert [reason.threshold for reason in held.reasons] == [0.75, -0.03125, -0.0625]
    fits = decide(
        make_report(records=FEWEST_OWN_RECORDS),
        make_comparison(**figures, fits_better=0.875, shared_window=0.5),
        None,
        POLICY,
    )
    assert fits.text.startswith(
        "ROC-AUC 0.712 against 0.718 (it may fall by at most 0.016). The probability that it gives better probabilities"
        " than the pooled model 20260315060000, which scores the org's leads now, is 0.88 (0.50 needed, since 50% of"
        " this training window is newer than that version); Brier score 0.181 against 0.178 on the same 40 leads. Log"
    )


def test_a_ranking_that_is_too_much_worse_is_told_beside_a_stale_pooled_model(
    make_report: Report, make_comparison: Compared
) -> None:
    figures: dict[str, Any] = {"ranks_better": 0.33, "roc_auc": (0.680, 0.715), "shared_window": 0.1}
    figures["against"] = POOLED
    assert decide(make_report(records=FEWEST_OWN_RECORDS), make_comparison(**figures), None, POLICY).text.startswith(
        "The probability that it ranks leads better than the pooled model 20260315060000, which scores the org's leads"
        " now, is 0.33 (0.30 needed, since 90% of this training window is newer than that version); ROC-AUC 0.680"
        " against 0.715 on the same 40 leads. ROC-AUC 0.680 against 0.715 (it may fall by at most 0.016). It ranks"
        " leads worse; train again when new outcomes are known."
    )


@pytest.mark.parametrize(("shared_window", "is_told"), [(1.0, False), (0.996, False), (0.99, True)])
def test_that_a_part_of_the_window_is_newer_is_told_from_a_hundredth_on(
    shared_window: float, is_told: bool, make_report: Report, make_comparison: Compared
) -> None:
    comparison = make_comparison(against=POOLED, shared_window=shared_window)
    text = decide(make_report(records=FEWEST_OWN_RECORDS), comparison, None, POLICY).text
    assert ("of this training window is newer" in text) is is_told


@pytest.mark.parametrize(
    ("figures", "verdict", "code"),
    [
        ({"ranks_better": 0.975}, "activate", "ranks_better"),
        ({"ranks_better": 0.975 - STEP}, "hold", "ranks_no_better"),
        ({"fits_better": 0.975}, "activate", "fits_better"),
        ({"fits_better": 0.975 - STEP}, "hold", "ranks_no_better"),
        # however old the pooled model is
        ({"ranks_better": 0.975 - STEP, "shared_window": 0.0}, "hold", "ranks_no_better"),
    ],
)
def test_a_small_version_of_the_orgs_own_must_be_better_than_the_pooled_model_as_surely_as_can_be(
    *, figures: dict[str, Any], verdict: str, code: str, make_report: Report, make_comparison: Compared
) -> None:
    candidate, comparison = make_report(records=FEWEST_OWN_RECORDS - 1), make_comparison(against=POOLED, **figures)
    decision = decide(candidate, comparison, None, POLICY)
    assert decision.verdict == verdict
    assert code in _codes(decision)


@pytest.mark.parametrize(
    ("figures", "verdict", "code"),
    [
        ({"fits_better": 0.5}, "activate", "may_fit_better"),
        ({"fits_better": 0.5 - STEP}, "hold", "fits_no_better"),
        ({"fits_better": 0.25, "shared_window": 0.5}, "activate", "may_fit_better"),
        ({"fits_better": 0.25 - STEP, "shared_window": 0.5}, "hold", "fits_no_better"),
        # however old the pooled model is, not everything is let in
        ({"fits_better": 0.05, "shared_window": 0.0}, "activate", "may_fit_better"),
        ({"fits_better": 0.05 - STEP, "shared_window": 0.0}, "hold", "fits_no_better"),
        ({"fits_better": 1.0, "brier_score": (0.28125 + STEP, 0.25)}, "hold", "brier_score_worse"),
        ({"fits_better": 1.0, "log_loss": (0.5625 + STEP, 0.5)}, "hold", "log_loss_worse"),
        # a small holdout's ranking of a small change says nothing
        ({"fits_better": 0.5, "ranks_better": 0.0, "roc_auc": (0.5, 0.75)}, "activate", "may_fit_better"),
    ],
)
def test_a_taught_candidate_replaces_the_pooled_model_unless_its_probabilities_say_no(
    *, figures: dict[str, Any], verdict: str, code: str, make_report: Report, make_comparison: Compared
) -> None:
    comparison = msgspec.structs.replace(make_comparison(against=POOLED, **figures), is_taught=True)
    decision = decide(make_report(), comparison, None, POLICY)
    assert decision.verdict == verdict
    assert code in _codes(decision)
    assert len(decision.reasons) == 3
    assert decision.text.startswith(
        "The probability that it gives better probabilities than the pooled model 20260315060000, which scores the"
    )


def test_a_probability_that_misses_by_less_than_a_hundredth_is_told_to_where_it_misses(
    make_report: Report, make_comparison: Compared
) -> None:
    missed = decide(make_report(), make_comparison(ranks_better=0.4989), None, POLICY)
    assert missed.text.startswith(
        "The probability that it ranks leads better than the active version 20260315060000 is 0.4989 (0.5000 needed); "
    )
    assert " is 0.50 (0.50 needed); " in decide(make_report(), make_comparison(ranks_better=0.5), None, POLICY).text


def test_once_the_org_has_a_version_a_taught_candidate_is_judged_as_any_other(
    make_report: Report, make_comparison: Compared
) -> None:
    own, taught = (msgspec.structs.replace(make_comparison(), is_taught=is_taught) for is_taught in (False, True))
    assert decide(make_report(), own, None, POLICY) == decide(make_report(), taught, None, POLICY)


@pytest.mark.parametrize(("shared_window", "needed"), [(1.0, 0.75), (0.5, 0.5), (0.0, 0.25)])
def test_how_sure_falls_in_proportion_to_what_the_pooled_model_has_seen(shared_window: float, needed: float) -> None:
    assert probability_needed(shared_window, POLICY) == needed


@pytest.mark.parametrize(
    ("figures", "code", "figure", "threshold"),
    [
        ({"records": 99, "converted_records": 40}, "too_few_records", 99, 100),
        ({"records": 200, "converted_records": 0}, "one_class", 0, 1),
        ({"records": 200, "converted_records": 200}, "one_class", 200, 1),
        ({"holdout_converted_records": 2}, "too_few_converted_in_holdout", 2, 3),
        ({"holdout_converted_records": 38}, "too_few_unconverted_in_holdout", 2, 3),
    ],
)
def test_too_little_data_is_refused_however_good_the_figures(
    *, figures: dict[str, int], code: str, figure: int, threshold: int, make_report: Report, make_comparison: Compared
) -> None:
    sure = make_comparison(ranks_better=1.0, fits_better=1.0)
    for comparison, problem in ((sure, None), (sure, GONE), (None, None)):
        decision = decide(make_report(**figures), comparison, problem, POLICY)
        assert (decision.verdict, _codes(decision)) == ("refuse", [code])
        assert (decision.reasons[0].figure, decision.reasons[0].threshold) == (figure, threshold)
        assert decision.reasons[0].remedy.startswith("Train again when")


@pytest.mark.parametrize(
    "figures",
    [{"records": 100, "converted_records": 40}, {"holdout_converted_records": 3}, {"holdout_converted_records": 37}],
)
def test_just_enough_data_is_judged(figures: dict[str, int], make_report: Report, make_comparison: Compared) -> None:
    assert decide(make_report(**figures), make_comparison(ranks_better=1.0), None, POLICY).verdict == "activate"


def test_every_refusal_is_named_at_once(make_report: Report) -> None:
    candidate = make_report(
        records=5, converted_records=0, holdout_records=1, holdout_converted_records=0, roc_auc=None
    )
    assert _codes(decide(candidate, None, None, POLICY)) == [
        "too_few_records",
        "one_class",
        "too_few_converted_in_holdout",
        "too_few_unconverted_in_holdout",
    ]


@pytest.mark.parametrize(("missing", "words"), [(1, "when 1 more lead has a"), (2, "when 2 more leads have a")])
def test_a_refusal_says_how_many_leads_are_missing(missing: int, words: str, make_report: Report) -> None:
    candidate = make_report(records=100 - missing, converted_records=40)
    assert words in decide(candidate, None, None, POLICY).text


SET_ASIDE = RecordCounts(
    21, 9, 99, {"still_open": 59}, "", {"property_price below 0": 1122}, set_aside_rows=1122, lost_records=220
)
SET_ASIDE_TEXT = (
    "1,122 of 1,221 rows have property_price below 0; these rows were set aside, so 220 of 241 records were lost."
    " Correct the values in the CRM, or treat them as unknown (docs/training.md#values-outside-the-contract)."
)
UNTIMED_TEXT = (
    "223 closed leads have no usable time of closing in dossier_status_history (outcome_time_unknown)."
    " Let the CRM write it."
)


def _refused(counts: RecordCounts, make_report: Report, **figures: int) -> str:
    """Return the text of the refusal of a candidate whose records are counted so."""
    report = make_report(records=counts.records, converted_records=counts.converted_records, **figures)
    return decide(report, None, None, POLICY, causes_of(counts)).text


def test_records_lost_with_rows_set_aside_are_told_with_the_values_to_correct(make_report: Report) -> None:
    assert _refused(SET_ASIDE, make_report, holdout_records=6, holdout_converted_records=2) == (
        "21 of 100 records with a known outcome. The holdout has 2 converted leads, but 3 are needed to judge a model. "
        f"{SET_ASIDE_TEXT}"
    )


def test_a_refusal_before_the_fit_has_the_same_sentence() -> None:
    counts = msgspec.structs.replace(SET_ASIDE, excluded={}, converted_records=0)
    decision = refuse_unfittable(21, 0, 15, 0, POLICY, causes=causes_of(counts))
    assert decision is not None
    assert decision.text == (
        "21 of 100 records with a known outcome. None of 21 records converted, but a model needs leads of both"
        f" outcomes. {SET_ASIDE_TEXT}"
    )
    assert _codes(decision) == ["too_few_records", "one_class", "rows_set_aside"]
    assert (decision.reasons[2].figure, decision.reasons[2].threshold) == (220, 0)


def test_closed_leads_without_a_time_are_not_told_to_have_another_status() -> None:
    counts = RecordCounts(18, 0, 120, {"outcome_time_unknown": 223}, "")
    decision = refuse_unfittable(18, 0, 14, 0, POLICY, causes=causes_of(counts))
    assert decision is not None
    assert decision.text == (
        "18 of 100 records with a known outcome. None of 18 records converted, but a model needs leads of both"
        f" outcomes. {UNTIMED_TEXT}"
    )


def test_another_status_is_suggested_when_every_closed_lead_was_lost(make_report: Report) -> None:
    counts = RecordCounts(400, 0, 2_000, {"still_open": 40, "closed_at_creation": 5}, "")
    assert _refused(counts, make_report, holdout_records=80, holdout_converted_records=3) == (
        "None of 400 records converted, but a model needs leads of both outcomes. Train again when some leads have"
        " converted, or check CONVERSION_STATUSES. 5 leads were closed when they were created (closed_at_creation)."
        " Correct the times of creation and closing; an import often sets both to its own time."
    )


def test_conversions_in_the_holdout_alone_suggest_no_other_status(make_report: Report) -> None:
    decision = refuse_unfittable(200, 3, 160, 0, POLICY)
    assert decision is not None
    assert decision.text == (
        "None of 160 records outside the holdout converted, but a model needs leads of both outcomes. Train again when"
        " some leads have converted."
    )


@pytest.mark.parametrize(
    ("excluded", "remedy"),
    [
        ({"outcome_time_unknown": 80}, ""),
        ({"outcome_time_unknown": 79}, "Train again when 80 more leads have a known outcome"),
        ({"still_open": 500}, "Train again when 80 more leads have a known outcome"),
        ({"test_account": 500}, "Train again when 80 more leads have a known outcome"),
        ({}, "Train again when 80 more leads have a known outcome"),
    ],
)
def test_waiting_is_advised_unless_the_leads_that_are_missing_are_there(
    excluded: dict[str, int], remedy: str, make_report: Report
) -> None:
    counts = RecordCounts(20, 8, 100, excluded, "")
    decision = decide(make_report(records=20, converted_records=8), None, None, POLICY, causes_of(counts))
    assert decision.reasons[0].remedy == remedy


@pytest.mark.parametrize(("excluded", "is_named"), [({}, True), ({"still_open": 3}, False)])
def test_the_id_of_an_org_is_doubted_only_when_it_has_no_lead_at_all(excluded: dict[str, int], is_named: bool) -> None:
    decision = refuse_unfittable(0, 0, 0, 0, POLICY, causes=causes_of(RecordCounts(0, 0, 0, excluded, "")))
    assert decision is not None
    assert ("check the org's id" in decision.text) is is_named


def test_what_was_left_out_is_no_reason_where_the_data_suffices(make_report: Report, make_comparison: Compared) -> None:
    counts = msgspec.structs.replace(SET_ASIDE, records=200, converted_records=80)
    decision = decide(make_report(), make_comparison(ranks_better=1.0), None, POLICY, causes_of(counts))
    assert (decision.verdict, set(_codes(decision)) & {"rows_set_aside", "leads_excluded"}) == ("activate", set())


def test_a_champion_that_cannot_be_evaluated_is_told_and_the_base_rate_decides(
    make_report: Report, make_comparison: Compared
) -> None:
    for brier_score, verdict in ((0.125, "activate"), (0.25, "hold")):
        comparison = make_comparison(against=BASE_RATE, ranks_better=1.0, brier_score=(brier_score, 0.25))
        decision = decide(make_report(), comparison, GONE, POLICY)
        assert decision.verdict == verdict
        assert (decision.reasons[0].code, decision.reasons[0].speaks_for) == ("champion_not_evaluable", None)
        assert decision.text.startswith(
            "The active version 20260315060000 cannot be compared: its forest is damaged. The candidate is judged"
            " against the base rate instead. The probability that it ranks leads better than chance is 1.00"
        )


@pytest.mark.parametrize(("converted", "codes"), [(39, ["low_base_rate"]), (40, []), (41, [])])
def test_a_low_conversion_rate_is_a_note_and_decides_nothing(
    converted: int, codes: list[str], make_report: Report, make_comparison: Compared
) -> None:
    decision = decide(make_report(converted_records=converted), make_comparison(ranks_better=1.0), None, POLICY)
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


def test_enough_data_without_a_comparison_is_an_error_and_never_a_pass(make_report: Report) -> None:
    for problem in (None, GONE):
        with pytest.raises(ValueError, match="was not compared with a baseline; train again"):
            decide(make_report(), None, problem, POLICY)


JUNE = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days_older", "is_trial", "codes"),
    [
        (None, False, []),
        (None, True, ["only_tried"]),
        (0, False, []),
        (-1, False, []),
        (92, False, ["older_than_active"]),
        (92, True, ["only_tried", "older_than_active"]),
    ],
)
def test_a_version_is_withheld_when_it_was_only_tried_or_is_older_than_the_active_one(
    days_older: float | None, is_trial: bool, codes: list[str]
) -> None:
    active = None if days_older is None else JUNE + timedelta(days=days_older)
    assert [reason.code for reason in withheld(JUNE, active, is_trial=is_trial)] == codes


def test_why_a_version_is_withheld_is_said_in_words() -> None:
    tried, older = withheld(JUNE, JUNE + timedelta(days=92), is_trial=True)
    remedy = "Only a rollback to it, or a run with `activate_anyway` if it passed the gate, makes it active."
    assert tried.text == f"The training was asked to judge only. {remedy}"
    assert older.text == (
        f"Its data ends on 2026-06-01 00:00 UTC, before that of the active version (2026-09-01 00:00 UTC). {remedy}"
    )
    assert (older.figure, older.threshold) == (92, 0)


@pytest.mark.parametrize(
    ("verdict", "is_trial", "may"), [("activate", False, True), ("activate", True, False), ("hold", False, False)]
)
def test_only_what_passed_and_is_not_withheld_may_become_active(
    make_report: Report, verdict: Verdict, is_trial: bool, may: bool
) -> None:
    kept_back = withheld(JUNE, None, is_trial=is_trial)
    judgement = Judgement(make_report(), None, None, Decision(verdict, ()), "c0ffee", "then", None, withheld=kept_back)
    assert judgement.may_become_active is may


def test_the_policy_is_the_settings() -> None:
    settings = Settings()
    for name in Policy.__struct_fields__:
        assert getattr(policy_from(settings), name) == getattr(settings, name)
    assert policy_from(Settings(min_records=7)).min_records == 7


def test_a_judgement_reads_back_and_names_the_champion_it_was_against(
    make_report: Report, make_comparison: Compared
) -> None:
    champion, gone = make_report("20260101000000"), Unevaluable("20260201000000", "gone")
    comparison = make_comparison(shared_window=0.5, when_judged=0.75)
    decision = decide(make_report(), comparison, gone, POLICY)
    for beside, version in (((champion, None), champion.version), ((None, gone), gone.version), ((None, None), None)):
        judgement = Judgement(make_report(), *beside, decision, "c0ffee", "2026-03-15T06:00:01+00:00", None, comparison)
        assert judgement.champion_version == version
        assert msgspec.json.decode(msgspec.json.encode(judgement), type=Judgement) == judgement
