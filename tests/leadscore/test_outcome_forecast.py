"""How many leads there will be on each day: those that stay, those that come at the pace, those that are certain."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from leadscore.outcome_forecast import PACE_DAYS, LeadCount, LeadFilter, OutcomeCounts, counts_query, course
from leadscore.records import Window

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
WINDOW = Window(AS_OF, 10, 4, ("WON",), (0, 1))
WON_HELD_OUT, WON = LeadCount(1, 2, is_converted=True, is_held_out=True), LeadCount(3, 5, True, False)
LOST_HELD_OUT, LOST = LeadCount(4, 2, False, True), LeadCount(9, 7, False, False)
EVERY_KIND = (WON_HELD_OUT, WON, LOST_HELD_OUT, LOST)


def test_the_databases_time_is_utc_without_a_zone() -> None:
    elsewhere = AS_OF.astimezone(tz=datetime.strptime("+0500", "%z").tzinfo)
    query, arguments = counts_query("acme", Window(elsewhere, 183, 90, ("WON", "SOLD"), (7, 14)))
    assert query.count("%s") == len(arguments)
    rules = [["WON", "SOLD"], ["LOST"], False, [7, 14], "UTC"]
    assert arguments == ["acme", datetime(2026, 6, 1), 183, 90, *rules, PACE_DAYS]


@pytest.mark.parametrize(
    ("leads", "of_outcome", "of_both", "share"),
    [
        (LeadFilter(), EVERY_KIND, EVERY_KIND, 1),
        (LeadFilter(is_converted=True), (WON_HELD_OUT, WON), (WON_HELD_OUT, WON), 1),
        (LeadFilter(is_held_out=True), EVERY_KIND, (WON_HELD_OUT, LOST_HELD_OUT), 0.2),
        (LeadFilter(is_converted=False, is_held_out=False), (LOST_HELD_OUT, LOST), (LOST,), 0.8),
    ],
)
def test_a_filter_lets_through_its_outcome_and_its_side(
    leads: LeadFilter, of_outcome: tuple[LeadCount, ...], of_both: tuple[LeadCount, ...], share: float
) -> None:
    """What arrives is counted on both sides, and shared out: the hash puts a fifth of new leads in the holdout."""
    assert (tuple(leads.of_outcome(EVERY_KIND)), tuple(leads.of_both(EVERY_KIND))) == (of_outcome, of_both)
    assert leads.share == pytest.approx(share)


def test_records_leave_on_their_day_and_what_never_leaves_the_window_stays_to_its_end() -> None:
    records = (LeadCount(5, 3, is_converted=True, is_held_out=False), LeadCount(2, 99, False, False))
    expected = course(LeadFilter(), OutcomeCounts(400, records), WINDOW)
    assert expected.have == 7
    assert expected.at_least.tolist() == [7, 7, 7, *[2] * 8]
    assert expected.by_pace.tolist() == expected.at_least.tolist()
    assert (expected.leads_per_day, expected.mean_days, expected.window_days_for(1)) == (0, None, None)


def test_outcomes_come_in_at_the_pace_and_count_until_the_window_has_passed_since_creation() -> None:
    """One lead a day whose outcome takes 7 days counts for the other 3 of 10: at most 3 of them at a time."""
    counts = OutcomeCounts(400, arrivals=(LeadCount(PACE_DAYS, 7, is_converted=True, is_held_out=False),))
    expected = course(LeadFilter(), counts, WINDOW)
    assert expected.by_pace == pytest.approx([0, 1, 2, *[3] * 8])
    assert expected.at_least.tolist() == [0] * 11
    assert (expected.leads_per_day, expected.mean_days) == (pytest.approx(1), 7)
    assert (expected.first_days(3), expected.first_days(4)) == ((3, None), (None, None))
    assert expected.is_met(3).tolist() == [False] * 3 + [True] * 8
    assert expected.window_days_for(20) == 27


def test_one_side_of_the_split_gets_its_share_of_what_comes() -> None:
    counts = OutcomeCounts(400, arrivals=(LeadCount(PACE_DAYS, 0, is_converted=True, is_held_out=False),))
    held_out = course(LeadFilter(is_held_out=True), counts, WINDOW)
    assert held_out.by_pace[-1] == pytest.approx(0.2 * 10)
    assert held_out.leads_per_day == pytest.approx(0.2)


def test_open_leads_are_certain_from_the_end_of_their_conversion_window_until_they_leave() -> None:
    """Known by day 2 at the latest, a lead was created 2 days ago, and leaves the window of 10 days on day 8."""
    counts = OutcomeCounts(400, open_leads=(LeadCount(6, 2, is_converted=False, is_held_out=False),))
    assert course(LeadFilter(), counts, WINDOW).at_least.tolist() == [0, 0, *[6] * 6, 0, 0, 0]
    assert course(LeadFilter(is_converted=True), counts, WINDOW).at_least.tolist() == [0] * 11


@pytest.mark.parametrize(("age_days", "pace_days"), [(None, 56), (0, 7), (6, 7), (21, 21), (56, 56), (400, 56)])
def test_the_pace_is_measured_over_eight_weeks_or_a_younger_orgs_life(age_days: int | None, pace_days: int) -> None:
    assert OutcomeCounts(age_days).pace_days == pace_days
