"""What a training is asked to read: the settings, what a run puts in their place, and never the future."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

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


def test_a_time_to_come_is_refused() -> None:
    """Leads that are open now would count as lost."""
    with pytest.raises(InvalidInput, match="in the future; give a past time"):
        window_from(read_settings({}), as_of=datetime.now(UTC) + timedelta(hours=1))


def test_the_base_rate_of_nothing_is_unknown() -> None:
    assert RecordCounts(0, 0, 0, {}, "").base_rate is None
    assert RecordCounts(200, 50, 700, {}, "").base_rate == 0.25


@pytest.mark.parametrize(
    ("days_before", "window_days", "share"),
    [
        (0, 100, 1.0),
        (50, 100, 0.5),
        (100, 100, 0.0),
        (300, 100, 0.0),
        (0, 14, 0.14),  # a short window saw little, however young it is
        (50, 14, 0.14),
        (93, 14, 0.07),
        (50, 1000, 0.5),
        (-10, 100, 1.0),  # one that ends later is no older
        (-300, 100, 1.0),
        (-10, 25, 0.25),
    ],
)
def test_a_training_has_seen_as_much_as_the_two_windows_share(days_before: int, window_days: int, share: float) -> None:
    window = window_from(read_settings({"AS_OF": "2026-03-15", "TRAINING_WINDOW_DAYS": "100"}))
    ended = window.as_of - timedelta(days=days_before)
    other = msgspec.structs.replace(window, as_of=ended, training_window_days=window_days)
    assert window.share_seen_in(other) == pytest.approx(share)
