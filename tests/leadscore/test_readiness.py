"""Whether there is enough data, when there will be, and in which words; against leads that go on as the pace says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from leadscore.errors import InvalidSettings
from leadscore.outcome_forecast import PACE_DAYS, LastRun, LeadCount, OutcomeCounts
from leadscore.readiness import LONGEST_WINDOW_DAYS, Need, Readiness, assess
from leadscore.records import RecordCounts, Window
from leadscore.requirements import training_requirements
from leadscore.settings import read_settings

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
TODAY = AS_OF.date()
OLD = 400  # days; the pace is that of the last 8 weeks then


def window(training_window_days: int = 183, conversion_window_days: int = 90) -> Window:
    return Window(AS_OF, training_window_days, conversion_window_days, ("WON",), (0, 1))


def judged(counts: OutcomeCounts, *, needed: int = 100, per_class: int = 3, **changed: int) -> Readiness:
    return assess(counts, window(**changed), training_requirements(needed, per_class))


def of(readiness: Readiness, what: str) -> Need:
    (need,) = [need for need in readiness.needs if need.what == what]
    return need


def some(leads: int, days: int, *, converted: bool = False, held_out: bool = False) -> LeadCount:
    return LeadCount(leads, days, converted, held_out)


def sides(leads: int, days: int, *, converted: bool) -> tuple[LeadCount, ...]:
    """Return so many leads, a fifth of them in the holdout."""
    held_out = leads // 5
    return (
        some(held_out, days, converted=converted, held_out=True),
        some(leads - held_out, days, converted=converted),
    )


ENOUGH = (*sides(30, 150, converted=True), *sides(80, 150, converted=False))


def test_an_org_with_all_that_is_needed_is_ready_today() -> None:
    readiness = judged(OutcomeCounts(OLD, ENOUGH))
    assert (readiness.is_ready, readiness.expected_on) == (True, TODAY)
    assert [(need.what, need.have, need.needed, need.expected_on) for need in readiness.needs] == [
        ("records", 110, 100, TODAY),
        ("converted_in_holdout", 6, 3, TODAY),
        ("converted_outside_holdout", 24, 1, TODAY),
        ("unconverted_in_holdout", 16, 3, TODAY),
        ("unconverted_outside_holdout", 64, 1, TODAY),
    ]
    assert readiness.message == (
        "110 records with a known outcome (100 needed); in the holdout 6 converted and 16 unconverted leads"
        " (3 of each needed). This is enough for a training."
    )


def test_the_date_is_when_the_pace_of_the_last_weeks_makes_up_what_is_missing() -> None:
    """42 records that stay, and 6.5 a week: the other 58 take 62.46 days."""
    records = (*sides(20, 170, converted=True), *sides(22, 170, converted=False))
    arrivals = (*sides(20, 5, converted=True), *sides(32, 5, converted=False))
    readiness = judged(OutcomeCounts(OLD, records, arrivals))
    assert readiness.message == (
        "42 of 100 records with a known outcome; 6.5 become known a week (last 8 weeks),"
        " so 100 are expected about 2026-08-03."
    )
    assert readiness.expected_on == of(readiness, "records").expected_on == TODAY + timedelta(days=63)
    assert (readiness.pace.days, readiness.pace.records_per_week, readiness.pace.converted_per_week) == (56, 6.5, 2.5)


def test_of_several_needs_the_last_one_counts() -> None:
    """A conversion every second week puts one in the holdout every ten: three take thirty weeks, two of them less."""
    arrivals = (*sides(4, 5, converted=True), *sides(60, 5, converted=False))
    readiness = judged(OutcomeCounts(OLD, sides(42, 180, converted=False), arrivals), training_window_days=365)
    records, converted = of(readiness, "records"), of(readiness, "converted_in_holdout")
    assert records.expected_on is not None
    assert records.expected_on < TODAY + timedelta(weeks=8)
    assert readiness.expected_on == converted.expected_on == TODAY + timedelta(weeks=30)
    assert readiness.message == (
        "42 of 100 records with a known outcome; 8.0 become known a week (last 8 weeks), so 100 are expected about"
        " 2026-07-22. 0 of 3 converted leads in the holdout; one becomes known every 10 weeks (last 8 weeks), so 3 are"
        " expected about 2026-12-28. All requirements together are expected to be met about 2026-12-28."
    )


def test_a_pace_that_the_training_window_outruns_never_does_and_a_longer_window_is_named() -> None:
    """One a week that takes 10 days each: after half a year the first ones leave as the next ones come."""
    arrivals = (some(4, 10), some(4, 10, converted=True))
    slow = OutcomeCounts(OLD, sides(5, 100, converted=False), arrivals)
    readiness = judged(slow, per_class=1)
    assert (readiness.expected_on, of(readiness, "records").expected_on) == (None, None)
    assert readiness.message.startswith(
        "5 of 100 records with a known outcome; 1.0 become known a week (last 8 weeks), so there will never be more"
        " than 24 at a time. 0 of 1 converted leads in the holdout; one becomes known every 10 weeks (last 8"
        " weeks), so one is"
    )
    assert readiness.message.endswith(" Leads count for only 183 days; TRAINING_WINDOW_DAYS=710 would be long enough.")
    assert of(judged(slow, training_window_days=710), "records").expected_on is not None
    assert of(judged(slow, training_window_days=709), "records").expected_on is None


def test_where_no_window_is_long_enough_none_is_named() -> None:
    readiness = judged(OutcomeCounts(OLD, (), (some(1, 10),)))
    assert readiness.message.endswith(
        " Leads count for only 183 days, and no TRAINING_WINDOW_DAYS would be long enough."
    )


def test_the_longest_window_is_the_settings() -> None:
    assert read_settings({"TRAINING_WINDOW_DAYS": str(LONGEST_WINDOW_DAYS)}).training_window_days == LONGEST_WINDOW_DAYS
    with pytest.raises(InvalidSettings):
        read_settings({"TRAINING_WINDOW_DAYS": str(LONGEST_WINDOW_DAYS + 1)})


def test_what_is_there_but_leaves_does_not_count_for_ever() -> None:
    """95 records leave in ten days, and one comes in a day: 100 are reached before, or 183 days' worth is."""
    arrivals = (*sides(28, 5, converted=True), *sides(28, 5, converted=False))
    soon = OutcomeCounts(OLD, (some(95, 10),), arrivals)
    assert of(judged(soon), "records").expected_on == TODAY + timedelta(days=5)
    assert of(judged(soon, needed=110), "records").expected_on == TODAY + timedelta(days=110)


