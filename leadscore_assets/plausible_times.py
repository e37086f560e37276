"""Signs that some of the CRM's times are in another zone than CRM_TIME_ZONE, from when leads were first answered.

When the messages' times are ahead of the leads', nobody seems to be answered in the first hours. When they are behind,
leads seem to be answered before they exist. When only some are, the answers begin anew at a whole number of half hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from leadscore_assets.source.answer_lags import MOST_HOURS, STEP_MINUTES

CHECK = "plausible_times"
FEWEST_ANSWERS = 50
STEPS_PER_HOUR = 60 // STEP_MINUTES
# none of the 400 ordinary orgs that the tests simulate has such a pause
FEWEST_AFTER_A_PAUSE = 20
LARGEST_SHARE_IN_A_PAUSE = 0.25
LARGEST_EARLY_SHARE = 0.01
SMALLEST_NEXT_SHARE = 0.1

Lags = Mapping[int, int]


def zone_signs(lags: Lags) -> list[str]:
    """Return in sentences what suggests another zone; `lags` has the leads by STEP_MINUTES until the first answer."""
    answers = sum(lags.values())
    if answers < FEWEST_ANSWERS:
        return []
    return [*_before_creation(lags, answers), *_nobody_at_first(lags, answers), *_begin_anew(lags)]


def _before_creation(lags: Lags, answers: int) -> Iterator[str]:
    before = sum(leads for step, leads in lags.items() if step < 0)
    if before > answers / 2:
        yield f"{before:,} of {answers:,} leads were first answered before they were created"


def _nobody_at_first(lags: Lags, answers: int) -> Iterator[str]:
    """Yield the longest number of whole hours in which hardly anybody was answered, but many in the hour after."""
    for hours in range(MOST_HOURS - 1, 0, -1):
        early = _between(lags, 0, hours * STEPS_PER_HOUR)
        following = _between(lags, hours * STEPS_PER_HOUR, (hours + 1) * STEPS_PER_HOUR)
        if early <= LARGEST_EARLY_SHARE * answers and following >= SMALLEST_NEXT_SHARE * answers:
            span = "hour" if hours == 1 else f"{hours} hours"
            yield f"{early} of {answers:,} leads were answered in the first {span}, and {following:,} in the next hour"
            return


def _begin_anew(lags: Lags) -> Iterator[str]:
    for step in range(-MOST_HOURS * STEPS_PER_HOUR, MOST_HOURS * STEPS_PER_HOUR, STEPS_PER_HOUR // 2):
        pause, following = lags.get(step - 1, 0), lags.get(step, 0)
        if step and following >= FEWEST_AFTER_A_PAUSE and pause <= LARGEST_SHARE_IN_A_PAUSE * following:
            minutes = abs(step) * STEP_MINUTES
            when = "after" if step > 0 else "before"
            yield (
                f"{following:,} leads were first answered in the quarter of an hour that begins {minutes} minutes"
                f" {when} their creation, and {pause:,} in the quarter before it"
            )


def _between(lags: Lags, first: int, end: int) -> int:
    return sum(leads for step, leads in lags.items() if first <= step < end)
