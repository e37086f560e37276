"""What a training needs is stated once: the gate refuses, and readiness is missing, exactly what falls short of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadscore.evaluation import EvaluationReport
from leadscore.gate import Decision, decide, policy_from, refuse_unfittable
from leadscore.outcome_forecast import LeadCount, LeadFilter, OutcomeCounts
from leadscore.readiness import Need, Readiness, assess
from leadscore.records import Window
from leadscore.requirements import SplitCounts, requirement_of_records, training_requirements
from leadscore.settings import Settings

Report = Callable[..., EvaluationReport]

POLICY = policy_from(Settings(min_records=20, min_holdout_per_class=3))
WINDOW = Window(datetime(2026, 6, 1, tzinfo=UTC), 183, 90, ("WON",), (0, 1))
NEVER_OUT_OF_THE_WINDOW = 183
EMPTY = {"converted_in": 0, "unconverted_in": 0, "converted_outside": 0, "unconverted_outside": 0}


def counts_of(groups: dict[str, int]) -> SplitCounts:
    converted = groups["converted_in"] + groups["converted_outside"]
    held_out = groups["converted_in"] + groups["unconverted_in"]
    return SplitCounts(sum(groups.values()), converted, held_out, groups["converted_in"])


def readiness_of(groups: dict[str, int]) -> Readiness:
    records = tuple(
        LeadCount(leads, NEVER_OUT_OF_THE_WINDOW, group.startswith("converted"), group.endswith("in"))
        for group, leads in groups.items()
        if leads
    )
    return assess(OutcomeCounts(400, records), WINDOW, POLICY.requirements)


def refusal_of(groups: dict[str, int], make_report: Report) -> Decision | None:
    """Return what a training of these records is refused with: before the fit or, after it, at the judgement."""
    counts = counts_of(groups)
    outside = (groups["converted_outside"] + groups["unconverted_outside"], groups["converted_outside"])
    before_the_fit = refuse_unfittable(counts.records, counts.converted_records, *outside, POLICY)
    if before_the_fit:
        return before_the_fit
    candidate = make_report(
        records=counts.records,
        converted_records=counts.converted_records,
        holdout_records=counts.holdout_records,
        holdout_converted_records=counts.holdout_converted_records,
    )
    try:
        return decide(candidate, None, None, POLICY)
    except ValueError:  # there is enough data to compare
        return None


def test_the_requirements_are_the_number_of_records_and_both_outcomes_on_both_sides_of_the_split() -> None:
    stated = [(each.name, each.needed) for each in training_requirements(100, 3)]
    assert stated == [
        ("records", 100),
        ("converted_in_holdout", 3),
        ("converted_outside_holdout", 1),
        ("unconverted_in_holdout", 3),
        ("unconverted_outside_holdout", 1),
    ]
    assert requirement_of_records(training_requirements(100, 3)).needed == 100


def test_counts_are_told_apart_by_outcome_and_side() -> None:
    counts = counts_of({"converted_in": 1, "unconverted_in": 2, "converted_outside": 4, "unconverted_outside": 8})
    assert [
        counts.of(LeadFilter(is_converted, is_held_out))
        for is_converted in (None, True, False)
        for is_held_out in (None, True, False)
    ] == [15, 3, 12, 5, 1, 4, 10, 2, 8]


@given(st.fixed_dictionaries({group: st.integers(0, 8) for group in EMPTY}))
def test_an_org_is_ready_exactly_when_the_gate_does_not_refuse_its_data(
    make_report: Report, groups: dict[str, int]
) -> None:
    readiness, refusal = readiness_of(groups), refusal_of(groups, make_report)
    assert readiness.is_ready == (refusal is None)
    unmet = [need for need in readiness.needs if need.have < need.needed]
    codes = {reason.code for reason in refusal.reasons} if refusal else set()
    assert codes <= {code for need in unmet for code in codes_of(need)}


def codes_of(need: Need) -> set[str]:
    is_about_fitting = need.what.endswith("outside_holdout")
    return {"one_class", "one_class_in_training"} if is_about_fitting else {f"too_few_{need.what}"}


@pytest.mark.parametrize("missing", ["converted_outside", "unconverted_outside"])
def test_a_judgement_refuses_data_of_one_class_outside_the_holdout_as_a_fit_does(
    missing: str, make_report: Report
) -> None:
    counts = counts_of(
        {"converted_in": 9, "unconverted_in": 9, "converted_outside": 9, "unconverted_outside": 9} | {missing: 0}
    )
    candidate = make_report(
        records=counts.records,
        converted_records=counts.converted_records,
        holdout_records=counts.holdout_records,
        holdout_converted_records=counts.holdout_converted_records,
    )
    assert [reason.code for reason in decide(candidate, None, None, POLICY).reasons] == ["one_class_in_training"]