def test_a_need_that_lapses_before_the_others_are_met_is_waited_for_again() -> None:
    """110 records leave in 40 days, when the third conversion is not there yet."""
    arrivals = (*sides(10, 5, converted=True), *sides(46, 5, converted=False))
    readiness = judged(OutcomeCounts(OLD, sides(110, 40, converted=False), arrivals))
    assert of(readiness, "records").expected_on == TODAY
    assert of(readiness, "converted_in_holdout").expected_on == TODAY + timedelta(days=84)
    assert readiness.expected_on == TODAY + timedelta(days=100)
    assert readiness.message.endswith(
        "so 3 are expected about 2026-08-24. All requirements together are expected to be met about 2026-09-09."
    )


def test_needs_that_are_met_one_after_the_other_but_never_at_once_have_no_date() -> None:
    arrivals = (*sides(10, 5, converted=True), *sides(6, 5, converted=False))
    readiness = judged(OutcomeCounts(OLD, sides(110, 40, converted=False), arrivals))
    assert all(need.expected_on for need in readiness.needs)
    assert readiness.expected_on is None
    assert readiness.message.endswith(
        " At this pace the requirements are never all met at the same time. Leads count for only 183 days;"
        " TRAINING_WINDOW_DAYS=355 would be long enough."
    )


def test_without_outcomes_lately_there_is_no_date() -> None:
    readiness = judged(OutcomeCounts(OLD, sides(42, 100, converted=True)))
    assert readiness.expected_on is None
    assert readiness.message == (
        "42 of 100 records with a known outcome; no lead's outcome became known in the last 8 weeks,"
        " so no date can be given."
    )


