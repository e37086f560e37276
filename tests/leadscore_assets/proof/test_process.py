"""The process goes on from day to day, alarms once, and begins anew with the leads that come after its alarm."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec
import numpy as np
import pytest

from leadscore_assets.proof.evidence import ALARM_LOG_E, SaidRows
from leadscore_assets.proof.process import Cohort, Process

DAY, FIRST, WINDOW_DAYS = timedelta(days=1), date(2026, 1, 1), 90


def cohorts(days: int, *, rate: float, said: float = 0.3, first: date = FIRST, leads: int = 10) -> list[Cohort]:
    """Return cohorts of which `said` was said to convert, and `rate` did."""
    rng = np.random.default_rng(days)
    every = np.arange(leads)
    return [
        Cohort(
            first + day * DAY,
            SaidRows(every, np.zeros(leads, int), np.full(leads, said), rng.random(leads) < rate),
        )
        for day in range(days)
    ]


def test_it_is_the_same_from_day_to_day_and_at_once_and_stored_between() -> None:
    days = cohorts(60, rate=0.2)
    process = Process()
    for day in days:
        process = msgspec.json.decode(msgspec.json.encode(process.advanced([day], WINDOW_DAYS)), type=Process)
    assert process == Process().advanced(days, WINDOW_DAYS)


def test_promises_that_come_true_raise_no_alarm() -> None:
    process = Process().advanced(cohorts(400, rate=0.3), WINDOW_DAYS)
    assert (process.alarm, process.leads) == (None, 4_000)
    assert process.log_mean_capital < 0


@pytest.mark.parametrize(("rate", "fault"), [(0.1, "too_high"), (0.6, "too_low")])
def test_an_alarm_says_what_is_wrong_and_since_when(rate: float, fault: str) -> None:
    fine = cohorts(100, rate=0.3)
    process = Process().advanced([*fine, *cohorts(60, rate=rate, first=FIRST + 100 * DAY)], WINDOW_DAYS)
    assert process.alarm is not None
    assert process.alarm.fault == fault
    assert process.alarm.since is not None
    assert abs(process.alarm.since - (FIRST + 100 * DAY)) < 15 * DAY
    assert process.alarmed_on is not None
    assert process.alarmed_on > process.alarm.since + WINDOW_DAYS * DAY


def test_after_an_alarm_only_leads_that_come_later_count() -> None:
    process = Process().advanced(cohorts(60, rate=0.1), WINDOW_DAYS)
    assert process.alarmed_on is not None
    before = [day for day in cohorts(365, rate=0.1) if day.created_on <= process.alarmed_on][60:]
    waiting = process.advanced(before, WINDOW_DAYS)
    assert (waiting.leads, waiting.alarm, waiting.through) == (0, process.alarm, process.alarmed_on)
    later = waiting.advanced(cohorts(40, rate=0.3, first=process.alarmed_on + DAY), WINDOW_DAYS)
    assert (later.leads, later.alarm) == (400, process.alarm)
    assert later.log_mean_capital < ALARM_LOG_E


def test_a_version_has_one_alarm_and_goes_on() -> None:
    process = Process().advanced(cohorts(120, rate=0.1), WINDOW_DAYS, restarts=False)
    assert process.leads == 1_200
    assert process.alarm is not None
    assert process.alarm.leads < 600


def test_the_rate_of_false_alarms_is_bounded_by_the_stakes() -> None:
    """2,000 orgs whose promises are off by as much as is allowed, for a year each: at most 2 a thousand, on average."""
    rng = np.random.default_rng(11)
    every, said = np.arange(60), np.full(60, 0.3)
    truth = 1 / (1 + np.exp(-(np.log(0.3 / 0.7) - 0.25)))
    alarms = 0
    for _ in range(2_000):
        months = [
            Cohort(date(2026, month, 1), SaidRows(every, np.zeros(60, int), said, rng.random(60) < truth))
            for month in range(1, 13)
        ]
        alarms += Process().advanced(months, WINDOW_DAYS).alarm is not None
    assert alarms <= 10


def test_how_many_rows_a_lead_has_moves_no_bet() -> None:
    """All outcomes of a first lead, each with its probability: a converted one has one row, another two.

    At the first row 0.3 converts; who is still open at the second never does, and that is what was said.
    """
    expected = 0.0
    for is_converted, chance in ((True, 0.3), (False, 0.7)):
        said = np.array([0.3] if is_converted else [0.3, 1e-4])
        rows = SaidRows(np.zeros(len(said), int), np.arange(len(said)), said, np.array([is_converted]))
        expected += chance * np.exp(Process().advanced([Cohort(FIRST, rows)], WINDOW_DAYS).log_mean_capital)
    assert expected <= 1 + 1e-9
