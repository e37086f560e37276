"""Our SQL functions: they find the extraction's records, hold out whom the training holds out, and count."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from leadscore.errors import SourceMismatch
from leadscore.outcome_forecast import LastRun, LeadCount, OutcomeCounts
from leadscore.records import RecordCounts, Window, outcome_parameters
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import connect
from leadscore_assets.source.orgs import training_needs
from leadscore_assets.source.outcomes import LEAD_OUTCOMES, outcome_counts
from leadscore_assets.source.tables import store
from leadscore_assets.training.split import holdout_mask, is_held_out
from tests.leadscore_assets.source.hand_made_crm import AS_OF, MICROSECOND, ORG, Crm, day, window


def known(crm: Crm, columns: str, window: Window) -> list[tuple[object, ...]]:
    """Return the org's outcomes that are known."""
    query = (
        f"SELECT {columns} FROM {LEAD_OUTCOMES} WHERE org_id = '{ORG}' AND excluded_because IS NULL ORDER BY lead_id"
    )
    return crm.connection.execute(query, outcome_parameters(window)).fetchall()


def fill(crm: Crm, chance: random.Random) -> None:
    """Make leads of every kind, for two orgs."""
    for _ in range(120):
        created_at = AS_OF - chance.uniform(-0.1, 1) * timedelta(days=200)
        moves = [
            (status, created_at + chance.uniform(-0.1, 1) * timedelta(days=100))
            for status in ("QUALIFIED", "WON", "LOST")
            if chance.random() < 0.3
        ]
        status = chance.choice(("NEW", "WON", "LOST"))
        crm.lead(created_at, *moves, status=status, org_id=chance.choice((ORG, ORG, "south")))


@pytest.mark.parametrize("statuses", [("WON",), ("QUALIFIED",)])
@pytest.mark.parametrize("landmark_days", [(0, 7), (7, 14)])
def test_they_count_the_same_records_as_the_extraction(
    crm: Crm, statuses: tuple[str, ...], landmark_days: tuple[int, ...]
) -> None:
    """The same leads, with the same label and on the same side; and so do the orgs' needs and the counts of one org."""
    fill(crm, random.Random(5))
    asked = window(conversion_statuses=statuses, landmark_days=landmark_days)
    records = crm.extract(conversion_statuses=statuses, landmark_days=landmark_days)
    assert len(records.counts.excluded) >= 2
    assert records.counts.records > 10

    leads = records.rows.drop_duplicates("lead_id").sort_values("lead_id")
    sides = holdout_mask(leads["lead_id"])
    expected = list(zip(leads["lead_id"], leads["converted"] == 1, sides, strict=True))
    assert known(crm, "lead_id, is_converted, is_held_out", asked) == expected

    needs = {need.org_id: need.records for need in training_needs(crm.connection, asked, {}, 1)}
    assert needs == {
        org_id: crm.extract(org_id, conversion_statuses=statuses, landmark_days=landmark_days).counts.records
        for org_id in (ORG, "south")
    }
    counted: Counter[tuple[bool, bool]] = Counter()
    for group in outcome_counts(crm.connection, ORG, asked).records:
        counted[group.is_converted, group.is_held_out] += group.leads
    assert counted == Counter((converted, side) for _, converted, side in expected)


def test_a_lead_is_held_out_where_the_training_holds_it_out(crm: Crm) -> None:
    """The database compares the hash's bytes, the training a number made of them."""
    crm.connection.execute(
        "INSERT INTO dossier (org_id, status, created_at, updated_at)"
        " SELECT %s, 'NEW', %s, %s FROM generate_series(1, 3000)",
        [ORG, day(100), day(100)],
    )
    sides = dict(known(crm, "lead_id, is_held_out", window()))
    assert sides == {str(lead): is_held_out(str(lead)) for lead in range(1, 3001)}
    assert 500 < sum(map(bool, sides.values())) < 700


def test_an_open_lead_is_known_at_the_latest_when_its_conversion_window_ends(crm: Crm) -> None:
    lead = crm.lead(day(20))
    columns = "org_id, lead_id, created_at, known_at, is_converted, is_held_out, excluded_because"
    rows = crm.connection.execute(f"SELECT {columns} FROM {LEAD_OUTCOMES}", outcome_parameters(window())).fetchall()
    assert rows == [(ORG, lead, day(20), day(-70), False, is_held_out(lead), "still_open")]


def groups(counted: tuple[LeadCount, ...]) -> dict[tuple[int, bool], int]:
    """Return how many leads there are by their days and their outcome, on both sides together."""
    leads: Counter[tuple[int, bool]] = Counter()
    for group in counted:
        leads[group.days, group.is_converted] += group.leads
    return dict(leads)


def test_records_are_counted_by_the_days_until_they_leave_the_window(crm: Crm) -> None:
    crm.lead(day(183) + MICROSECOND, ("WON", day(150)))
    crm.lead(day(183), ("WON", day(150)))
    crm.lead(day(100), ("LOST", day(60)))
    crm.lead(day(100))
    counts = outcome_counts(crm.connection, ORG, window())
    assert groups(counts.records) == {(1, True): 1, (83, False): 2}
    assert counts.age_days == 183