def test_without_conversions_lately_that_is_what_is_said() -> None:
    readiness = judged(OutcomeCounts(OLD, sides(200, 150, converted=False), sides(80, 5, converted=False)))
    assert readiness.expected_on is None
    assert readiness.message == (
        "0 of 3 converted leads in the holdout; no lead converted in the last 8 weeks, so no date can be given."
    )


def test_an_org_that_is_not_known_has_no_leads() -> None:
    readiness = judged(OutcomeCounts(None))
    assert (
        readiness.message == "0 of 100 records with a known outcome; the org has no leads yet, so no date can be given."
    )
    assert (readiness.expected_on, readiness.pace.records_per_week) == (None, 0)


@pytest.mark.parametrize(("age_days", "pace_days"), [(0, 7), (6, 7), (21, 21), (55, 55), (56, 56), (OLD, 56)])
def test_a_young_orgs_pace_is_measured_since_its_first_lead(age_days: int, pace_days: int) -> None:
    readiness = judged(OutcomeCounts(age_days, (), sides(10, 1, converted=True)))
    assert readiness.pace.days == pace_days
    assert readiness.pace.records_per_week == round(70 / pace_days, 2)
    assert (f"(last {pace_days} days)" in readiness.message) is (pace_days < PACE_DAYS)


def test_a_young_orgs_pace_still_rises_so_its_date_may_come_sooner() -> None:
    arrivals = (*sides(20, 1, converted=True), *sides(20, 1, converted=False))
    readiness = judged(OutcomeCounts(28, sides(40, 160, converted=False), arrivals))
    assert of(readiness, "records").message == (
        "40 of 100 records with a known outcome; 10.0 become known a week (last 28 days), so 100 are expected about"
        " 2026-07-13 or sooner, since the pace of so young an org is still rising"
    )
    older = judged(OutcomeCounts(90, sides(40, 160, converted=False), arrivals))
    assert "sooner" not in older.message


def test_a_young_org_is_not_told_that_it_never_will_do() -> None:
    """Most of its leads are still open, and say nothing of how many outcomes a week there will be."""
    readiness = judged(OutcomeCounts(28, (some(4, 160),), (some(4, 1),)))
    assert of(readiness, "records").message == (
        "4 of 100 records with a known outcome; 1.0 become known a week (last 28 days); no date can be given yet, since"
        " the pace of so young an org is still rising"
    )
    assert "TRAINING_WINDOW_DAYS" not in readiness.message


def test_open_leads_are_certain_by_the_end_of_their_conversion_window() -> None:
    counts = OutcomeCounts(20, open_leads=(some(60, 70), some(50, 75)))
    need = of(judged(counts), "records")
    assert need.expected_on == TODAY + timedelta(days=75)
    assert need.message == (
        "0 of 100 records with a known outcome; 110 open leads will have an outcome within the conversion window,"
        " so 100 are certain by 2026-08-15"
    )


def test_open_leads_that_leave_the_window_before_their_outcome_are_never_records() -> None:
    counts = OutcomeCounts(20, open_leads=(some(200, 30),))
    assert of(judged(counts, training_window_days=90), "records").expected_on is None
    assert of(judged(counts, training_window_days=91), "records").expected_on == TODAY + timedelta(days=30)


def test_the_plan_stands_behind_a_refusal_with_its_time() -> None:
    readiness = judged(OutcomeCounts(None))
    assert readiness.added_to("Too little.") == f"Too little. As of 2026-06-01: {readiness.message}"


def last_run(records: int, lost_records: int, *, rows: int, **set_aside: int) -> LastRun:
    """Return a run of 2026-05-15 that set so many rows aside, each for one reason."""
    reasons = {reason.replace("__", " "): count for reason, count in set_aside.items()}
    aside = sum(reasons.values())
    counts = RecordCounts(
        records, 9, rows - aside, {}, "", reasons, "f00d", set_aside_rows=aside, lost_records=lost_records
    )
    return LastRun(datetime(2026, 5, 15, 23, tzinfo=UTC), counts)


