"""Times in a CRM's files: ISO 8601 is read, offsets are converted, and everything else is refused with its reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standalone.crm_times import stored_time, why_refused

PARIS = ZoneInfo("Europe/Paris")
OFFSETS = st.builds(timezone, st.integers(-14 * 60, 14 * 60).map(lambda minutes: timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2050, 1, 1), timezones=OFFSETS)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-15",
        "2026-03-15 06:00",
        "2026-03-15 06:00:00",
        "2026-03-15T06:00:00",
        "2026-03-15 06:00:00.5",
        "2026-03-15T06:00:00.123456",
        "2026-03-15 06:00:00.1234567",
        "0001-01-01",
        "2024-02-29",
    ],
)
def test_time_without_an_offset_stays_as_it_is_written(text: str) -> None:
    assert stored_time(text, PARIS) == text
    assert stored_time(f" {text} ", UTC) == text


@pytest.mark.parametrize(
    ("text", "in_utc", "in_paris"),
    [
        ("2025-12-16 22:14:17-05", "2025-12-17 03:14:17", "2025-12-17 04:14:17"),
        ("2026-03-15 06:00Z", "2026-03-15 06:00:00", "2026-03-15 07:00:00"),
        ("2026-03-15T06:00:00+02", "2026-03-15 04:00:00", "2026-03-15 05:00:00"),
        ("2026-03-15T06:00:00+0200", "2026-03-15 04:00:00", "2026-03-15 05:00:00"),
        ("2026-03-15T06:00:00+02:00", "2026-03-15 04:00:00", "2026-03-15 05:00:00"),
        ("2026-07-15 06:00:00.25+05:30", "2026-07-15 00:30:00.250000", "2026-07-15 02:30:00.250000"),
        # in Paris, summer time begins at 01:00 UTC on 29 March, and ends at 01:00 UTC on 25 October
        ("2026-03-29T00:59:59Z", "2026-03-29 00:59:59", "2026-03-29 01:59:59"),
        ("2026-03-29T01:00:00Z", "2026-03-29 01:00:00", "2026-03-29 03:00:00"),
        ("2026-10-24T23:59:59Z", "2026-10-24 23:59:59", "2026-10-25 01:59:59"),
        ("2026-10-25T01:30:00Z", "2026-10-25 01:30:00", "2026-10-25 02:30:00"),
    ],
)
def test_time_with_an_offset_becomes_the_zones_local_time(text: str, in_utc: str, in_paris: str) -> None:
    assert stored_time(text, ZoneInfo("UTC")) == in_utc
    assert stored_time(text, PARIS) == in_paris


def test_a_local_time_that_comes_twice_is_refused_where_it_would_be_read_as_the_other_moment() -> None:
    """02:30 in Paris on that night is read as the second one, 01:30 UTC."""
    for text in ("2026-10-25T00:30:00Z", "2026-10-25 02:30:00+02:00"):
        assert (stored_time(text, UTC), stored_time(text, PARIS)) == ("2026-10-25 00:30:00", None)
        assert why_refused(text) == (
            f"{text!r} comes twice in CRM_TIME_ZONE, as the clocks change; set CRM_TIME_ZONE=UTC, which needs no offset"
        )


@given(MOMENTS, st.sampled_from([" ", "T"]))
def test_a_moment_is_stored_as_its_utc_time_whatever_its_offset(moment: datetime, separator: str) -> None:
    stored = stored_time(moment.isoformat(separator), UTC)
    assert stored is not None
    assert datetime.fromisoformat(stored) == moment.astimezone(UTC).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("03/04/2026", "'03/04/2026' may have the day or the month first"),
        ("15.03.2026 06:00", "'15.03.2026 06:00' may have the day or the month first"),
        ("3-4-26", "'3-4-26' may have the day or the month first"),
        ("46000.5", "'46000.5' is a number, as Excel stores times"),
        ("20260315", "'20260315' is a number, as Excel stores times"),
        ("now", "'now' is a word"),
        ("today", "'today' is a word"),
        ("epoch", "'epoch' is a word"),
        ("infinity", "'infinity' is a word"),
        ("-infinity", "'-infinity' is a word"),
        (
            "2026-03-15 06:00 CET",
            "'2026-03-15 06:00 CET' ends in a word, where only an offset such as +02:00 can stand",
        ),
        (
            "2026-03-15 06:00:00 Europe/Paris",
            "'2026-03-15 06:00:00 Europe/Paris' ends in a word, where only an offset such as +02:00 can stand",
        ),
        ("2026-03-15 06:00 PM", "'2026-03-15 06:00 PM' ends in a word, where only an offset such as +02:00 can stand"),
        ("2026-02-29", "'2026-02-29' has a date, a time of day or an offset that does not exist"),
        ("0000-01-01", "'0000-01-01' has a date, a time of day or an offset that does not exist"),
        ("2026-03-15 24:00", "'2026-03-15 24:00' has a date, a time of day or an offset that does not exist"),
        (
            "2026-03-15 06:00+25:00",
            "'2026-03-15 06:00+25:00' has a date, a time of day or an offset that does not exist",
        ),
        ("0001-01-01 00:00+02", "'0001-01-01 00:00+02' has a date, a time of day or an offset that does not exist"),
        ("2026-03-15+02:00", "'2026-03-15+02:00' is not a time"),
        ("2026-W11-7", "'2026-W11-7' is not a time"),
        ("2026-03-15x06:00", "'2026-03-15x06:00' is not a time"),
        ("2026-03", "'2026-03' is not a time"),
        ("２０２６-03-15", "'２０２６-03-15' is not a time"),  # noqa: RUF001  # digits that are not ASCII are the point
        ("NULL", "'NULL' is a word"),
        ("x" * 41, "a text of 41 characters is a word"),
        (" ", "' ' is not a time"),
    ],
)
def test_other_texts_are_refused_with_the_reason_and_the_remedy(text: str, why: str) -> None:
    assert stored_time(text, UTC) is None
    assert why_refused(text) == f"{why}; only ISO 8601 is read, such as 2026-03-15 06:00:00"
