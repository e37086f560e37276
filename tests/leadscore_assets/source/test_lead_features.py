"""The open leads and the features of leads, read in bulk by our functions in the database."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from leadscore.errors import DatabaseUnavailable, SourceMismatch
from leadscore.features import CONTRACT, Contract, Feature
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import connect
from leadscore_assets.source.lead_features import OpenLeads, features_at, open_leads
from tests.leadscore_assets.source.hand_made_crm import AS_OF, MICROSECOND, ORG, Crm, day, window
from tests.leadscore_assets.source.test_features_at import features


def read(crm: Crm, *pairs: tuple[str, Any], contract: Contract = CONTRACT) -> list[list[float]]:
    leads, moments = [lead for lead, _ in pairs], [moment for _, moment in pairs]
    return features_at(crm.connection, ORG, leads, moments, contract, crm_time_zone="UTC").tolist()


def test_open_leads_come_with_their_creation_the_oldest_first(crm: Crm) -> None:
    young, old = crm.lead(day(10)), crm.lead(day(20))
    assert open_leads(crm.connection, ORG, window()) == OpenLeads([old, young], [day(20), day(10)], {})


@pytest.mark.parametrize("status", ["WON", "LOST"])
def test_a_lead_is_open_until_the_moment_at_which_it_closes(crm: Crm, status: str) -> None:
    crm.lead(day(10), (status, AS_OF))
    later = crm.lead(day(10), (status, AS_OF + MICROSECOND))
    moved = crm.lead(day(9), ("QUALIFIED", day(5)))
    assert open_leads(crm.connection, ORG, window()).lead_ids == [later, moved]


def test_open_leads_that_cannot_be_scored_are_counted_by_reason(crm: Crm) -> None:
    crm.lead(day(90))
    crm.lead(day(900))
    crm.lead(day(10), status="WON")
    crm.lead(day(10), ("WON", day(5)))
    crm.lead(AS_OF.replace(year=1970))
    crm.lead(AS_OF.replace(year=1970), status="LOST")
    asked = crm.lead(day(90) + MICROSECOND)
    assert open_leads(crm.connection, ORG, window()) == OpenLeads(
        [asked],
        [day(90) + MICROSECOND],
        {"window_over": 2, "outcome_time_unknown": 1, "creation_time_unknown": 1},
    )


def test_open_leads_follow_the_windows_rules_but_not_its_training_window(crm: Crm) -> None:
    booked = crm.lead(day(60), ("APPOINTMENT", day(5)))
    assert open_leads(crm.connection, ORG, window(training_window_days=30)).lead_ids == [booked]
    assert open_leads(crm.connection, ORG, window(conversion_statuses=("APPOINTMENT",))).lead_ids == []
    assert open_leads(crm.connection, ORG, window(conversion_window_days=60)).left_out == {"window_over": 1}
    assert open_leads(crm.connection, "south", window()) == OpenLeads([], [], {})


def test_features_are_in_the_order_asked_also_when_a_pair_repeats(crm: Crm) -> None:
    first, second = crm.lead(day(20)), crm.lead(day(10))
    crm.message(first, day(15))
    pairs = [(second, day(1)), (first, day(16)), (first, day(14)), (second, day(1)), (first, day(16))]
    expected = [[math.nan if value is None else value for value in features(crm, *pair).values()] for pair in pairs]
    np.testing.assert_array_equal(read(crm, *pairs), expected)
    assert [row[2] for row in read(crm, *pairs)] == [0, 0, 1, 0, 0]


def test_features_are_those_of_the_contract_in_its_order(crm: Crm) -> None:
    lead = crm.lead(day(20))
    contract = Contract(tuple(reversed(CONTRACT.features[-2:])))
    assert read(crm, (lead, day(13)), contract=contract) == [[50, 7]]


def test_a_lead_that_is_not_there_and_one_that_came_later_have_no_features(crm: Crm) -> None:
    lead = crm.lead(day(10))
    rows = np.array(read(crm, ("none", day(1)), (lead, day(11)), (lead, day(10)), ('it\'s {a},"b"\\', day(1))))
    assert np.isnan(rows).all(axis=1).tolist() == [True, True, False, True]
    assert read(crm) == []


def test_each_lead_needs_its_moment(crm: Crm) -> None:
    with pytest.raises(ValueError, match="2 lead ids have 1 moments"):
        features_at(crm.connection, ORG, ["1", "2"], [AS_OF], CONTRACT, crm_time_zone="UTC")


def test_a_contract_with_a_feature_that_the_function_lacks_is_refused_by_its_name(crm: Crm) -> None:
    lead = crm.lead(day(10))
    other = Contract((*CONTRACT.features, Feature("visits", "visits", "count", 0, 9, "visits to the site")))
    with pytest.raises(SourceMismatch, match=r"features_at does not return visits, .*set_up_database"):
        read(crm, (lead, day(1)), contract=other)


@pytest.mark.parametrize("ask", [
    lambda connection: open_leads(connection, ORG, window()),
    lambda connection: features_at(connection, ORG, ["1"], [AS_OF], CONTRACT, crm_time_zone="UTC"),
])  # fmt: skip
def test_without_our_functions_or_the_crms_tables_the_remedy_is_told(database: Settings, ask: Any) -> None:
    with connect(database) as connection:
        with pytest.raises(SourceMismatch, match=r"leadscore_assets\.commands\.set_up_database"):
            ask(connection)
        set_up(database)
        with pytest.raises(SourceMismatch, match=r'relation "dossier" does not exist.*set_up_database'):
            ask(connection)


def test_a_query_that_takes_too_long_is_a_failure_of_the_database(crm: Crm) -> None:
    with connect(replace(crm.settings)) as connection:
        connection.transaction_settings = "SET LOCAL statement_timeout = 1"
        crowd = [str(number) for number in range(200_000)]
        with pytest.raises(DatabaseUnavailable, match="while reading the features of leads"):
            features_at(connection, ORG, crowd, [AS_OF] * len(crowd), CONTRACT, crm_time_zone="UTC")
