"""Moments and figures are said in the same words on every page."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import get_args

import pytest

from leadscore.gate import Verdict
from leadscore.registry.org_state import OrgState
from serving.dependencies.call_list import Trend
from serving.pages import words

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=119), "119 minutes ago"),
        (timedelta(hours=2), "2 hours ago"),
        (timedelta(hours=47), "47 hours ago"),
        (timedelta(days=6, hours=23), "6 days ago"),
        (timedelta(days=119), "119 days ago"),
        (timedelta(days=122), "4 months ago"),
        (timedelta(days=730), "2 years ago"),
    ],
)
def test_an_age_is_said_in_one_unit(age: timedelta, said: str) -> None:
    assert words.ago(NOW - age, NOW) == said


def test_days_and_minutes_are_those_of_utc() -> None:
    moment = datetime(2026, 6, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert (words.day(moment), words.minute(moment)) == ("31 May 2026", "31 May 2026, 23:30 UTC")
    assert words.day(date(2026, 6, 1)) == "1 Jun 2026"
    assert words.moment("2026-06-01T12:00:00+00:00") == NOW


def test_figures_are_short_and_signed() -> None:
    assert (words.percent(0.426), words.count(3424)) == ("43%", "3,424")
    assert [words.points(difference) for difference in (0.06, -0.084, 0.004, -0.004)] == [
        "+6",
        f"{words.MINUS}8",
        "±0",
        "±0",
    ]
    assert [words.counted(number, "leads") for number in (0, 1, 3424)] == ["0 leads", "1 lead", "3,424 leads"]


def test_what_is_not_there_is_a_dash() -> None:
    assert {words.ago(None, NOW), words.day(None), words.minute(None), words.percent(None), words.count(None)} == {
        words.NONE
    }
    assert words.points(None) == ""


def test_every_state_verdict_and_trend_has_words() -> None:
    assert words.STATES.keys() == set(get_args(OrgState))
    assert words.VERDICTS.keys() == set(get_args(Verdict))
    assert words.TRENDS.keys() == words.ARROWS.keys() == set(get_args(Trend))
