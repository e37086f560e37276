"""The times of the first answers tell a wrong zone, and an ordinary org's do not."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore_assets.plausible_times import zone_signs
from leadscore_assets.source.answer_lags import MOST_HOURS, STEP_MINUTES


def lags(minutes: np.ndarray) -> dict[int, int]:
    """Return the leads by step, as the database counts them."""
    steps, leads = np.unique(np.floor(minutes / STEP_MINUTES).astype(int), return_counts=True)
    return {
        int(step): int(count)
        for step, count in zip(steps, leads, strict=True)
        if abs(step * STEP_MINUTES) <= MOST_HOURS * 60
    }


def answers(seed: int, leads: int = 300, mean_minutes: float = 200) -> np.ndarray:
    return np.random.default_rng(seed).exponential(mean_minutes, leads)


@pytest.mark.parametrize("mean_minutes", [10, 60, 200, 600])
def test_of_a_hundred_ordinary_orgs_none_is_suspected(mean_minutes: float) -> None:
    """Half of them with a night between: those who write in the evening are answered in the morning."""
    for seed in range(100):
        minutes = answers(seed, mean_minutes=mean_minutes)
        night = np.random.default_rng(seed).uniform(480, 840, 300)
        with_nights = np.where(np.arange(300) % 3 == 0, night, minutes) if seed % 2 else minutes
        assert zone_signs(lags(with_nights)) == []


@pytest.mark.parametrize("hours", [1, 2, 8])
def test_messages_ahead_of_the_leads_leave_the_first_hours_without_answers(hours: int) -> None:
    minutes = answers(1) + 60 * hours
    following = int((minutes < 60 * (hours + 1)).sum())
    span = "hour" if hours == 1 else f"{hours} hours"
    answered = sum(lags(minutes).values())
    [sign, *more] = zone_signs(lags(minutes))
    assert sign == f"0 of {answered} leads were answered in the first {span}, and {following} in the next hour"
    assert all(f"begins {60 * hours} minutes after their creation" in other for other in more)


def test_messages_behind_the_leads_answer_them_before_they_exist() -> None:
    minutes = answers(2) - 360
    before, answered = int((minutes < 0).sum()), sum(lags(minutes).values())
    assert zone_signs(lags(minutes))[0] == f"{before} of {answered} leads were first answered before they were created"


@pytest.mark.parametrize(("hours", "when"), [(-2, "120 minutes before"), (5.5, "330 minutes after")])
def test_where_only_some_messages_are_of_another_zone_the_answers_begin_anew(hours: float, when: str) -> None:
    quick = answers(3, mean_minutes=20)
    minutes = quick + np.where(np.arange(300) % 3 == 0, 60 * hours, 0)
    [sign] = zone_signs(lags(minutes))
    assert f"leads were first answered in the quarter of an hour that begins {when} their creation, and 0 in" in sign


@pytest.mark.parametrize(("leads", "is_told"), [(49, False), (50, True)])
def test_a_few_answers_tell_nothing(leads: int, is_told: bool) -> None:
    assert bool(zone_signs(lags(answers(4, leads=leads) * 0 + 90))) == is_told
