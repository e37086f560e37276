"""`leadscore.features_at`: what it knows at a moment, which lines it returns, and that it is planned for one org."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

import psycopg
import pytest

from benchmarks.models.harness.random_crm import load, random_crm, random_window
from leadscore.features import CONTRACT
from leadscore_assets.source.extraction import RECORDS_SQL, RecordsReader
from leadscore_assets.source.outcomes import create_functions
from tests.leadscore_assets.source.hand_made_crm import MICROSECOND, ORG, Crm, day

Line = tuple[Any, ...]


def lines(crm: Crm, *pairs: tuple[str, datetime], org_id: str = ORG, zone: str = "UTC") -> list[Line]:
    """Return what the function returns for pairs of lead and moment, in the order of lead and moment."""
    query = "SELECT * FROM leadscore.features_at(%s, %s::text[], %s::timestamp[], %s) ORDER BY lead_id, moment"
    arguments = [org_id, [lead for lead, _ in pairs], [moment for _, moment in pairs], zone]
    return [*crm.connection.execute(query, arguments)]


def features(crm: Crm, lead: str, moment: datetime, **changed: str) -> dict[str, float | None]:
    """Return the lead's features at one moment."""
    [line] = lines(crm, (lead, moment), **changed)
    return dict(zip(CONTRACT.names, line[2:], strict=True))


def test_it_returns_the_features_of_the_contract_in_its_order(crm: Crm) -> None:
    names = [column.name for column in crm.connection.execute(
        "SELECT * FROM leadscore.features_at('', '{}', '{}', 'UTC')").description or ()]  # fmt: skip
    assert names == ["lead_id", "moment", *CONTRACT.names]


def test_a_lead_is_told_as_it_was_at_the_moment(crm: Crm) -> None:
    house = crm.listing(price=250_000, photos_json='["a.jpg"]', created_at=day(99))
    lead = crm.lead(day(100), annonce_id=house)
    crm.message(lead, day(99))
    crm.message(lead, day(98), "OUTBOUND")
    crm.appointment(lead, day(97), "CANCELLED", day(90))
    crm.insert("lead_score", org_id=ORG, dossier_id=int(lead), source_score=30)
    at_first = features(crm, lead, day(100))
    assert at_first == dict(zip(CONTRACT.names, (30, None, 0, 0, 0, 0, 0, 0, 0, 0, 50), strict=True))
    later = features(crm, lead, day(95.5))
    assert later == dict(zip(CONTRACT.names, (30, 2_880, 1, 1, 1, 1, 250_000, 1, 1, 4.5, 50), strict=True))
    assert features(crm, lead, day(90))["appointments_count"] == 0


def test_an_event_at_the_very_moment_is_known_and_one_a_microsecond_later_is_not(crm: Crm) -> None:
    lead = crm.lead(day(10))
    crm.message(lead, day(5))
    assert features(crm, lead, day(5))["inbound_messages_count"] == 1
    assert features(crm, lead, day(5) - MICROSECOND)["inbound_messages_count"] == 0


def test_each_moment_of_a_lead_is_told_by_itself_in_whatever_order_it_is_asked_for(crm: Crm) -> None:
    lead, moments = crm.lead(day(10)), [day(1), day(9), day(5), day(1)]
    for age in (8, 4, 4, 0):
        crm.message(lead, day(age))
    place = 2 + CONTRACT.names.index("inbound_messages_count")
    told = lines(crm, *((lead, moment) for moment in moments))
    assert [(line[1], line[place]) for line in told] == [(day(9), 0), (day(5), 1), (day(1), 3)]
    for moment, count in ((day(9), 0), (day(5), 1), (day(1), 3)):
        assert features(crm, lead, moment)["inbound_messages_count"] == count


def test_a_lead_that_is_not_there_has_no_line(crm: Crm) -> None:
    lead = crm.lead(day(10))
    elsewhere = crm.lead(day(10), org_id="south")
    assert lines(crm, (lead, day(10) - MICROSECOND), ("no such lead", day(1)), (elsewhere, day(1))) == []
    assert [line[0] for line in lines(crm, (lead, day(10)))] == [lead]
    assert lines(crm, (lead, day(1)), org_id="no such org") == []


def test_events_of_another_org_do_not_count(crm: Crm) -> None:
    lead = crm.lead(day(10))
    crm.message(lead, day(9), org_id="south")
    assert features(crm, lead, day(1))["inbound_messages_count"] == 0


def test_a_lead_without_a_possible_creation_time_has_no_age(crm: Crm) -> None:
    lead = crm.lead(datetime(1970, 1, 1))
    crm.message(lead, day(9), "OUTBOUND")
    told = features(crm, lead, day(1))
    assert (told["days_since_creation"], told["response_time_minutes"]) == (None, None)
    assert told["outbound_messages_count"] == 1


