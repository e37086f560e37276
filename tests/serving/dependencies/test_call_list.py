"""The call list as the database gives it; tests/serving/api/test_leads.py asks for it over HTTP."""

from __future__ import annotations

from datetime import timedelta

import pytest

from serving.dependencies.call_list import MAX_LEAD_ID_LENGTH, MOST_HISTORY, CallList, is_lead_id, place_of
from serving.services import build_services
from tests.serving.crm_of_leads import Crm
from tests.serving.scored_leads import SCORED_AT, Lead, Scores


@pytest.fixture
def call_list(scores: Scores) -> CallList:
    return build_services(scores.settings).call_list


def test_the_grades_and_trends_of_all_leads_are_counted(crm: Crm) -> None:
    call_list = build_services(crm.settings).call_list
    leads = [Lead("a", 0.9, "A"), Lead("b", 0.8, "A", "improving"), Lead("c", 0.2, "C", "declining")]
    Scores(crm.settings).scored("acme", leads)
    Scores(crm.settings).scored("other", [Lead("a", 0.9, "B")])
    counts = call_list.counts("acme")
    assert counts.grades == {"A": 2, "C": 1}
    assert counts.trends == {"steady": 1, "improving": 1, "declining": 1}
    assert call_list.counts("unheard-of").grades == {}


def test_equal_probabilities_are_told_apart_by_age_and_then_by_id(call_list: CallList, scores: Scores) -> None:
    older = SCORED_AT - timedelta(days=11, microseconds=1)
    leads = [Lead("z", 0.5), Lead("b", 0.5, created_at=older), Lead("a", 0.5, created_at=older), Lead("y", 1 / 3)]
    scores.scored("acme", leads)
    whole = call_list.page("acme", most=9)
    assert whole is not None
    assert [entry.lead_id for entry in whole.leads] == ["z", "a", "b", "y"]
    for place, entry in enumerate(whole.leads):
        rest = call_list.page("acme", most=9, after=place_of(entry))
        assert rest is not None
        assert rest.leads == whole.leads[place + 1 :]


def test_an_org_that_was_never_scored_has_no_page_and_a_lead_without_a_score_is_none(
    call_list: CallList, scores: Scores
) -> None:
    assert (call_list.page("acme", most=1), call_list.lead("acme", "a")) == (None, None)
    scores.scored("acme")
    found = call_list.lead("acme", "a")
    assert found is not None
    assert (found.lead, found.scored_as_of) == (None, SCORED_AT)


def test_only_the_last_scoring_counts(call_list: CallList, scores: Scores) -> None:
    scores.scored("acme", [Lead("a", 0.5)], at=SCORED_AT - timedelta(days=1))
    scores.scored("acme", [Lead("a", 0.75)])
    page = call_list.page("acme", most=9)
    assert page is not None
    assert (page.scored_as_of, [entry.conversion_probability for entry in page.leads]) == (SCORED_AT, [0.75])


def test_a_long_history_ends_with_its_newest_entries(call_list: CallList, scores: Scores) -> None:
    scores.scored("acme", [Lead("a", 0.5)])
    for days in range(MOST_HISTORY + 2):
        scores.said("acme", "a", SCORED_AT - timedelta(hours=days))
    found = call_list.lead("acme", "a")
    assert found is not None
    assert found.lead is not None
    moments = [said.said_at for said in found.lead.history]
    assert moments == [SCORED_AT - timedelta(hours=hours) for hours in range(MOST_HISTORY)]


@pytest.mark.parametrize(("text", "is_one"), [("7", True), ("", False), ("a\0", False), ("x" * 128, True)])
def test_an_id_is_a_text_that_a_database_can_hold(text: str, is_one: bool) -> None:
    assert is_lead_id(text) == is_one
    assert not is_lead_id("x" * (MAX_LEAD_ID_LENGTH + 1))
