"""Scores and trainings are due some time after the schedule's last time, or its last but one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from leadscore.settings import Settings
from leadscore_assets.deadlines import deadlines, last_tick, next_tick, scores_due_since

DAILY = Settings(score_schedule="0 5 * * *", retrain_schedule="0 2 1 * *")


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-06-02T06:59", "2026-06-01T05:00"),
        ("2026-06-02T07:00", "2026-06-02T05:00"),
        ("2026-06-02T23:00", "2026-06-02T05:00"),
    ],
)
def test_scores_are_due_two_hours_after_their_time(now: str, due: str) -> None:
    assert scores_due_since(DAILY, moment(now)) == moment(due)


def test_nothing_is_due_after_a_time_that_is_set() -> None:
    """With AS_OF, no newer scores can be made."""
    fixed = replace(DAILY, as_of=moment("2026-03-15T00:00"))
    assert scores_due_since(fixed, moment("2026-06-02T12:00")) == moment("2026-03-15T00:00")


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-06-01T03:59", "2026-04-01T02:00"),
        ("2026-06-01T04:00", "2026-05-01T02:00"),
        ("2026-06-30T23:00", "2026-05-01T02:00"),
    ],
)
def test_a_training_is_overdue_once_the_schedule_has_passed_it_by_twice(now: str, due: str) -> None:
    assert deadlines(DAILY, moment(now)).trainings == moment(due)


def test_the_last_time_is_at_or_before_a_moment_and_the_next_one_behind_it() -> None:
    noon = moment("2026-06-02T12:00")
    assert last_tick("0 12 * * *", noon) == noon
    assert last_tick("0 12 * * *", noon, 3) == moment("2026-05-31T12:00")
    assert next_tick("0 12 * * *", noon) == moment("2026-06-03T12:00")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
