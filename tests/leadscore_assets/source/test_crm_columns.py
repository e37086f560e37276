"""The types that the CRM's columns may have: what PostgreSQL can cast is read, all else is refused by name and type."""

from __future__ import annotations

import pytest

from leadscore.errors import SourceMismatch
from leadscore.features import CONTRACT
from leadscore_assets.source.crm_columns import COLUMNS, check_columns
from leadscore_assets.source.lead_features import features_at, open_leads
from leadscore_assets.source.orgs import orgs, training_needs
from leadscore_assets.source.outcomes import outcome_counts
from standalone.crm import TABLES
from tests.leadscore_assets.source.hand_made_crm import ORG, Crm, day, window

UUID = "8a1f0c1e-0000-4000-8000-00000000000a"


def fill(crm: Crm) -> None:
    """Make leads with everything that the SQL reads."""
    for age in range(120, 90, -2):
        lead = crm.lead(day(age), ("LOST" if age % 4 else "WON", day(age - 5)), annonce_id=crm.listing(price=9))
        crm.message(lead, day(age - 0.5), "OUTBOUND")
        crm.appointment(lead, day(age - 1), "CANCELLED", day(age - 2))
        crm.insert("lead_score", org_id=ORG, dossier_id=int(lead), source_score=20)
    crm.lead(day(10))


def change(crm: Crm, table: str, column: str, kind: str, using: str = "{0}::text::{1}") -> None:
    """Give a column another type, without the rules that only fit the old one."""
    crm.connection.execute(
        f"ALTER TABLE {table} ALTER {column} DROP DEFAULT, ALTER {column} TYPE {kind}"
        f" USING {using.format(column, kind)}"
    )


def without_rules(crm: Crm) -> None:
    """Drop the constraints that hold a column to its type."""
    query = (
        "SELECT conrelid::regclass::text, conname::text FROM pg_constraint"
        " WHERE contype IN ('c', 'f') AND conrelid = ANY (%s::regclass[])"
    )
    for table, name in crm.connection.execute(query, [list(TABLES)]).fetchall():
        crm.connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')


def test_org_ids_of_type_uuid_give_the_same_records(own_crm: Crm) -> None:
    fill(own_crm)
    before = own_crm.extract()
    without_rules(own_crm)
    for table in TABLES:
        own_crm.connection.execute(f"UPDATE {table} SET org_id = '{UUID}'")
        change(own_crm, table, "org_id", "uuid")
    after = own_crm.extract(UUID)
    assert after.rows.equals(before.rows)
    assert after.counts == before.counts
    assert orgs(own_crm.connection) == [UUID]
    [need] = training_needs(own_crm.connection, window(), {}, 1)
    assert (need.org_id, need.records) == (UUID, 15)
    assert len(outcome_counts(own_crm.connection, UUID, window()).open_leads) == 1
    [lead] = open_leads(own_crm.connection, UUID, window()).lead_ids
    assert features_at(own_crm.connection, UUID, [lead], [day(5)], CONTRACT, crm_time_zone="UTC")[0, -2] == 5


def test_an_id_that_no_org_of_the_type_can_have_has_no_outcomes(own_crm: Crm) -> None:
    without_rules(own_crm)
    for table in TABLES:
        change(own_crm, table, "org_id", "uuid")
    assert outcome_counts(own_crm.connection, "not-a-uuid", window()).age_days is None


def test_statuses_and_directions_of_an_enum_or_citext_give_the_same_records(own_crm: Crm) -> None:
    fill(own_crm)
    before = own_crm.extract()
    without_rules(own_crm)
    own_crm.connection.execute("CREATE TYPE lead_status AS ENUM ('NEW', 'WON', 'LOST')")
    own_crm.connection.execute("CREATE TYPE message_direction AS ENUM ('OUTBOUND')")
    own_crm.connection.execute("CREATE TYPE appointment_status AS ENUM ('CANCELLED')")
    own_crm.connection.execute("CREATE DOMAIN status_text AS text")
    change(own_crm, "dossier", "status", "lead_status")
    change(own_crm, "dossier_status_history", "to_status", "status_text")
    change(own_crm, "message", "direction", "message_direction")
    change(own_crm, "appointment", "status", "appointment_status")
    change(own_crm, "annonce", "photos_json", "text")
    change(own_crm, "annonce", "price", "real")
    change(own_crm, "lead_score", "source_score", "numeric")
    assert own_crm.extract().rows.equals(before.rows)


