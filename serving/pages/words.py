"""Says moments, ages and figures in words, in the same way on every page."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from leadscore.live_performance import LiveState
from leadscore.org_warnings import OrgWarning
from leadscore.registry.org_state import OrgState

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
ARROWS = {"improving": "↑", "steady": "→", "declining": "↓", "not_enough_history": "·"}
TRENDS = {
    "improving": "improving",
    "steady": "steady",
    "declining": "declining",
    "not_enough_history": "too new for a trend",
}
STATES: dict[OrgState, str] = {
    "active": "active",
    "pooled": "pooled",
    "no_model": "no model",
    "withdrawn": "withdrawn",
    "damaged": "damaged",
}
# not those that the list says in a column of their own: the last verdict, and the data that is missing
ORG_WARNINGS: dict[OrgWarning, str] = {
    "training_overdue": "not trained for long",
    "training_failed": "training failed",
    "scores_overdue": "scores overdue",
}
WARNING_REMEDIES: dict[OrgWarning, str] = {
    "training_overdue": "The org has enough data, but none of the last two scheduled trainings reached it. The log of"
    " the schedule's last tick in Dagster says why it was left out; train the org by hand.",
    "training_failed": "The last training failed, so the version from before goes on. Its run in Dagster says why, and"
    " what to do.",
    "scores_overdue": "The open leads were not scored when they were due. Look at the last run of score_open_leads in"
    " Dagster, then materialize lead_scores.",
}
LIVE_STATES: dict[LiveState, str] = {
    "fine": "fine",
    "alarm": "alarm",
    "too_young": "too young",
    "no_scores": NONE,
}
VERDICTS = {"activate": "passed", "hold": "held", "refuse": "refused"}
_SPANS = ((timedelta(days=730), timedelta(days=365), "years"), (timedelta(days=120), timedelta(days=30.4), "months"))
_SHORT_SPANS = ((timedelta(hours=48), timedelta(days=1), "days"), (timedelta(hours=2), timedelta(hours=1), "hours"))


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a moment was, such as "6 days ago"; a dash for none."""
    if moment is None:
        return NONE
    age = now - moment
    for least, unit, name in (*_SPANS, *_SHORT_SPANS):
        if age >= least:
            return f"{age // unit} {name} ago"
    minutes = max(0, age // timedelta(minutes=1))
    return "just now" if minutes == 0 else f"{counted(minutes, 'minutes')} ago"


def moment(text: str) -> datetime:
    """Return the moment that a stored text names."""
    return datetime.fromisoformat(text)


def day(moment: date | datetime | None) -> str:
    """Return the day (UTC) of a moment, such as "29 Nov 2026"; a dash for none."""
    if moment is None:
        return NONE
    utc = moment.astimezone(UTC) if isinstance(moment, datetime) else moment
    return f"{utc.day} {utc:%b %Y}"


def minute(moment: datetime | None) -> str:
    """Return a moment to the minute (UTC), such as "29 Nov 2026, 06:00 UTC"; a dash for none."""
    return NONE if moment is None else f"{day(moment)}, {moment.astimezone(UTC):%H:%M} UTC"


def percent(share: float | None) -> str:
    """Return a share such as 43%; a dash for none."""
    return NONE if share is None else f"{share:.0%}"


def points(difference: float | None) -> str:
    """Return a difference of shares in points of 100 with its sign, such as +6; empty for none."""
    if difference is None:
        return ""
    rounded = round(100 * difference)
    return "±0" if rounded == 0 else f"{rounded:+}".replace("-", MINUS)


def count(number: int | None) -> str:
    """Return a number such as 3,424; a dash for none."""
    return NONE if number is None else f"{number:,}"


def counted(number: int, things: str) -> str:
    """Return a number of things, such as "1 lead" or "3,424 leads"."""
    return f"{number:,} {things.removesuffix('s') if number == 1 else things}"


FILTERS = {function.__name__: function for function in (ago, moment, day, minute, percent, points, count, counted)}
