"""Open leads: those that no status had closed by `as_of`, by the rule that makes records of the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest

from leadscore_assets.source.open_leads import open_leads
from tests.leadscore_assets.source.hand_made_crm import AS_OF, MICROSECOND, ORG, Crm, day


def _open(crm: Crm, **changed: object) -> set[str]:
    return set(open_leads(replace(crm.settings, as_of=AS_OF.replace(tzinfo=UTC), **changed), ORG, 100))


@pytest.mark.parametrize("status", ["WON", "LOST"])
def test_a_lead_is_open_until_the_moment_at_which_it_closes(crm: Crm, status: str) -> None:
    crm.lead(day(10), (status, AS_OF))
    later = crm.lead(day(10), (status, AS_OF + MICROSECOND))
    moved = crm.lead(day(10), ("QUALIFIED", day(5)))
    assert _open(crm) == {later, moved}


def test_a_status_that_the_settings_call_a_conversion_closes_a_lead_too(crm: Crm) -> None:
    booked = crm.lead(day(10), ("APPOINTMENT", day(5)))
    assert _open(crm) == {booked}
    assert _open(crm, conversion_statuses=("APPOINTMENT",)) == set()


def test_a_lead_that_is_older_than_the_conversion_window_is_still_open(crm: Crm) -> None:
    old = crm.lead(day(150))
    assert _open(crm, conversion_window_days=90) == {old}


def test_a_lead_that_closed_without_history_and_one_of_another_org_are_left_out(crm: Crm) -> None:
    crm.lead(day(10), status="WON")
    crm.lead(day(10), org_id="south")
    assert _open(crm) == set()


def test_the_time_may_be_written_in_any_zone(crm: Crm) -> None:
    crm.lead(day(10), ("WON", AS_OF))
    later = crm.lead(day(10), ("WON", AS_OF + MICROSECOND))
    elsewhere = AS_OF.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=5)))
    assert set(open_leads(replace(crm.settings, as_of=elsewhere), ORG, 100)) == {later}


def test_the_newest_are_kept_and_unknown_features_are_none(crm: Crm) -> None:
    crm.lead(day(20))
    newest = crm.lead(day(10))
    [(lead_id, features)] = open_leads(replace(crm.settings, as_of=AS_OF.replace(tzinfo=UTC)), ORG, 1).items()
    assert lead_id == newest
    assert features["response_time_minutes"] is None
    assert features["days_since_creation"] == 7
