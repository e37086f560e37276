"""What each feature is at a landmark: exact numbers, and the events that must not count."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from leadscore.features import CONTRACT
from tests.leadscore_assets.source.hand_made_crm import MICROSECOND, ORG, Crm, day

CREATED = day(150)


def after(days: float) -> timedelta:
    return CREATED + timedelta(days=days)


@pytest.fixture
def lead(crm: Crm) -> str:
    """Give a lead that was open at the landmarks 0, 1, 3 and 7."""
    return crm.lead(CREATED, ("LOST", after(10)))


def test_a_lead_without_any_event_has_its_plain_values(crm: Crm, lead: str) -> None:
    row = crm.rows(lead)[7]
    unanswered = row.pop("response_time_minutes")
    assert math.isnan(unanswered)
    assert row == {
        "lead_id": lead,
        "created_on": CREATED.date().isoformat(),
        "landmark_days": 7,
        "converted": 0,
        "lead_source_score": 10,
        "inbound_messages_count": 0,
        "outbound_messages_count": 0,
        "appointments_count": 0,
        "has_property": 0,
        "property_price": 0,
        "property_has_photos": 0,
        "engagement_rate": 0,
        "days_since_creation": 7,
        "market_activity_score": 50,
    }


def test_messages_are_counted_by_direction_up_to_each_landmark(crm: Crm, lead: str) -> None:
    for days in (-1, 0, 0.5, 2, 5):
        crm.message(lead, after(days))
    for days in (0.1, 2.5, 6):
        crm.message(lead, after(days), "OUTBOUND")
    assert crm.values(lead, "inbound_messages_count") == [2, 3, 4, 5]
    assert crm.values(lead, "outbound_messages_count") == [0, 1, 2, 3]
    assert crm.values(lead, "engagement_rate") == [0, 3, 2, 5 / 3]


def test_an_event_at_the_landmark_counts_and_one_a_microsecond_later_does_not(crm: Crm, lead: str) -> None:
    crm.message(lead, after(3))
    crm.message(lead, after(3) + MICROSECOND)
    crm.appointment(lead, after(3))
    crm.appointment(lead, after(3) + MICROSECOND)
    assert crm.values(lead, "inbound_messages_count") == [0, 0, 1, 2]
    assert crm.values(lead, "appointments_count") == [0, 0, 1, 2]


def test_the_response_time_is_that_of_the_first_answer_known_by_then(crm: Crm, lead: str) -> None:
    crm.message(lead, after(-0.5), "OUTBOUND")
    crm.message(lead, after(0.5))
    crm.message(lead, after(2), "OUTBOUND")
    crm.message(lead, after(5), "OUTBOUND")
    times = crm.values(lead, "response_time_minutes")
    assert all(map(math.isnan, times[:2]))
    assert times[2:] == [2880, 2880]


def test_an_answer_at_the_creation_itself_took_no_time(crm: Crm, lead: str) -> None:
    crm.message(lead, CREATED, "OUTBOUND")
    crm.message(lead, after(0) + timedelta(seconds=90), "OUTBOUND")
    assert crm.values(lead, "response_time_minutes") == [0, 0, 0, 0]


def test_a_cancelled_appointment_counts_until_it_was_cancelled(crm: Crm, lead: str) -> None:
    crm.appointment(lead, after(0.5), "CANCELLED", after(3))
    assert crm.values(lead, "appointments_count") == [0, 1, 0, 0]


def test_a_cancellation_without_a_time_is_never_known(crm: Crm, lead: str) -> None:
    crm.appointment(lead, after(0.5), "CANCELLED")
    assert crm.values(lead, "appointments_count") == [0, 1, 1, 1]


def test_an_update_that_cancels_nothing_takes_no_appointment_away(crm: Crm, lead: str) -> None:
    crm.appointment(lead, after(0.5), "COMPLETED", after(2))
    assert crm.values(lead, "appointments_count") == [0, 1, 1, 1]


@pytest.mark.parametrize(("status", "updated_at"), [("SCHEDULED", None), ("CANCELLED", after(2))])
def test_an_appointment_booked_at_no_known_time_never_counts(crm: Crm, lead: str, status: str, updated_at) -> None:
    crm.appointment(lead, None, status, updated_at)
    assert crm.values(lead, "appointments_count") == [0, 0, 0, 0]


def test_messages_and_appointments_do_not_multiply(crm: Crm, lead: str) -> None:
    for minute in range(5):
        crm.message(lead, after(0.5) + timedelta(minutes=minute))
        crm.appointment(lead, after(0.5))
    assert crm.rows(lead)[1]["inbound_messages_count"] == 5
    assert crm.rows(lead)[1]["appointments_count"] == 5


def test_the_source_score_is_the_crms(crm: Crm, lead: str) -> None:
    crm.insert("lead_score", org_id=ORG, dossier_id=int(lead), source_score=25)
    assert crm.values(lead, "lead_source_score") == [25] * 4


def test_an_empty_source_score_is_as_none(crm: Crm, lead: str) -> None:
    crm.insert("lead_score", org_id=ORG, dossier_id=int(lead), source_score=None)
    assert crm.values(lead, "lead_source_score") == [10] * 4


def test_a_listing_counts_once_it_exists(crm: Crm) -> None:
    listing = crm.listing(price=250000.5, photos_json='["a.jpg"]', created_at=after(1))
    lead = crm.lead(CREATED, ("LOST", after(5)), annonce_id=listing)
    assert crm.values(lead, "has_property") == [0, 1, 1]
    assert crm.values(lead, "property_price") == [0, 250000.5, 250000.5]
    assert crm.values(lead, "property_has_photos") == [0, 1, 1]


def test_a_listing_of_unknown_age_always_existed_and_no_price_is_none(crm: Crm) -> None:
    lead = crm.lead(CREATED, ("LOST", after(1)), annonce_id=crm.listing())
    row = crm.rows(lead)[0]
    assert (row["has_property"], row["property_price"], row["property_has_photos"]) == (1, 0, 0)


PHOTOS = {
    '["a.jpg"]': 1,
    ' [ {"url": "a.jpg"} ] ': 1,
    "[]": 0,
    " [ ] ": 0,
    "null": 0,
    '{"a": 1}': 0,
    '"[a]"': 0,
    "7": 0,
    None: 0,
}


@pytest.mark.parametrize("column_type", ["jsonb", "json", "text"])
def test_photos_of_any_shape_fail_no_org(own_crm: Crm, column_type: str) -> None:
    own_crm.connection.execute(
        f"ALTER TABLE annonce ALTER photos_json TYPE {column_type} USING photos_json::{column_type}"
    )
    expected = {}
    for photos, has_photos in PHOTOS.items():
        listing = own_crm.listing(photos_json=photos)
        expected[own_crm.lead(CREATED, ("LOST", after(1)), annonce_id=listing)] = has_photos
    rows = own_crm.extract().rows
    assert dict(zip(rows["lead_id"], rows["property_has_photos"], strict=True)) == expected


def test_another_orgs_events_listings_and_scores_of_the_same_lead_do_not_count(crm: Crm) -> None:
    lead = crm.lead(CREATED, ("LOST", after(10)), annonce_id=crm.listing(org_id="south", price=1000))
    before = crm.extract().rows
    crm.message(lead, after(0.5), org_id="south")
    crm.message(lead, after(0.5), "OUTBOUND", org_id="south")
    crm.appointment(lead, after(0.5), org_id="south")
    crm.insert("lead_score", org_id="south", dossier_id=int(lead), source_score=25)
    assert crm.values(lead, "has_property") == [0] * 4
    assert before.equals(crm.extract().rows)


def test_every_feature_is_within_the_contract_on_ordinary_leads(crm: Crm, lead: str) -> None:
    crm.message(lead, after(0.5))
    crm.message(lead, after(0.6), "OUTBOUND")
    rows = crm.extract().rows
    assert CONTRACT.bad_rows({name: rows[name].to_numpy() for name in CONTRACT.names}) == {}


def test_rows_are_ordered_by_creation_then_id_then_landmark(crm: Crm) -> None:
    late = crm.lead(after(1), ("LOST", after(3)))
    tied = [crm.lead(CREATED, ("LOST", after(0.5))) for _ in range(12)]
    rows = crm.extract().rows
    assert list(rows["lead_id"]) == [*tied, late, late]
    assert list(rows["landmark_days"])[-2:] == [0, 1]
