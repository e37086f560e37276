"""Times in the files of a CRM: ISO 8601 alone, with an offset from UTC or without one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo

from leadscore.records import crm_time

REMEDY = "only ISO 8601 is read, such as 2026-03-15 06:00:00"
COMES_TWICE = "comes twice in CRM_TIME_ZONE, as the clocks change; set CRM_TIME_ZONE=UTC, which needs no offset"
SHOWN_CHARS = 40

_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII)
# the first form that fits says why the time is refused
_REASONS = (
    (_ISO, "has a date, a time of day or an offset that does not exist"),
    (re.compile(r"\d\d?[/.-]\d\d?[/.-]\d\d(?:\d\d)?\b.*", re.ASCII), "may have the day or the month first"),
    (re.compile(r"[+-]?\d+(?:[.,]\d+)?", re.ASCII), "is a number, as Excel stores times"),
    (
        re.compile(r"\d{4}-\d\d-\d\d[ T][\d:.]+ ?[A-Za-z][\w/+-]*", re.ASCII),
        "ends in a word, where only an offset such as +02:00 can stand",
    ),
    (re.compile(r"[+-]?[A-Za-z]+", re.ASCII), "is a word"),
)


def stored_time(text: str, zone: tzinfo) -> str | None:
    """Return the time as PostgreSQL stores it without a zone; None when it is not ISO 8601 or not in the calendar.

    A time with an offset becomes the local time of `zone`; one without stays as it is written.
    """
    text = text.strip()
    if not _ISO.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return text if moment.tzinfo is None else _local(moment, zone)
    except (ValueError, OverflowError):
        return None


def _is_a_moment(text: str) -> bool:
    try:
        return _ISO.fullmatch(text) is not None and datetime.fromisoformat(text).astimezone(UTC) is not None
    except (ValueError, OverflowError):
        return False


def _local(moment: datetime, zone: tzinfo) -> str | None:
    """Return the local time, None when it is read back as another moment: it comes twice as the clocks change."""
    written = crm_time(moment, zone)
    read_back = max(written.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return written.isoformat(" ") if read_back == moment else None


def why_refused(text: str) -> str:
    """Return in words why `stored_time` refuses the text, and the remedy. A long text is not repeated."""
    shown = repr(text) if len(text) <= SHOWN_CHARS else f"a text of {len(text)} characters"
    if _is_a_moment(text.strip()):
        return f"{shown} {COMES_TWICE}"
    reason = next((reason for form, reason in _REASONS if form.fullmatch(text.strip())), "is not a time")
    return f"{shown} {reason}; {REMEDY}"
