"""Which leads are records, what their label is, and at which landmarks they give a row."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.leadscore_assets.source.hand_made_crm import AS_OF, MICROSECOND, Crm, day

CREATED = day(150)


def labels(crm: Crm, lead: str, **changed: object) -> set[int]:
    return {row["converted"] for row in crm.rows(lead, **changed).values()}


def test_a_lead_that_was_won_in_time_converted(crm: Crm) -> None:
    lead = crm.lead(CREATED, ("QUALIFIED", day(149)), ("WON", day(140)))
    assert labels(crm, lead) == {1}


def test_a_lead_that_was_lost_did_not_convert(crm: Crm) -> None:
    lead = crm.lead(day(20), ("LOST", day(10)))
    assert labels(crm, lead) == {0}


@pytest.mark.parametrize(("after_window", "expected"), [(-MICROSECOND, 1), (timedelta(0), 1), (MICROSECOND, 0)])
def test_a_conversion_counts_up_to_the_very_end_of_its_window(crm: Crm, after_window: timedelta, expected: int) -> None:
    lead = crm.lead(CREATED, ("WON", CREATED + timedelta(days=90) + after_window))
    assert labels(crm, lead) == {expected}


def test_a_lead_won_after_its_window_was_open_at_every_landmark(crm: Crm) -> None:
    lead = crm.lead(CREATED, ("WON", CREATED + timedelta(days=120)))
    assert list(crm.rows(lead)) == [0, 1, 3, 7, 14, 30, 60]


@pytest.mark.parametrize(("age", "excluded"), [(90, {}), (89.99, {"still_open": 1})])
def test_an_open_lead_is_a_record_once_its_window_is_over(crm: Crm, age: float, excluded: dict[str, int]) -> None:
    crm.lead(day(age))
    counts = crm.extract().counts
    assert (counts.excluded, counts.records) == (excluded, 1 - sum(excluded.values()))


def test_what_was_closed_after_as_of_was_still_open(crm: Crm) -> None:
    crm.lead(day(20), ("WON", AS_OF + MICROSECOND))
    assert crm.extract().counts.excluded == {"still_open": 1}


def test_a_closing_at_as_of_itself_is_known(crm: Crm) -> None:
    lead = crm.lead(day(20), ("WON", AS_OF))
    assert labels(crm, lead) == {1}


def test_a_closed_lead_without_a_closing_in_its_history_is_no_record(crm: Crm) -> None:
    crm.lead(CREATED, ("QUALIFIED", day(149)), status="WON")
    crm.lead(CREATED, status="LOST")
    assert crm.extract().counts.excluded == {"outcome_time_unknown": 2}


def test_a_lead_closed_at_its_creation_was_never_open(crm: Crm) -> None:
    crm.lead(CREATED, ("WON", CREATED))
    counts = crm.extract().counts
    assert (counts.excluded, counts.records, counts.rows) == ({"closed_at_creation": 1}, 0, 0)


def test_a_lead_whose_only_closing_lies_before_its_creation_closed_at_an_unknown_time(crm: Crm) -> None:
    crm.lead(CREATED, ("WON", CREATED - MICROSECOND))
    crm.lead(CREATED, ("LOST", CREATED - timedelta(days=5)))
    assert crm.extract().counts.excluded == {"outcome_time_unknown": 2}


def test_a_lead_that_was_open_at_no_landmark_is_counted_apart(crm: Crm) -> None:
    crm.lead(CREATED, ("LOST", CREATED + timedelta(days=7)))
    crm.lead(CREATED, ("LOST", CREATED + timedelta(days=7) + MICROSECOND))
    counts = crm.extract(landmark_days=(7, 14)).counts
    assert (counts.excluded, counts.records, counts.rows) == ({"open_at_no_landmark": 1}, 1, 1)


@pytest.mark.parametrize(("closed_after_days", "landmarks"), [(3, [0, 1]), (3.001, [0, 1, 3]), (0.5, [0])])
def test_a_record_gives_a_row_at_each_landmark_before_its_closing(
    crm: Crm, closed_after_days: float, landmarks: list[int]
) -> None:
    lead = crm.lead(CREATED, ("LOST", CREATED + timedelta(days=closed_after_days)))
    assert list(crm.rows(lead)) == landmarks


def test_no_landmark_is_after_as_of(crm: Crm) -> None:
    lead = crm.lead(day(10))
    assert list(crm.rows(lead, conversion_window_days=5)) == [0, 1, 3, 7]


@pytest.mark.parametrize(
    ("created_at", "is_in"),
    [(day(183), False), (day(183) + MICROSECOND, True), (AS_OF, True), (AS_OF + MICROSECOND, False)],
)
def test_the_training_window_excludes_its_start_and_includes_its_end(crm: Crm, created_at, is_in: bool) -> None:
    crm.lead(created_at)
    counts = crm.extract().counts
    assert counts.records + sum(counts.excluded.values()) == is_in


def test_other_statuses_can_be_the_conversion(crm: Crm) -> None:
    qualified = crm.lead(CREATED, ("QUALIFIED", day(145)), ("LOST", day(140)))
    won = crm.lead(CREATED, ("WON", day(145)))
    statuses = {"conversion_statuses": ("QUALIFIED", "APPOINTMENT"), "conversion_is_final": True}
    assert (labels(crm, qualified, **statuses), labels(crm, won, **statuses)) == ({1}, {0})


def test_a_status_that_no_setting_names_leaves_a_lead_open(crm: Crm) -> None:
    lead = crm.lead(CREATED, ("WON", day(145)))
    assert list(crm.rows(lead, conversion_statuses=("SIGNED",))) == [0, 1, 3, 7, 14, 30, 60]


def test_counts_are_of_leads_and_rows(crm: Crm) -> None:
    crm.lead(CREATED, ("WON", CREATED + timedelta(days=2)))
    crm.lead(CREATED, ("LOST", CREATED + timedelta(days=4)))
    crm.lead(day(5))
    crm.lead(CREATED, status="LOST")
    counts = crm.extract().counts
    assert (counts.records, counts.converted_records, counts.rows) == (2, 1, 5)
    assert counts.excluded == {"outcome_time_unknown": 1, "still_open": 1}


def test_another_orgs_history_of_the_same_lead_does_not_count(crm: Crm) -> None:
    lead = crm.lead(CREATED)
    crm.move(lead, "WON", day(140), org_id="south")
    assert labels(crm, lead) == {0}


def test_an_org_without_leads_has_no_records(crm: Crm) -> None:
    crm.lead(CREATED)
    records = crm.extract(org_id="nobody")
    assert (len(records.rows), records.counts.records, records.counts.excluded) == (0, 0, {})