def test_leads_with_ids_of_type_uuid_are_read(own_crm: Crm) -> None:
    fill(own_crm)
    before = own_crm.extract()
    without_rules(own_crm)
    as_uuid = "lpad({0}::text, 32, '0')::{1}"
    change(own_crm, "dossier", "id", "uuid", as_uuid)
    for table in ("dossier_status_history", "message", "appointment", "lead_score"):
        change(own_crm, table, "dossier_id", "uuid", as_uuid)
    after = own_crm.extract().rows
    assert after.drop(columns="lead_id").equals(before.rows.drop(columns="lead_id"))
    assert after["lead_id"][0] == "00000000-0000-0000-0000-000000000001"


def test_views_stand_in_for_tables(own_crm: Crm) -> None:
    fill(own_crm)
    before = own_crm.extract()
    own_crm.connection.execute("CREATE SCHEMA theirs")
    for table in TABLES:
        own_crm.connection.execute(
            f"ALTER TABLE {table} SET SCHEMA theirs; CREATE VIEW {table} AS TABLE theirs.{table}"
        )
    assert own_crm.extract().rows.equals(before.rows)
    assert len(open_leads(own_crm.connection, ORG, window()).lead_ids) == 1


@pytest.mark.parametrize(
    ("table", "column", "kind", "says"),
    [
        ("dossier", "created_at", "text", "dossier.created_at is text (expected timestamp, timestamptz or date)"),
        ("message", '"timestamp"', "time", "message.timestamp is time without time zone (expected timestamp or"),
        ("message", '"timestamp"', "date", "message.timestamp is date (expected timestamp or timestamptz)"),
        ("annonce", "price", "money", "annonce.price is money (expected a type of number)"),
        ("lead_score", "source_score", "text", "lead_score.source_score is text (expected a type of number)"),
        ("message", "dossier_id", "text", "message.dossier_id is text, but dossier.id, which it names, is bigint"),
        (
            "annonce",
            "org_id",
            "uuid",
            "annonce.org_id is uuid, but dossier.org_id, which it names, is character",
        ),
        ("dossier", "annonce_id", "text", "dossier.annonce_id is text, but annonce.id, which it names, is bigint"),
    ],
)
def test_a_column_that_cannot_be_read_is_refused_with_its_name_and_type(
    own_crm: Crm, table: str, column: str, kind: str, says: str
) -> None:
    without_rules(own_crm)
    change(own_crm, table, column, kind)
    with pytest.raises(SourceMismatch) as refusal:
        own_crm.extract()
    assert says in refusal.value.message
    assert refusal.value.message.startswith("The CRM's tables cannot be read: ")
    assert "Create views of these tables' names that return such columns" in refusal.value.message


def test_every_fault_is_named_at_once(own_crm: Crm) -> None:
    without_rules(own_crm)
    change(own_crm, "dossier", "created_at", "text")
    own_crm.connection.execute("ALTER TABLE message DROP direction")
    with pytest.raises(SourceMismatch) as refusal:
        check_columns(own_crm.connection, tuple(COLUMNS))
    assert refusal.value.message.startswith(
        "The CRM's tables cannot be read: dossier.created_at is text (expected timestamp, timestamptz or date);"
        " message.direction is missing (expected any type). "
    )


def test_the_real_tables_have_every_column_and_what_is_not_read_may_be_missing(own_crm: Crm) -> None:
    own_crm.connection.execute("ALTER TABLE message DROP content, DROP channel")
    check_columns(own_crm.connection, tuple(COLUMNS))
    own_crm.connection.execute("DROP TABLE lead_score")
    check_columns(own_crm.connection, ["dossier", "lead_score"])
