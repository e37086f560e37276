"""A finding says in words what arrives otherwise, since when, what it does to the score, and what to do."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec
import numpy as np
import pytest

from leadscore.features import CONTRACT
from leadscore_assets.proof.input_findings import base_rate_finding, day_in_words, feature_finding
from leadscore_assets.proof.input_shifts import Shift
from tests.leadscore_assets.proof.made_inputs import BOOKED, INBOUND, RESPONSE, START, arrive, made_bins

FOUND_ON = START + timedelta(days=29)
NAMES = CONTRACT.names


def test_a_feed_that_stopped_is_named_with_its_shares() -> None:
    arrived = arrive(30, fault_from=15, column=RESPONSE, value=np.nan)
    finding = feature_finding(made_bins(), arrived, NAMES[RESPONSE], {"unknown": FOUND_ON})
    assert finding.kind == "unknown"
    assert finding.in_words.startswith(
        f"Response time: unknown for 100% of leads since {day_in_words(finding.since)}, 20% when learned."
    )
    assert finding.action == "Is the feed of messages running?"


def test_a_finding_that_is_older_than_the_counts_begins_with_the_first_that_are_kept() -> None:
    arrived = arrive(30, fault_from=0, column=RESPONSE, value=np.nan)
    finding = feature_finding(made_bins(), arrived, NAMES[RESPONSE], {"unknown": START - timedelta(days=90)})
    assert finding.since == arrived.days[0]


def test_values_beyond_all_that_was_learned_are_a_matter_of_the_unit() -> None:
    arrived = arrive(30, fault_from=15, column=RESPONSE, value=50_000)
    finding = feature_finding(made_bins(), arrived, NAMES[RESPONSE], {"spread": FOUND_ON})
    assert finding.kind == "scale"
    assert "nearly all values since 16 May 2026 are above those learned." in finding.in_words
    assert finding.action == "Is its unit still minutes?"


def test_a_new_level_is_to_be_learned_if_it_stays() -> None:
    arrived = arrive(30, fault_from=15, column=BOOKED, value=1)
    finding = feature_finding(made_bins(), arrived, NAMES[BOOKED], {"place": FOUND_ON})
    assert finding.kind == "level"
    assert "that of now is the higher one in" in finding.in_words
    assert finding.action == "If this is to stay, train the org again."


def test_a_shift_that_moves_no_score_is_a_note() -> None:
    bins = made_bins()
    flat = msgspec.structs.replace(
        bins.features[INBOUND], contributions=(0.0,) * len(bins.features[INBOUND].contributions)
    )
    features = tuple(flat if each.name == flat.name else each for each in bins.features)
    weightless = msgspec.structs.replace(bins, features=features)
    arrived = arrive(30, fault_from=15)
    finding = feature_finding(weightless, arrived, NAMES[INBOUND], {"place": FOUND_ON})
    assert not finding.is_alarm
    assert finding.in_words.endswith("It moves the mean score by less than a point.")


def test_a_shift_that_moves_the_score_is_an_alarm_with_its_points() -> None:
    finding = feature_finding(
        made_bins(), arrive(30, fault_from=15, column=BOOKED, value=3), NAMES[BOOKED], {"place": FOUND_ON}
    )
    assert finding.is_alarm
    assert finding.points is not None
    assert f"It moves the mean score by +{round(finding.points * 100)} points." in finding.in_words


def test_the_season_is_always_a_note() -> None:
    market = NAMES.index("market_activity_score")
    finding = feature_finding(
        made_bins(), arrive(30, fault_from=15, column=market, value=90), NAMES[market], {"place": FOUND_ON}
    )
    assert (finding.kind, finding.is_alarm) == ("season", False)


@pytest.mark.parametrize(("served", "is_alarm"), [(0.40, True), (0.305, False)])
def test_another_base_rate_is_said_in_shares(served: float, is_alarm: bool) -> None:
    finding = base_rate_finding(Shift(served, 0.30, 250, is_outside=True), date(2026, 3, 2), date(2026, 4, 1))
    assert finding.is_alarm == is_alarm
    assert "of 250 leads that were created since 2 March 2026 converted, 30% when learned." in finding.in_words
