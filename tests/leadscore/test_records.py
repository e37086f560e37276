"""What a training is asked to read: the settings, what a run puts in their place, and never the future."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import msgspec
import pytest

from leadscore.errors import InvalidInput
from leadscore.records import RecordCounts, crm_time, window_from
from leadscore.settings import read_settings


def test_the_window_is_the_settings_unless_a_run_asks_for_another() -> None:
    settings = read_settings({"AS_OF": "2026-03-15", "TRAINING_WINDOW_DAYS": "90"})
    asked = window_from(settings, as_of=datetime(2026, 1, 1, tzinfo=UTC), training_window_days=30)
    assert (window_from(settings).as_of, window_from(settings).training_window_days) == (
        datetime(2026, 3, 15, tzinfo=UTC),
        90,
    )
    assert (asked.as_of, asked.training_window_days) == (datetime(2026, 1, 1, tzinfo=UTC), 30)


def test_without_a_time_it_is_now() -> None:
    before = datetime.now(UTC)
    assert before <= window_from(read_settings({})).as_of <= datetime.now(UTC)


def test_the_crms_time_is_utc_without_a_zone_wherever_the_moment_was_written_down() -> None:
    noon = datetime(2026, 3, 15, 12, tzinfo=UTC)
    assert crm_time(noon) == datetime(2026, 3, 15, 12)
    assert crm_time(noon.astimezone(timezone(timedelta(hours=5, minutes=30)))) == datetime(2026, 3, 15, 12)


def test_the_crms_time_in_another_zone_is_its_local_time() -> None:
    assert crm_time(datetime(2026, 7, 15, 12, tzinfo=UTC), ZoneInfo("Europe/Paris")) == datetime(2026, 7, 15, 14)


def test_a_time_to_come_is_refused() -> None:
    """Leads that are open now would count as lost."""
    with pytest.raises(InvalidInput, match="in the future; give a past time"):
        window_from(read_settings({}), as_of=datetime.now(UTC) + timedelta(hours=1))


def test_the_base_rate_of_nothing_is_unknown() -> None:
    assert RecordCounts(0, 0, 0, {}, "").base_rate is None
    assert RecordCounts(200, 50, 700, {}, "").base_rate == 0.25


def test_rows_and_records_are_counted_as_they_were_read_and_as_they_are_left() -> None:
    counts = RecordCounts(21, 9, 99, {}, "", {"a below 0": 1122, "b unknown": 5}, set_aside_rows=1124, lost_records=220)
    assert (counts.read_rows, counts.read_records) == (1223, 241)


def test_counts_of_an_earlier_release_have_no_records_lost_and_the_rows_of_their_largest_reason() -> None:
    """It counted a row under each of its faults, so how many rows were set aside is not known."""
    stored = {"records": 21, "converted_records": 9, "rows": 99, "excluded": {}, "sql_sha256": ""}
    counts = msgspec.convert(stored | {"set_aside": {"a_out_of_range": 20, "b_null": 5}}, RecordCounts)
    assert (counts.set_aside_rows, counts.lost_records) == (0, 0)
    assert (counts.read_rows, counts.read_records) == (119, 21)


@pytest.mark.parametrize(
    ("days_before", "window_days", "share"),
    [
        (0, 100, 1.0),
        (50, 100, 0.5),
        (100, 100, 0.0),
        (300, 100, 0.0),
        (0, 14, 1.0),  # a window that only goes further back has nothing newer in it
        (50, 14, 0.5),
        (50, 1000, 0.5),
        (-10, 100, 1.0),  # one that ends later is no older
        (-300, 100, 1.0),
        (-10, 25, 1.0),
    ],
)
def test_a_training_has_seen_what_is_no_newer_than_its_end(days_before: int, window_days: int, share: float) -> None:
    window = window_from(read_settings({"AS_OF": "2026-03-15", "TRAINING_WINDOW_DAYS": "100"}))
    ended = window.as_of - timedelta(days=days_before)
    other = msgspec.structs.replace(window, as_of=ended, training_window_days=window_days)
    assert window.share_seen_in(other) == pytest.approx(share)


@pytest.mark.parametrize(
    ("setting", "value", "asks_as"),
    [
        ("AS_OF", "2026-01-15", True),
        ("LANDMARK_DAYS", "0,7", False),
        ("CONVERSION_STATUSES", "WON,SOLD", False),
        ("TRAINING_WINDOW_DAYS", "90", False),
    ],
)
def test_windows_ask_for_the_same_but_for_their_end(setting: str, value: str, asks_as: bool) -> None:
    window, other = (window_from(read_settings({"AS_OF": "2026-03-15", **more})) for more in ({}, {setting: value}))
    assert window.asks_as(other) is other.asks_as(window) is asks_as
