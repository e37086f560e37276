"""When leads were first answered: one step of 15 minutes per lead, before its creation too."""

from __future__ import annotations

from datetime import timedelta

import pytest

from leadscore.errors import SourceMismatch
from leadscore_assets.source.answer_lags import answer_lags
from tests.leadscore_assets.source.hand_made_crm import ORG, Crm, day, window


def test_each_lead_counts_in_the_step_of_its_first_answer(crm: Crm) -> None:
    for minutes in (-60.5, -0.1, 0, 14.9, 15, 899):
        lead = crm.lead(day(50))
        for direction in ("INBOUND", "OUTBOUND", "OUTBOUND"):
            crm.message(lead, day(50) + timedelta(minutes=minutes + 300 * (direction == "INBOUND")), direction)
        crm.message(lead, day(50) + timedelta(minutes=minutes + 1), "OUTBOUND")
    assert answer_lags(crm.connection, ORG, window()) == {-5: 1, -1: 1, 0: 2, 1: 1, 59: 1}


def test_what_is_too_far_off_unanswered_or_out_of_the_window_does_not_count(crm: Crm) -> None:
    for created_at, hours in ((day(50), -16), (day(50), 16), (day(200), 1), (day(-1), 1)):
        crm.message(crm.lead(created_at), created_at + timedelta(hours=hours), "OUTBOUND")
    crm.lead(day(50))
    crm.message(crm.lead(day(50), org_id="south"), day(50), "OUTBOUND", org_id="south")
    assert answer_lags(crm.connection, ORG, window()) == {}


def test_messages_in_another_zone_are_seen_as_such(own_crm: Crm) -> None:
    """Leads have a zone of their own, messages are written in Paris: by UTC two hours late, by the setting in time."""
    lead = own_crm.lead(day(10))
    own_crm.message(lead, day(10) + timedelta(hours=2, minutes=20), "OUTBOUND")
    own_crm.connection.execute(
        "ALTER TABLE dossier ALTER created_at TYPE timestamptz USING created_at AT TIME ZONE 'UTC'"
    )
    assert answer_lags(own_crm.connection, ORG, window()) == {9: 1}
    assert answer_lags(own_crm.connection, ORG, window(crm_time_zone="Europe/Paris")) == {1: 1}


def test_a_table_that_is_missing_is_named(own_crm: Crm) -> None:
    own_crm.connection.execute("DROP TABLE message")
    with pytest.raises(SourceMismatch, match=r"comparing the times of the answers: .*message"):
        answer_lags(own_crm.connection, ORG, window())