def test_an_org_whose_last_run_lost_too_many_records_is_not_ready_though_it_has_enough() -> None:
    run = last_run(21, 220, rows=1221, property_price__below__0=1122)
    readiness = judged(OutcomeCounts(OLD, ENOUGH, last_run=run))
    assert (readiness.is_ready, readiness.has_enough, readiness.expected_on) == (False, True, None)
    assert [need.expected_on for need in readiness.needs] == [TODAY] * 5
    assert readiness.message == (
        "110 records with a known outcome would be enough, but in the last run, of 2026-05-15, 1,122 of 1,221 rows had"
        " property_price below 0, and 21 of 241 records were left (100 needed). Correct the values in the CRM, or treat"
        " them as unknown (docs/training.md#values-outside-the-contract); then train again; the run checks the values"
        " again."
    )
    assert readiness.added_to("Refused.") == "Refused."


@pytest.mark.parametrize(
    ("records", "lost_records", "is_ready"), [(99, 1, False), (100, 1, True), (98, 1, True), (99, 0, True)]
)
def test_the_last_run_is_an_obstacle_only_where_it_had_enough_records_and_lost_them(
    records: int, lost_records: int, is_ready: bool
) -> None:
    run = last_run(records, lost_records, rows=1000, x__unknown=10)
    readiness = judged(OutcomeCounts(OLD, ENOUGH, last_run=run))
    assert (readiness.is_ready, readiness.has_enough) == (is_ready, True)


@pytest.mark.parametrize(("rows", "is_named"), [(10, False), (11, True)])
def test_rows_that_the_last_run_set_aside_are_named_when_they_are_more_than_a_hundredth(
    rows: int, is_named: bool
) -> None:
    run = last_run(110, 1, rows=1000, property_price__below__0=rows)
    readiness = judged(OutcomeCounts(OLD, ENOUGH, last_run=run))
    note = (
        f" In the last run, of 2026-05-15, {rows} of 1,000 rows had property_price below 0; these rows were set aside."
    )
    assert readiness.message == judged(OutcomeCounts(OLD, ENOUGH)).message + (note if is_named else "")
    assert (readiness.is_ready, readiness.last_run) == (True, run)
    assert "last run" not in readiness.added_to("Refused.")


def test_an_org_with_too_few_leads_has_its_plan_and_the_note() -> None:
    run = last_run(30, 10, rows=200, property_price__below__0=50)
    readiness = judged(OutcomeCounts(OLD, (some(40, 10),), last_run=run))
    assert (readiness.is_ready, readiness.has_enough) == (False, False)
    assert readiness.message.startswith("40 of 100 records with a known outcome; ")
    assert readiness.message.endswith(
        " In the last run, of 2026-05-15, 50 of 200 rows had property_price below 0; these rows were set aside."
    )
    assert readiness.added_to("Refused.") == f"Refused. As of 2026-06-01: {readiness.plan}"


def test_an_org_with_too_few_leads_has_the_remedies_for_those_that_its_last_run_excluded() -> None:
    excluded = {"outcome_time_unknown": 223, "still_open": 59}
    run = LastRun(datetime(2026, 5, 15, 2, tzinfo=UTC), RecordCounts(18, 0, 120, excluded, ""))
    readiness = judged(OutcomeCounts(OLD, (some(18, 10),), last_run=run))
    assert readiness.message == (
        f"{readiness.plan} The last run, of 2026-05-15, found that 223 closed leads have no usable time of closing in"
        " dossier_status_history (outcome_time_unknown). Let the CRM write it."
    )
    assert readiness.added_to("Refused.") == f"Refused. As of 2026-06-01: {readiness.plan}"
    assert readiness.added_to("Not ready.", is_of_a_run=False) == f"Not ready. As of 2026-06-01: {readiness.message}"
    assert judged(OutcomeCounts(OLD, ENOUGH, last_run=run)).message == judged(OutcomeCounts(OLD, ENOUGH)).message


def test_an_org_without_leads_has_no_last_run() -> None:
    assert judged(OutcomeCounts(None, last_run=last_run(1, 1, rows=9, x__unknown=1))) == judged(OutcomeCounts(None))


groups = st.builds(
    LeadCount,
    leads=st.integers(1, 60),
    days=st.integers(0, 200),
    is_converted=st.booleans(),
    is_held_out=st.booleans(),
)
counts = st.builds(
    OutcomeCounts,
    age_days=st.integers(0, 300),
    records=st.lists(groups.filter(lambda group: 1 <= group.days <= 183), max_size=6).map(tuple),
    arrivals=st.lists(groups, max_size=6).map(tuple),
    open_leads=st.lists(groups.filter(lambda group: 1 <= group.days <= 90), max_size=3).map(tuple),
)