def test_times_are_read_in_the_crms_zone(crm: Crm) -> None:
    lead = crm.lead(datetime(2026, 5, 1, 12))
    crm.message(lead, datetime(2026, 5, 2, 12))
    paris = features(crm, lead, datetime(2026, 5, 2, 10), zone="Europe/Paris")
    assert (paris["inbound_messages_count"], paris["days_since_creation"]) == (1, 1)
    assert features(crm, lead, datetime(2026, 5, 2, 10))["inbound_messages_count"] == 0


def test_leads_that_came_later_do_not_change_the_markets_score(crm: Crm) -> None:
    for age in range(300, 40, -3):
        crm.lead(day(age))
    lead, moment = crm.lead(day(40)), day(39)
    before = features(crm, lead, moment)["market_activity_score"]
    for age in (38.5, 38, 20, 10):
        crm.lead(day(age))
    assert features(crm, lead, moment)["market_activity_score"] == before != 50


@pytest.mark.parametrize("seed", range(8))
def test_the_records_of_a_random_crm_are_the_function_at_their_landmarks(own_statuses: Crm, seed: int) -> None:
    """Asked for all pairs at once, and for one lead at one moment: the same values as in the training's rows."""
    chance = Random(seed)
    crm, window = random_crm(chance, 60), random_window(chance)
    load(own_statuses.connection, crm)
    rows = RecordsReader(own_statuses.connection, RECORDS_SQL, window).read(ORG).rows
    query = "SELECT id::text, leadscore.crm_moment(created_at, %s) FROM dossier"
    created: dict[str, Any] = dict(own_statuses.connection.execute(query, [window.crm_time_zone]).fetchall())
    pairs = [
        (lead, created[lead] + timedelta(days=int(days)))
        for lead, days in zip(rows["lead_id"], rows["landmark_days"], strict=True)
    ]
    expected = {
        pair: tuple(None if value != value else value for value in row)  # noqa: PLR0124  # NaN alone differs from itself
        for pair, row in zip(pairs, rows[list(CONTRACT.names)].itertuples(index=False, name=None), strict=True)
    }
    assert pairs
    assert {line[:2]: line[2:] for line in lines(own_statuses, *pairs, zone=window.crm_time_zone)} == expected
    for pair in pairs[:10]:
        [line] = lines(own_statuses, pair, zone=window.crm_time_zone)
        assert line[2:] == expected[pair]


def test_a_function_with_other_columns_is_replaced_and_the_release_before_reads_on(own_crm: Crm) -> None:
    lead = own_crm.lead(day(10))
    fewer = type(CONTRACT)(CONTRACT.features[:3])
    before = features(own_crm, lead, day(1))
    create_functions(own_crm.connection, fewer)
    [line] = lines(own_crm, (lead, day(1)))
    assert line[2:] == tuple(before.values())[:3]
    create_functions(own_crm.connection)
    query = "SELECT lead_source_score, inbound_messages_count FROM leadscore.features_at(%s, %s, %s, 'UTC')"
    found = own_crm.connection.execute(query, [ORG, [lead], [day(1)]]).fetchall()
    assert found == [(before["lead_source_score"], before["inbound_messages_count"])]
    assert features(own_crm, lead, day(1)) == before


def test_it_reads_one_orgs_rows_by_the_indexes(crm: Crm) -> None:
    """PostgreSQL's own counters say it: no table is read from end to end."""
    crm.connection.execute(
        "INSERT INTO dossier (org_id, status, created_at, updated_at)"
        " SELECT 'org' || number %% 100, 'NEW', %(at)s, %(at)s FROM generate_series(1, 20000) AS number",
        {"at": day(10)},
    )
    for table, columns, values in (
        ("message", 'direction, "timestamp"', "'INBOUND', created_at"),
        ("appointment", "start_time, end_time, created_at", "created_at, created_at, created_at"),
        ("lead_score", "source_score", "20"),
    ):
        crm.connection.execute(
            f"INSERT INTO {table} (org_id, dossier_id, {columns}) SELECT org_id, id, {values} FROM dossier"
        )
    crm.connection.execute("ANALYZE dossier, message, appointment, lead_score")
    read = "SELECT relname::text, seq_scan, seq_tup_read FROM pg_stat_user_tables WHERE relname = ANY (%s)"
    tables = ["dossier", "message", "appointment", "lead_score"]
    with psycopg.connect(**crm.settings.database_arguments(), autocommit=True) as connection:
        before = scans(connection, read, tables)
        found = connection.execute(
            "SELECT count(*) FROM leadscore.features_at('org7',"
            " ARRAY(SELECT id::text FROM dossier WHERE org_id = 'org7' ORDER BY id LIMIT 50),"
            " array_fill(%s::timestamp, '{50}'), 'UTC')",
            [day(1)],
        ).fetchone()
        after = scans(connection, read, tables)
    assert found == (50,)
    assert after == before


def connection_of(crm: Crm) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(**crm.settings.database_arguments(), autocommit=True)


def scans(
    connection: psycopg.Connection[tuple[object, ...]], query: str, tables: list[str]
) -> list[tuple[object, ...]]:
    """Return how often each table was read from end to end so far."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    return sorted(connection.execute(query, [tables]).fetchall())
