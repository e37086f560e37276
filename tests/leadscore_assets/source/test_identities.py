"""An org is known again by its first and its newest lead, whatever types the CRM has and whatever times it writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leadscore.errors import SourceMismatch
from leadscore.settings import Settings
from leadscore_assets.source import identities as module
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.source.identities import Identity, changed_orgs, identities, is_changed, remember, renew
from tests.leadscore_assets.source.hand_made_crm import Crm, day

KNOWN_AGAIN, GONE = Identity(2, 2, False), Identity(2, 0, False)


@pytest.fixture
def crm(crm: Crm) -> Crm:
    """Give an empty CRM of which nothing is remembered."""
    crm.connection.execute("TRUNCATE leadscore.org_identities")
    return crm


def remembered(connection: Connection, org_id: str = "north") -> list[str]:
    rows: Any = connection.execute(
        "SELECT lead_id FROM leadscore.org_identities WHERE org_id = %s ORDER BY created_at", [org_id]
    ).fetchall()
    return [lead_id for (lead_id,) in rows]


def leads(crm: Crm, *days: float, org_id: str = "north") -> list[str]:
    return [crm.lead(day(days_before), org_id=org_id) for days_before in days]


def forget_lead(crm: Crm, *lead_ids: str) -> None:
    crm.connection.execute("DELETE FROM dossier WHERE id = ANY(%s::bigint[])", [list(lead_ids)])


def test_the_first_and_the_newest_lead_of_each_org_are_remembered(crm: Crm) -> None:
    _, first, newest, _ = leads(crm, 5, 9, 1, 3)
    only = leads(crm, 4, org_id="south")
    remember(crm.connection, ["north", "south", "absent"])
    assert (remembered(crm.connection), remembered(crm.connection, "south")) == ([first, newest], only)
    assert identities(crm.connection) == {"north": KNOWN_AGAIN, "south": Identity(1, 1, False)}
    assert identities(crm.connection, ["south"]) == {"south": Identity(1, 1, False)}


def test_of_leads_of_one_moment_the_ids_decide(crm: Crm) -> None:
    first, *_, newest = leads(crm, 5, 5, 5)
    remember(crm.connection, ["north"])
    assert sorted(remembered(crm.connection)) == sorted([first, newest])


@pytest.mark.parametrize("gone", [0, 1])
def test_an_org_is_the_same_while_one_of_its_two_leads_is_there_and_then_another_is_remembered(
    gone: int, crm: Crm
) -> None:
    """As after old leads were deleted, two were merged, one was erased, or older ones were imported."""
    known = leads(crm, 9, 1)
    remember(crm.connection, ["north"])
    forget_lead(crm, known[gone])
    leads(crm, 5)
    [older] = leads(crm, 20)
    found = identities(crm.connection)
    assert found == {"north": Identity(2, 1, False)}
    assert not is_changed(crm.connection, "north")
    assert renew(crm.connection, found, ["north"]) == 1
    assert remembered(crm.connection)[0] == older
    assert identities(crm.connection)["north"] == KNOWN_AGAIN
    assert renew(crm.connection, identities(crm.connection), ["north"]) == 0


def test_an_org_whose_leads_are_all_others_has_changed_and_what_was_remembered_stays(crm: Crm) -> None:
    known = leads(crm, 9, 1)
    remember(crm.connection, ["north"])
    forget_lead(crm, *known)
    leads(crm, 2)
    found = identities(crm.connection)
    assert found == {"north": GONE}
    assert changed_orgs(found, ["north", "south"]) == ["north"]
    assert is_changed(crm.connection, "north")
    assert renew(crm.connection, found, ["north"]) == 0
    assert remembered(crm.connection) == known


def test_an_org_without_leads_has_not_changed_and_stays_remembered(crm: Crm) -> None:
    known = leads(crm, 9, 1)
    remember(crm.connection, ["north"])
    forget_lead(crm, *known)
    remember(crm.connection, ["north"])
    assert remembered(crm.connection) == known
    assert changed_orgs(identities(crm.connection), []) == []
    assert not is_changed(crm.connection, "north")


def test_an_org_of_which_nothing_is_remembered_is_adopted(crm: Crm) -> None:
    leads(crm, 9, 1)
    assert not is_changed(crm.connection, "north")
    assert changed_orgs(identities(crm.connection), ["north"]) == []
    assert renew(crm.connection, {}, ["north"]) == 1
    assert identities(crm.connection) == {"north": KNOWN_AGAIN}


@pytest.mark.parametrize("change", ["created_at = created_at + interval '1 microsecond'", "org_id = 'south'"])
def test_the_same_id_with_another_time_or_in_another_org_is_another_lead(change: str, crm: Crm) -> None:
    """Ids are given anew from 1 when a database is."""
    leads(crm, 9, 1)
    remember(crm.connection, ["north"])
    crm.connection.execute(f"UPDATE dossier SET {change}")
    leads(crm, 3)
    assert is_changed(crm.connection, "north")


@pytest.mark.parametrize("moment", ["-infinity", "infinity", "0001-01-01", "290000-01-01"])
def test_a_lead_with_an_impossible_time_is_not_what_an_org_is_known_by(moment: str, crm: Crm) -> None:
    """So to correct its time, or to delete it, is no change of the org."""
    wrong, *known = leads(crm, 9, 5, 1)
    crm.connection.execute("UPDATE dossier SET created_at = %s WHERE id = %s", [moment, wrong])
    remember(crm.connection, ["north"])
    assert remembered(crm.connection) == known
    forget_lead(crm, wrong)
    assert identities(crm.connection)["north"] == KNOWN_AGAIN


def test_an_org_whose_leads_all_have_impossible_times_can_be_accepted(crm: Crm) -> None:
    leads(crm, 9, 1)
    remember(crm.connection, ["north"])
    crm.connection.execute("UPDATE dossier SET created_at = '-infinity'")
    assert is_changed(crm.connection, "north")
    remember(crm.connection, ["north"])
    assert not is_changed(crm.connection, "north")


@pytest.mark.parametrize("id_type", ["bigint", "text"])
def test_a_renewal_does_not_adopt_an_org_whose_id_was_given_away_since_it_was_looked_at(
    id_type: str, own_crm: Crm
) -> None:
    known = leads(own_crm, 9, 1)
    remember(own_crm.connection, ["north"])
    forget_lead(own_crm, known[0])
    found = identities(own_crm.connection)
    forget_lead(own_crm, known[1])
    leads(own_crm, 2)
    if id_type == "text":
        for table in ("message", "appointment"):
            own_crm.connection.execute(f"DROP TABLE {table}")
        own_crm.connection.execute("ALTER TABLE dossier ALTER id DROP DEFAULT, ALTER id TYPE text")
    renew(own_crm.connection, found, ["north"])
    assert remembered(own_crm.connection) == known
    assert is_changed(own_crm.connection, "north")


@pytest.mark.parametrize(
    ("id_type", "to_id"),
    [
        ("uuid", "md5(id::text)::uuid"),
        ("text", "'lead ' || id"),
        ("varchar(255)", "id::text"),
        ("char(36)", "md5(id::text)::uuid::text"),
        ("numeric", "id::numeric"),
    ],
)
@pytest.mark.parametrize("time_type", ["timestamp", "timestamptz", "date"])
def test_ids_and_times_may_have_any_type(id_type: str, to_id: str, time_type: str, own_crm: Crm) -> None:
    leads(own_crm, 9, 1)
    own_crm.connection.execute("ALTER TABLE dossier ALTER id DROP DEFAULT")
    for table in ("message", "appointment", "lead_score"):
        own_crm.connection.execute(f"DROP TABLE {table}")
    own_crm.connection.execute(f"ALTER TABLE dossier ALTER id TYPE {id_type} USING {to_id}")
    own_crm.connection.execute(f"ALTER TABLE dossier ALTER created_at TYPE {time_type}")
    remember(own_crm.connection, ["north"])
    assert identities(own_crm.connection)["north"] == KNOWN_AGAIN
    own_crm.connection.execute("UPDATE dossier SET created_at = created_at - interval '1 day'")
    assert identities(own_crm.connection)["north"] == GONE


def test_orgs_may_have_uuids(own_crm: Crm) -> None:
    org_id = "0b7e7dee-87be-4a4e-a1b4-7b9f4fb7a1d3"
    leads(own_crm, 9, 1, org_id=org_id)
    own_crm.connection.execute("ALTER TABLE dossier ALTER org_id TYPE uuid USING org_id::uuid")
    remember(own_crm.connection, [org_id])
    assert identities(own_crm.connection) == {org_id: KNOWN_AGAIN}
    assert not is_changed(own_crm.connection, org_id)


def test_leads_whose_ids_have_another_type_than_before_are_other_leads(own_crm: Crm) -> None:
    """No value of the one type need be a value of the other."""
    leads(own_crm, 9, 1)
    for table in ("message", "appointment", "lead_score"):
        own_crm.connection.execute(f"DROP TABLE {table}")
    own_crm.connection.execute("ALTER TABLE dossier ALTER id DROP DEFAULT")
    own_crm.connection.execute("ALTER TABLE dossier ALTER id TYPE uuid USING md5(id::text)::uuid")
    remember(own_crm.connection, ["north"])
    own_crm.connection.execute("ALTER TABLE dossier ALTER id TYPE bigint USING extract(epoch FROM created_at)")
    assert identities(own_crm.connection)["north"] == GONE


def test_a_view_is_as_good_as_a_table(own_crm: Crm) -> None:
    leads(own_crm, 9, 1)
    own_crm.connection.execute("CREATE SCHEMA crm")
    own_crm.connection.execute("ALTER TABLE dossier SET SCHEMA crm")
    own_crm.connection.execute("CREATE VIEW dossier AS SELECT * FROM crm.dossier")
    remember(own_crm.connection, ["north"])
    assert identities(own_crm.connection)["north"] == KNOWN_AGAIN


def test_what_is_remembered_is_renewed_daily_so_that_a_purge_of_old_leads_leaves_one(crm: Crm) -> None:
    _, newest = leads(crm, 9, 5)
    remember(crm.connection, ["north"])
    [newer] = leads(crm, 1)
    crm.connection.execute("UPDATE leadscore.org_identities SET remembered_at = now() - interval '23 hours'")
    assert renew(crm.connection, identities(crm.connection), ["north"]) == 0
    assert remembered(crm.connection)[1] == newest
    crm.connection.execute("UPDATE leadscore.org_identities SET remembered_at = now() - interval '25 hours'")
    assert identities(crm.connection) == {"north": Identity(2, 2, True)}
    assert renew(crm.connection, identities(crm.connection), ["north"]) == 1
    assert remembered(crm.connection)[1] == newer
    assert identities(crm.connection) == {"north": KNOWN_AGAIN}


def test_so_many_orgs_are_renewed_at_once_and_new_ones_come_first(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEWED_AT_A_TIME", 2)
    for org_id in "abc":
        leads(crm, 1, org_id=org_id)
    remember(crm.connection, ["a"])
    crm.connection.execute("UPDATE leadscore.org_identities SET remembered_at = now() - interval '2 days'")
    assert renew(crm.connection, identities(crm.connection), "abc") == 2
    assert [identities(crm.connection)[org_id].is_old for org_id in "abc"] == [True, False, False]
    assert renew(crm.connection, identities(crm.connection), "abc") == 1


def test_a_role_with_another_date_style_and_time_zone_knows_the_same_moments(own_crm: Crm) -> None:
    leads(own_crm, 9, 1)
    remember(own_crm.connection, ["north"])
    name = own_crm.settings.db_name
    own_crm.connection.execute(f"ALTER DATABASE {name} SET datestyle = 'SQL, DMY'")
    own_crm.connection.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'")
    with connect(own_crm.settings) as other:
        assert identities(other)["north"] == KNOWN_AGAIN


def test_a_database_that_was_not_set_up_says_how_to(database: Settings) -> None:
    with (
        connect(database) as connection,
        pytest.raises(SourceMismatch, match=r"comparing the orgs' leads .* Run `python -m leadscore_assets\.commands"),
    ):
        identities(connection)


def test_an_orgs_leads_are_looked_up_by_keys_and_not_by_a_scan(own_crm: Crm) -> None:
    own_crm.connection.execute(
        "INSERT INTO dossier (org_id, status, created_at, updated_at) SELECT 'org-' || number % 20, 'NEW',"
        " timestamp '2026-01-01' + number * interval '1 second', now() FROM generate_series(1, 40000) AS number"
    )
    remember(own_crm.connection, [f"org-{number}" for number in range(20)])
    own_crm.connection.execute("ANALYZE")
    before = scanned(own_crm.connection)
    assert len(identities(own_crm.connection)) == 20
    assert 40 <= scanned(own_crm.connection) - before < 200


def scanned(connection: Connection) -> int:
    connection.execute("SELECT pg_stat_force_next_flush()")
    row: Any = connection.execute(
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'dossier'"
    ).fetchone()
    return int(row[0])


def test_moments_are_those_of_utc(crm: Crm) -> None:
    """An org's time of creation is the same moment whether the CRM writes a zone or none."""
    [lead] = leads(crm, 1)
    remember(crm.connection, ["north"])
    row: Any = crm.connection.execute("SELECT lead_id, created_at FROM leadscore.org_identities").fetchone()
    assert row[0] == lead
    assert row[1].astimezone(UTC) == datetime(2026, 6, 1, tzinfo=UTC) - timedelta(days=1)