def test_outcomes_of_the_last_eight_weeks_are_counted_by_the_days_that_they_took(crm: Crm) -> None:
    """Those of leads that have left the training window too: they tell how long an outcome takes."""
    crm.lead(day(100), ("WON", day(56)))
    crm.lead(day(100), ("WON", day(56) + MICROSECOND))
    crm.lead(day(110), ("LOST", day(21)))
    crm.lead(day(2), ("LOST", AS_OF))
    crm.lead(day(2), ("LOST", AS_OF + MICROSECOND))
    counts = outcome_counts(crm.connection, ORG, window(training_window_days=95))
    assert groups(counts.arrivals) == {(2, False): 1, (44, True): 1, (89, False): 1}
    assert groups(counts.records) == {(93, False): 1}


def test_open_leads_are_counted_by_the_days_until_their_outcome_is_known_at_the_latest(crm: Crm) -> None:
    crm.lead(day(89.5))
    crm.lead(day(10), ("WON", AS_OF + MICROSECOND))
    crm.lead(day(10), status="WON")
    counts = outcome_counts(crm.connection, ORG, window())
    assert groups(counts.open_leads) == {(1, False): 1, (80, False): 1}
    assert (counts.records, counts.arrivals) == ((), ())


def test_an_org_counts_its_own_leads_alone(crm: Crm) -> None:
    crm.lead(day(100), ("WON", day(50)))
    assert outcome_counts(crm.connection, "south", window()) == OutcomeCounts(None)


def test_the_age_of_an_org_is_that_of_its_first_lead_however_long_ago(crm: Crm) -> None:
    crm.lead(day(900), ("WON", day(899)))
    crm.lead(AS_OF + MICROSECOND)
    assert outcome_counts(crm.connection, ORG, window()) == OutcomeCounts(900)


def test_the_counts_of_the_orgs_last_run_are_those_that_lead_features_stored(own_crm: Crm) -> None:
    own_crm.lead(day(100))
    set_aside = {"property_price below 0": 1122}
    counts = RecordCounts(21, 9, 99, {}, "c0ffee", set_aside, "f00d", set_aside_rows=1122, lost_records=220)
    assert outcome_counts(own_crm.connection, ORG, window()).last_run is None
    for asset, org_id, records in (("lead_features", ORG, 21), ("lead_features", "south", 5), ("evaluation", ORG, 7)):
        info = {"counts": msgspec.to_builtins(msgspec.structs.replace(counts, records=records))}
        store(own_crm.connection, asset, org_id, run_id="run-1", info=info)
    own_crm.connection.execute("UPDATE leadscore.materializations SET stored_at = '2026-05-31 23:30:00-02'")
    last_run = LastRun(datetime(2026, 6, 1, 1, 30, tzinfo=UTC), counts)
    assert outcome_counts(own_crm.connection, ORG, window()).last_run == last_run


def test_a_condition_on_the_org_uses_its_index(crm: Crm) -> None:
    """The function is planned as a part of the query that calls it, or every call would read all orgs' leads."""
    crm.connection.execute(
        "INSERT INTO dossier (org_id, status, created_at, updated_at)"
        " SELECT 'org' || number %% 100, 'NEW', %s, %s FROM generate_series(1, 20000) AS number",
        [day(100), day(100)],
    )
    crm.connection.execute("ANALYZE dossier, dossier_status_history")
    query = f"EXPLAIN SELECT count(*) FROM {LEAD_OUTCOMES} WHERE org_id = 'org7'"
    plan = "\n".join(str(line) for (line,) in crm.connection.execute(query, outcome_parameters(window())))
    assert "Seq Scan on dossier " not in plan
    assert "dossier_by_org" in plan
    assert "lead_outcomes" not in plan


@pytest.mark.parametrize("has_functions", [True, False])
def test_without_the_crms_tables_or_our_functions_the_remedy_is_told(database: Settings, has_functions: bool) -> None:
    if has_functions:
        set_up(database)
    with (
        connect(database) as connection,
        pytest.raises(SourceMismatch, match=r"leadscore_assets\.commands\.set_up_database"),
    ):
        outcome_counts(connection, ORG, window())


def test_functions_of_another_release_are_replaced_by_ours(own_crm: Crm) -> None:
    own_crm.lead(day(100))
    own_crm.connection.execute(
        "CREATE OR REPLACE FUNCTION leadscore.outcome_counts("
        " org_id text, as_of timestamp, training_window_days integer, conversion_window_days integer,"
        " conversion_statuses text[], lost_statuses text[], conversion_is_final boolean, landmark_days integer[],"
        " crm_time_zone text, pace_days integer)"
        " RETURNS text LANGUAGE sql AS $$ SELECT '{\"age_days\": 1}' $$"
    )
    assert outcome_counts(own_crm.connection, ORG, window()) == OutcomeCounts(1)
    set_up(own_crm.settings)
    assert outcome_counts(own_crm.connection, ORG, window()).age_days == 100
