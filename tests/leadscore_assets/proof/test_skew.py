"""Faults that callers make are named with their cause; what clocks and rounding make is not."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore.arrays import Floats
from leadscore.features import CONTRACT
from leadscore_assets.proof.skew import Sent, Skew, skews

LEADS = 40
NAMES = CONTRACT.names


def right() -> Floats:
    """Return plausible features of leads, shape (LEADS, features)."""
    rng = np.random.default_rng(4)
    columns = {
        "lead_source_score": rng.integers(5, 50, LEADS),
        "response_time_minutes": np.where(rng.random(LEADS) < 0.2, np.nan, rng.integers(2, 400, LEADS)),
        "inbound_messages_count": rng.integers(1, 9, LEADS),
        "outbound_messages_count": rng.integers(10, 19, LEADS),
        "appointments_count": rng.integers(0, 3, LEADS),
        "has_property": rng.integers(0, 2, LEADS),
        "property_price": rng.integers(1, 9, LEADS) * 50_000,
        "property_has_photos": rng.integers(0, 2, LEADS),
        "engagement_rate": rng.uniform(0.2, 3, LEADS),
        "days_since_creation": rng.uniform(0.5, 60, LEADS),
        "market_activity_score": rng.uniform(40, 60, LEADS),
    }
    return np.column_stack([columns[name] for name in NAMES]).astype(float)


def found(**changed: object) -> list[Skew]:
    """Return what differs when these columns are computed otherwise, each by a function of the right table."""
    sent = right()
    for name, change in changed.items():
        sent[:, NAMES.index(name)] = change(right())  # type: ignore[operator]
    return list(skews(CONTRACT, Sent([str(place) for place in range(LEADS)], sent, right())))


def of(name: str, table: Floats) -> Floats:
    column: Floats = table[:, NAMES.index(name)]
    return column


def test_equal_features_differ_in_nothing() -> None:
    assert found() == []


def test_clocks_and_rounding_are_no_differences() -> None:
    assert (
        found(
            days_since_creation=lambda table: of("days_since_creation", table) + 3 / 1440,
            response_time_minutes=lambda table: of("response_time_minutes", table) + 0.5,
            market_activity_score=lambda table: of("market_activity_score", table).round(),
            engagement_rate=lambda table: of("engagement_rate", table).round(2),
        )
        == []
    )


@pytest.mark.parametrize(
    ("name", "change", "cause"),
    [
        (
            "response_time_minutes",
            lambda table: of("response_time_minutes", table) * 60,
            "60 times as large: seconds where minutes are meant",
        ),
        (
            "response_time_minutes",
            lambda table: of("response_time_minutes", table) / 1440,
            "0.0006944 times as large: days where minutes are meant",
        ),
        (
            "days_since_creation",
            lambda table: of("days_since_creation", table) + 2 / 24,
            "+2 hours, as of another time zone",
        ),
        (
            "days_since_creation",
            lambda table: of("days_since_creation", table) - 5 / 24,
            "-5 hours, as of another time zone",
        ),
        (
            "inbound_messages_count",
            lambda table: of("outbound_messages_count", table),
            "the values are those of outbound_messages_count",
        ),
        (
            "inbound_messages_count",
            lambda table: of("inbound_messages_count", table) + np.arange(LEADS) % 3 + 1,
            "always higher: does it count what came later, or of another lead?",
        ),
        ("outbound_messages_count", lambda _: np.zeros(LEADS), "always lower: does a feed lag, or count less?"),
        ("response_time_minutes", lambda _: np.full(LEADS, np.nan), "the requests do not know it"),
        ("property_price", lambda table: of("property_price", table) * 100, "100 times as large: hundredths"),
    ],
)
def test_a_fault_is_named_with_its_cause(name: str, change: object, cause: str) -> None:
    [skew] = found(**{name: change})
    assert skew.is_named
    assert skew.feature == name
    assert skew.cause.startswith(cause)
    assert skew.is_of_today == (name == "property_price")


def test_the_worst_difference_is_the_example() -> None:
    def one_off(table: Floats) -> Floats:
        counts = of("inbound_messages_count", table).copy()
        counts[[3, 8, 9]] += [1, 1, 40]
        return counts

    [skew] = found(inbound_messages_count=one_off)
    expected = of("inbound_messages_count", right())[9]
    assert (skew.lead_id, skew.sent, skew.right, skew.differing) == ("9", expected + 40, expected, 3)
    assert not skew.is_named


def test_a_few_differences_happen_by_themselves() -> None:
    def some(table: Floats) -> Floats:
        counts = of("inbound_messages_count", table).copy()
        counts[:4] += 1
        return counts

    [named] = found(inbound_messages_count=some)
    assert named.is_named
    few = Skew("x", 40, 2, 1.0, 2.0, "1", "", is_of_today=False)
    rare = Skew("x", 400, 39, 1.0, 2.0, "1", "", is_of_today=False)
    assert not few.is_named
    assert not rare.is_named
