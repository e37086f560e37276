"""Times that cannot be, and time zones: which moment each written time is, and what has none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from leadscore.errors import InvalidSettings
from leadscore.records import outcome_parameters
from leadscore_assets.source.outcomes import LEAD_OUTCOMES, outcome_counts
from tests.leadscore_assets.source.hand_made_crm import ORG, Crm, day, window

IMPOSSIBLE = ("infinity", "-infinity", "0001-01-01", "1970-01-01", "1989-12-31 23:59:59.999999", "2062-03-01")
PARIS = {"crm_time_zone": "Europe/Paris"}


def insert_lead(crm: Crm, created_at: str) -> None:
    crm.connection.execute(
        "INSERT INTO dossier (org_id, status, created_at, updated_at) VALUES (%s, 'NEW', %s, now())", [ORG, created_at]
    )


@pytest.mark.parametrize("created_at", IMPOSSIBLE)
def test_a_lead_created_at_an_impossible_time_is_left_out_counted_and_changes_nothing_else(
    crm: Crm, created_at: str
) -> None:
    for age in range(150, 90, -3):
        crm.lead(day(age), ("LOST", day(age - 2)))
    before, counts = crm.extract(), outcome_counts(crm.connection, ORG, window())
    insert_lead(crm, created_at)
    after = crm.extract()
    assert after.rows.equals(before.rows)
    assert after.counts.excluded == {"creation_time_unknown": 1}
    assert outcome_counts(crm.connection, ORG, window()) == counts


def test_the_first_and_the_last_possible_time_are_those_of_1990_and_of_a_day_ahead(crm: Crm) -> None:
    tomorrow = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1)
    written = {
        "1990-01-01": datetime(1990, 1, 1),
        f"{tomorrow - timedelta(minutes=5)}": tomorrow - timedelta(minutes=5),
        f"{tomorrow + timedelta(minutes=5)}": None,
    }
    for text, moment in written.items():
        for kind in ("timestamp", "timestamptz"):
            query = f"SELECT leadscore.crm_moment({kind} '{text}', 'UTC')"
            assert crm.connection.execute(query).fetchone() == (moment,), query


@pytest.mark.parametrize("at", IMPOSSIBLE)
def test_an_event_at_an_impossible_time_is_never_known(crm: Crm, at: str) -> None:
    listing = crm.listing(price=7)
    lead = crm.lead(day(100), ("LOST", day(90)), annonce_id=listing)
    crm.appointment(lead, day(99.5), "CANCELLED")
    before = crm.extract().rows
    crm.connection.execute("UPDATE appointment SET updated_at = %s", [at])
    crm.connection.execute("UPDATE annonce SET created_at = %s", [at])
    for direction in ("INBOUND", "OUTBOUND"):
        crm.connection.execute(
            "INSERT INTO message (org_id, dossier_id, direction, timestamp) VALUES (%s, %s, %s, %s)",
            [ORG, lead, direction, at],
        )
    crm.connection.execute(
        "INSERT INTO appointment (org_id, dossier_id, start_time, end_time, created_at)"
        " VALUES (%s, %s, now(), now(), %s)",
        [ORG, lead, at],
    )
    assert crm.extract().rows.equals(before)


def test_times_without_a_zone_are_of_the_zone_that_the_setting_names(crm: Crm) -> None:
    """In Paris it is an hour later than UTC in winter, two in summer; the day of creation moves with it."""
    winter = crm.lead(datetime(2026, 1, 15, 0, 30), ("LOST", datetime(2026, 3, 1)))
    summer = crm.lead(datetime(2026, 5, 1, 1, 30), ("LOST", datetime(2026, 5, 20)))
    rows = crm.extract(**PARIS).rows.drop_duplicates("lead_id")
    assert dict(zip(rows["lead_id"], rows["created_on"], strict=True)) == {winter: "2026-01-14", summer: "2026-04-30"}
    created = f"SELECT created_at FROM {LEAD_OUTCOMES} ORDER BY created_at"
    assert crm.connection.execute(created, outcome_parameters(window(**PARIS))).fetchall() == [
        (datetime(2026, 1, 14, 23, 30),),
        (datetime(2026, 4, 30, 23, 30),),
    ]


@pytest.mark.parametrize(
    ("wall_time", "moment"),
    [
        # 02:30 did not exist on this night: the clock went from 02:00 to 03:00
        (datetime(2026, 3, 29, 2, 30), datetime(2026, 3, 29, 1, 30)),
        (datetime(2026, 3, 29, 1, 59), datetime(2026, 3, 29, 0, 59)),
        (datetime(2026, 3, 29, 3, 0), datetime(2026, 3, 29, 1, 0)),
        # 02:30 came twice on this night: the second time counts
        (datetime(2025, 10, 26, 2, 30), datetime(2025, 10, 26, 1, 30)),
        (datetime(2025, 10, 26, 1, 59), datetime(2025, 10, 25, 23, 59)),
        (datetime(2025, 10, 26, 3, 0), datetime(2025, 10, 26, 2, 0)),
    ],
)
def test_a_wall_time_of_a_night_when_the_clocks_change_is_one_moment(
    crm: Crm, wall_time: datetime, moment: datetime
) -> None:
    query = "SELECT leadscore.crm_moment(%s::timestamp, 'Europe/Paris')"
    assert crm.connection.execute(query, [wall_time]).fetchone() == (moment,)


def test_a_day_over_the_night_when_the_clocks_change_has_24_hours(crm: Crm) -> None:
    """The landmark of one day is 24 hours after the creation, and on the wall an hour later."""
    lead = crm.lead(datetime(2026, 3, 28, 12), ("LOST", datetime(2026, 4, 1)))
    crm.message(lead, datetime(2026, 3, 29, 13))
    crm.message(lead, datetime(2026, 3, 29, 13, 1))
    assert crm.values(lead, "inbound_messages_count", **PARIS) == [0, 1, 2]


def test_columns_with_a_zone_of_their_own_are_taken_as_moments(own_crm: Crm) -> None:
    """Creation in UTC with a zone, messages without: the answer came 20 minutes after the creation, not 140."""
    lead = own_crm.lead(datetime(2026, 5, 1, 10), ("LOST", datetime(2026, 5, 9)))
    own_crm.message(lead, datetime(2026, 5, 1, 12, 20), "OUTBOUND")
    before = own_crm.extract().rows
    for table, column in (("dossier", "created_at"), ("dossier_status_history", "transitioned_at")):
        own_crm.connection.execute(
            f"ALTER TABLE {table} ALTER {column} TYPE timestamptz USING {column} AT TIME ZONE 'UTC'"
        )
    assert own_crm.extract().rows.equals(before)
    assert own_crm.values(lead, "response_time_minutes")[1:] == [140, 140, 140]
    assert own_crm.values(lead, "response_time_minutes", **PARIS)[1:] == [20, 20, 20]


def test_a_column_of_dates_is_midnight_in_the_zone(own_crm: Crm) -> None:
    own_crm.connection.execute("ALTER TABLE dossier ALTER created_at TYPE date")
    lead = own_crm.lead(datetime(2026, 5, 1), ("LOST", datetime(2026, 5, 9)))
    own_crm.message(lead, datetime(2026, 5, 1, 0, 10), "OUTBOUND")
    assert own_crm.rows(lead, **PARIS)[1]["created_on"] == "2026-04-30"
    assert own_crm.values(lead, "response_time_minutes", **PARIS)[1] == 10


def test_a_zone_that_postgresql_does_not_know_is_refused(crm: Crm) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        crm.extract(crm_time_zone="Europe/Pariis")
    assert refusal.value.message == (
        "CRM_TIME_ZONE is 'Europe/Pariis', which PostgreSQL does not know. Use UTC, or a name from its view"
        " pg_timezone_names, such as Europe/Paris."
    )
