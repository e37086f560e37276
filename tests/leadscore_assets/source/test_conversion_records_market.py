"""The market activity score: the org's new leads in the 30 whole days before a landmark, against its usual 30 days."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.leadscore_assets.source.hand_made_crm import Crm, day

MORNING = timedelta(hours=8)


def scored(crm: Crm, age: float = 100, **changed: object) -> float:
    """Insert a lead that was open at its creation alone; return its score there."""
    lead = crm.lead(day(age) + MORNING, ("LOST", day(age) + 2 * MORNING))
    return crm.values(lead, "market_activity_score", **changed)[0]


def new_leads(crm: Crm, age: float, count: int = 1, **values: str) -> None:
    for _ in range(count):
        crm.lead(day(age) + MORNING, **values)


def test_an_orgs_first_lead_sees_the_usual(crm: Crm) -> None:
    assert scored(crm) == 50


@pytest.mark.parametrize(("history_days", "expected"), [(29, 50), (30, 50), (60, 0)])
def test_a_history_of_under_thirty_days_says_nothing(crm: Crm, history_days: int, expected: float) -> None:
    new_leads(crm, 100 + history_days, 3)
    assert scored(crm) == expected


def test_the_score_is_the_recent_rate_over_the_usual_rate(crm: Crm) -> None:
    new_leads(crm, 160, 3)
    new_leads(crm, 101, 1)
    # 1 lead in 30 days, against 4 in 60 days, which is 2 in 30.
    assert scored(crm) == 25


def test_twice_the_usual_is_the_most(crm: Crm) -> None:
    new_leads(crm, 200, 2)
    new_leads(crm, 110, 9)
    assert scored(crm) == 100


@pytest.mark.parametrize(("age", "counts"), [(131, False), (130, True), (101, True), (100, False), (99, False)])
def test_the_recent_days_are_the_thirty_before_the_landmarks_day(crm: Crm, age: int, counts: bool) -> None:
    new_leads(crm, 220, 4)
    new_leads(crm, age)
    assert (scored(crm) > 0) == counts


@pytest.mark.parametrize(("age", "past_leads"), [(465, 33), (466, 31)])
def test_the_usual_looks_back_a_year_at_most(crm: Crm, age: int, past_leads: int) -> None:
    new_leads(crm, 480, 2)
    new_leads(crm, age, 2)
    new_leads(crm, 300, 30)
    new_leads(crm, 110)
    assert scored(crm) == pytest.approx(50 / 30 / (past_leads / 365))


@pytest.mark.parametrize(("age", "expected"), [(495, 50 / 30 / (3 / 365)), (496, 50 / 30 / (3 / 50))])
def test_a_history_of_a_year_began_up_to_thirty_days_before_it(crm: Crm, age: int, expected: float) -> None:
    """So an org with leads in every month has a whole year of history, and what is older has no say."""
    new_leads(crm, age, 2)
    new_leads(crm, 150, 2)
    new_leads(crm, 110)
    assert scored(crm) == pytest.approx(min(100, expected))


def steady(crm: Crm) -> float:
    """Make a lead every five days for 60 days before the one that is scored; return its score."""
    for age in range(105, 165, 5):
        new_leads(crm, age)
    return scored(crm)


@pytest.mark.parametrize("age", [350, 500, 9_000, 30_000])
def test_one_early_lead_does_not_set_the_length_of_an_orgs_history(crm: Crm, age: int) -> None:
    """Of 30 days with 6 leads, against 12 in 60 days; the early one counts where it is in the last year."""
    new_leads(crm, age)
    usual_leads = 13 if age < 465 else 12
    assert steady(crm) == pytest.approx(50 * 6 / 30 / (usual_leads / 60))


@pytest.mark.parametrize(("days_later", "expected"), [(29, 50 / 30 / (2 / 59)), (30, 50)])
def test_a_history_begins_with_a_lead_that_another_follows_in_less_than_thirty_days(
    crm: Crm, days_later: int, expected: float
) -> None:
    new_leads(crm, 159)
    new_leads(crm, 159 - days_later)
    assert scored(crm) == pytest.approx(expected)


def test_an_org_that_was_silent_for_a_year_sees_the_usual(crm: Crm) -> None:
    new_leads(crm, 600, 5)
    assert scored(crm) == 50


def test_the_training_windows_first_lead_after_a_silent_month_sees_nothing(crm: Crm) -> None:
    new_leads(crm, 300, 5)
    assert scored(crm, age=182) == 0


def test_each_landmark_has_its_own_score(crm: Crm) -> None:
    new_leads(crm, 160, 3)
    lead = crm.lead(day(100) + MORNING, ("LOST", day(90)))
    new_leads(crm, 95, 2)
    # At age 7 (day 93): 3 leads in 30 days, against 6 in 67.
    assert crm.values(lead, "market_activity_score") == pytest.approx(
        [0, 50 / 30 / (4 / 61), 50 / 30 / (4 / 63), 55.8333333]
    )


def test_other_orgs_leads_and_leads_after_as_of_do_not_count(crm: Crm) -> None:
    new_leads(crm, 160, 3)
    new_leads(crm, 101, 2, org_id="south")
    new_leads(crm, -1, 2)
    assert scored(crm) == 0