@settings(deadline=None)
@given(counts)
def test_an_org_is_ready_exactly_when_every_need_is_met(org: OutcomeCounts) -> None:
    readiness = judged(org)
    assert readiness.is_ready == all(need.have >= need.needed for need in readiness.needs)
    assert of(readiness, "records").have == sum(group.leads for group in org.records)
    for need in readiness.needs:
        assert (need.expected_on == TODAY) == (need.have >= need.needed)


@settings(deadline=None)
@given(counts)
def test_no_date_is_in_the_past_and_the_whole_is_not_before_its_parts(org: OutcomeCounts) -> None:
    readiness = judged(org)
    days = [need.expected_on for need in readiness.needs]
    if readiness.expected_on is None:
        assert not readiness.is_ready
    else:
        assert None not in days
        assert max(day for day in days if day) <= readiness.expected_on
        assert (readiness.expected_on == TODAY) == readiness.is_ready
    assert all(TODAY <= day <= TODAY + timedelta(days=183) for day in days if day)


@settings(deadline=None)
@given(counts, st.integers(2, 5))
def test_a_quicker_pace_is_never_later(org: OutcomeCounts, times: int) -> None:
    quicker_arrivals = tuple(
        LeadCount(group.leads * times, group.days, group.is_converted, group.is_held_out) for group in org.arrivals
    )
    quicker = judged(OutcomeCounts(org.age_days, org.records, quicker_arrivals, org.open_leads))
    slow = judged(org)
    for before, after in zip((*slow.needs, slow), (*quicker.needs, quicker), strict=True):
        assert (after.expected_on or date.max) <= (before.expected_on or date.max)


@dataclass(frozen=True)
class SteadyOrg:
    """An org with a lead every `interval` days since `began` days ago, whose outcome takes `delay` days each."""

    interval: float
    began: int
    delay: int
    window_days: int

    def created(self, until: int) -> list[float]:
        """Return when the leads up to day `until` came, in days from now."""
        return [-self.began + nth * self.interval for nth in range(int((self.began + until) / self.interval) + 1)]

    def records_on(self, day: int) -> int:
        """Return how many records there really are on a day."""
        return sum(at + self.delay <= day < at + self.window_days for at in self.created(day))

    def counts(self) -> OutcomeCounts:
        """Return what the database counts now."""
        known = [at for at in self.created(0) if at + self.delay <= 0]
        return OutcomeCounts(
            age_days=self.began,
            records=tuple(some(1, math.ceil(at + self.window_days)) for at in known if at + self.window_days > 0),
            arrivals=tuple(some(1, self.delay) for at in known if at + self.delay > -PACE_DAYS),
            open_leads=tuple(
                some(1, math.ceil(at + 90)) for at in self.created(0) if at + self.delay > 0 and at + 90 > 0
            ),
        )


@settings(deadline=None)
@given(
    interval=st.sampled_from([0.25, 0.5, 1, 2, 4, 7, 14]),
    delay=st.integers(0, 90),
    extra=st.integers(0, 400),
    window_days=st.integers(91, 900),
    needed=st.integers(1, 400),
)
def test_leads_that_go_on_at_the_pace_reach_the_need_at_the_date(
    interval: float, delay: int, extra: int, window_days: int, needed: int
) -> None:
    """To a week, or to one lead where they come more seldom."""
    org = SteadyOrg(interval, began=delay + PACE_DAYS + extra, delay=delay, window_days=window_days)
    assume(org.records_on(0) < needed)
    in_the_long_run = (window_days - delay) / interval
    assume(abs(in_the_long_run - needed) > 2)
    expected = of(judged(org.counts(), needed=needed, training_window_days=window_days), "records").expected_on
    assert (expected is not None) == (in_the_long_run > needed)
    if expected is not None:
        told, slack = (expected - TODAY).days, math.ceil(max(7, interval))
        assert org.records_on(told + slack) >= needed
        assert told <= slack or org.records_on(told - slack) < needed
