"""A lead that is gone from the CRM leaves our tables after the delay, and many never go at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from leadscore.errors import SourceMismatch
from leadscore.pooling import POOLED
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.retention.absent_leads import AbsentLeads, absent_leads, erase_absent_leads, leads_in_crm
from leadscore_assets.source.tables import ASSETS_WITH_ROWS
from standalone.crm import TABLES
from tests.leadscore_assets.retention.conftest import Holding

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def tick(holding: Holding, days: float = 0, **changed: object) -> tuple[AbsentLeads, list[str]]:
    """Look for absent leads `days` after NOW; return what was found, and what was erased in words."""
    settings = replace(holding.settings, **changed)
    absent, erased = erase_absent_leads(settings, NOW + timedelta(days=days))
    return absent, [str(table) for table in erased]


def test_nothing_is_absent_while_the_crm_has_all_leads(holding: Holding) -> None:
    absent, erased = tick(holding, org_absent_days=0)
    assert (absent.held, absent.absent, absent.due, absent.is_too_many, erased) == (10, 0, 0, False, [])
    assert str(absent) == "the CRM has all 10 leads that we hold"


def test_a_lead_goes_after_its_time_and_not_before(holding: Holding) -> None:
    gone, *others = holding.leads_of("north")
    holding.delete(f"id = {gone}")
    absent, erased = tick(holding)
    assert str(absent) == (
        "the CRM no longer has 1 of the 10 leads that we hold (north: 1), the first since 2026-06-01 00:00 UTC;"
        " a lead is erased from our tables after 7 days"
    )
    assert (absent.due, erased) == (0, [])
    assert tick(holding, days=6.9)[1] == []
    assert gone in holding.held("lead_features", "north")

    absent, erased = tick(holding, days=7)

    assert erased == ["6 rows of 1 lead from conversion_records", "6 rows of 1 lead from lead_features"]
    for table in ASSETS_WITH_ROWS:
        assert holding.held(table, "north") == sorted(others)
        assert gone not in holding.held(table, POOLED)
    assert holding.column("SELECT lead_id FROM leadscore.absent_ids") == []
    assert tick(holding, days=8)[0].absent == 0


def test_a_lead_that_comes_back_counts_anew(holding: Holding) -> None:
    [gone, *_] = holding.leads_of("north")
    hide, show = f"UPDATE dossier SET org_id = 'x' WHERE id = {gone}", "UPDATE dossier SET org_id = 'north' WHERE id = "
    holding.connection.execute(hide.encode())
    tick(holding)
    holding.connection.execute((show + gone).encode())
    tick(holding, days=5)
    holding.connection.execute(hide.encode())
    assert tick(holding, days=9)[0].first == NOW + timedelta(days=9)
    assert tick(holding, days=15.9)[1] == []
    assert len(tick(holding, days=16)[1]) == 2


def test_leads_that_callers_invented_go_after_the_delay_and_never_hold_up_an_erasure(holding: Holding) -> None:
    gone, *_ = leads = holding.leads_of("north")
    holding.answer("north", [*leads, *(f"A-{number}" for number in range(100))])
    holding.answer("nowhere", ["B-1"])
    holding.delete(f"id = {gone}")
    absent, erased = tick(holding)
    assert (absent.held, absent.by_org, absent.due, erased) == (10, {"north": 1}, 0, [])

    absent, erased = tick(holding, days=7)

    assert (absent.due, absent.is_too_many) == (1, False)
    assert erased == [
        "6 rows of 1 lead from conversion_records",
        "6 rows of 1 lead from lead_features",
        "102 rows of 102 leads from answered_score",
    ]
    assert holding.held("answered_score", "north") == sorted(leads[1:])


def test_an_org_that_is_gone_leaves_its_lines_too(holding: Holding) -> None:
    holding.delete("org_id = 'south'")
    absent, erased = tick(holding, org_absent_days=0)
    assert (absent.by_org, absent.due) == ({"south": 2}, 2)
    assert erased == [
        "12 rows of 2 leads from conversion_records",
        "12 rows of 2 leads from lead_features",
        "3 rows from materializations",
    ]
    assert holding.lines() == [POOLED, "north"]
    assert len(holding.held("lead_features", POOLED)) == 8


def test_an_org_without_leads_in_our_tables_leaves_its_lines_too(holding: Holding) -> None:
    holding.store("west", [])
    assert tick(holding, org_absent_days=0)[1] == ["3 rows from materializations"]
    assert holding.lines() == [POOLED, "north", "south"]


def test_more_than_the_share_are_not_erased_at_once_and_the_text_says_what_to_do(holding: Holding) -> None:
    holding.delete("org_id = 'north'")
    tick(holding)
    absent, erased = tick(holding, days=300)
    assert (absent.due, absent.is_too_many, absent.is_withheld, erased) == (8, True, True, [])
    assert str(absent) == (
        "the CRM no longer has 8 of the 10 leads that we hold (north: 8), the first since 2026-06-01 00:00 UTC; at most"
        " 2 may be erased at once, and none is when more are due. Check that the CRM's table dossier is complete; if"
        " these leads are gone, raise MAX_ORGS_REMOVED_SHARE, or erase an org by"
        " `python -m leadscore_assets.commands.erase --org …`"
    )
    assert holding.lines() == [POOLED, "north", "south"]
    assert len(holding.held("lead_features", POOLED)) == 10
    assert len(tick(holding, days=301, max_orgs_removed_share=0.8)[1]) == 3
    assert holding.held("lead_features", POOLED) == sorted(holding.leads_of("south"))


def test_an_emptied_crm_costs_no_row_and_no_line_however_long_it_is_empty(holding: Holding) -> None:
    holding.delete("true")
    for days in (0, 7, 300):
        assert tick(holding, days=days)[1] == []
    assert holding.lines() == [POOLED, "north", "south"]


@pytest.mark.parametrize(
    ("gone", "share", "is_erased"), [(2, 0.2, True), (3, 0.2, False), (1, 0.0, True), (10, 1.0, True)]
)
def test_one_lead_may_always_go(holding: Holding, gone: int, share: float, is_erased: bool) -> None:
    holding.delete(f"id IN (SELECT id FROM dossier ORDER BY id LIMIT {gone})")
    absent, erased = tick(holding, org_absent_days=0, max_orgs_removed_share=share)
    assert (absent.absent, absent.is_withheld, erased != []) == (gone, not is_erased, is_erased)


def test_ids_are_compared_within_their_org(holding: Holding) -> None:
    """The lead 1 of another org does not stand for the lead 1 of this one."""
    holding.store("south", [*holding.leads_of("south"), *holding.leads_of("north")[:1]])
    assert tick(holding)[0].by_org == {"south": 1}


def test_ids_of_other_types_and_views_are_compared_as_text(holding: Holding) -> None:
    [gone, kept, *_] = holding.leads_of("north")
    holding.connection.execute(
        b"""
        ALTER TABLE dossier RENAME TO crm_dossier;
        CREATE TABLE lead_uuid AS SELECT id, org_id, md5(id::text)::uuid AS lead FROM crm_dossier;
        CREATE VIEW dossier AS SELECT lead AS id, md5(org_id)::uuid AS org_id FROM lead_uuid;
        UPDATE leadscore.conversion_records SET lead_id = md5(lead_id)::uuid, org_id = md5(org_id)::uuid,
            crm_org_id = NULL WHERE crm_org_id IS NULL;
        DELETE FROM leadscore.conversion_records WHERE org_id = '_pooled';
        TRUNCATE leadscore.lead_features, leadscore.materializations;
        """
    )
    assert tick(holding)[0].absent == 0
    holding.connection.execute(f"DELETE FROM lead_uuid WHERE id = {gone}".encode())
    assert tick(holding, org_absent_days=0)[1] == ["3 rows of 1 lead from conversion_records"]
    [org_id, lead_id] = holding.column("SELECT md5(v)::uuid FROM unnest(%s::text[]) AS v", ["north", kept])
    assert leads_in_crm(holding.connection, org_id, [lead_id]) == 1


def test_the_survey_changes_nothing(holding: Holding) -> None:
    holding.delete("org_id = 'south'")
    absent = absent_leads(replace(holding.settings, org_absent_days=0), NOW)
    assert (absent.due, absent.first) == (2, NOW)
    assert holding.column("SELECT lead_id FROM leadscore.absent_ids") == []
    assert holding.lines() == [POOLED, "north", "south"]


def test_a_policy_that_hides_leads_is_an_error_and_nothing_is_erased(holding: Holding, reader: Settings) -> None:
    holding.connection.execute(b"ALTER TABLE dossier ENABLE ROW LEVEL SECURITY")
    with pytest.raises(SourceMismatch, match="row-level security"):
        erase_absent_leads(replace(reader, org_absent_days=0), NOW)
    assert len(holding.held("lead_features", POOLED)) == 10


def test_a_crm_without_leads_table_is_an_error_and_nothing_is_erased(holding: Holding) -> None:
    holding.connection.execute(b"ALTER TABLE dossier RENAME TO away")
    with pytest.raises(SourceMismatch, match="create a view named dossier"):
        tick(holding, org_absent_days=0)
    assert len(holding.held("lead_features", POOLED)) == 10


def test_lead_ids_of_a_sites_own_sql_are_named_as_a_cause(holding: Holding) -> None:
    holding.delete("true")
    absent, _ = tick(holding, records_sql=Path("own.sql"))
    assert "complete, and that its column id has the lead ids that RECORDS_SQL returns; if" in str(absent)


def test_leads_are_counted_in_the_crm(holding: Holding) -> None:
    first, *_ = holding.leads_of("north")
    assert leads_in_crm(holding.connection, "north", []) == 8
    assert leads_in_crm(holding.connection, "north", [first, "none"]) == 1
    assert leads_in_crm(holding.connection, "south", [first]) == 0


def test_many_orgs_are_named_up_to_twenty() -> None:
    by_org = {f"org-{number}": number for number in range(1, 24)}
    absent = AbsentLeads(1_000, by_org, 0, NOW, 500, 7.0, has_own_sql=False)
    assert "(org-23: 23, org-22: 22, " in str(absent)
    assert "org-4: 4 and 3 orgs more)" in str(absent)


@pytest.fixture
def reader(holding: Holding) -> Iterator[Settings]:
    """Give the settings of a role that owns our tables and only reads the CRM's."""
    name = f"reader_of_{holding.settings.db_name}"
    role = sql.Identifier(name)
    with psycopg.connect(**holding.settings.database_arguments(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p'").format(role))
        connection.execute(sql.SQL("GRANT ALL ON SCHEMA leadscore TO {}").format(role))
        connection.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA leadscore TO {}").format(role))
        for table in TABLES:
            connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(sql.Identifier(table), role))
        yield replace(holding.settings, db_user=name, db_password="p")
        connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_setting_up_again_keeps_what_is_remembered(holding: Holding) -> None:
    holding.delete("org_id = 'south'")
    tick(holding)
    set_up(holding.settings)
    assert tick(holding, days=1)[0].first == NOW


def test_a_lead_that_a_training_stores_again_without_it_is_forgotten(holding: Holding) -> None:
    gone, *others = holding.leads_of("north")
    holding.delete(f"id = {gone}")
    tick(holding)
    holding.store("north", others)
    holding.store_pool({"north": others, "south": holding.leads_of("south")})
    tick(holding, days=1)
    assert holding.column("SELECT lead_id FROM leadscore.absent_ids") == []
