"""What our sessions ask of PostgreSQL is asked in each transaction: a pooler hands the session on to others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from leadscore.errors import DatabaseUnavailable, SourceMismatch
from leadscore.features import CONTRACT
from leadscore.outcome_forecast import OutcomeCounts, counts_query
from leadscore.records import Window
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.resources import Crm as CrmResource
from leadscore_assets.source import orgs, outcomes
from leadscore_assets.source.database import connect, explaining
from leadscore_assets.source.extraction import extract
from leadscore_assets.source.lead_features import features_at, open_leads
from leadscore_assets.source.pooled import extract_pooled
from serving.dependencies.crm_database import MAY_NOT, ask
from serving.dependencies.probes import database_state
from serving.dependencies.readiness_source import TASK
from standalone.crm import TABLES
from standalone.crm_source import given_crm
from tests.leadscore_assets.source.hand_made_crm import ORG, Crm, day, window
from tests.leadscore_assets.source.pooler import Pooler, pooler_before

ASKED = ("timezone", "statement_timeout", "row_security", "transaction_read_only", "default_transaction_read_only")


@pytest.fixture
def pooler(database: Settings) -> Iterator[Pooler]:
    with pooler_before(database) as pooler:
        yield pooler


@pytest.fixture
def reader(own_crm: Crm) -> Iterator[Settings]:
    """Give the settings of a role that reads the CRM and sees the leads of one org only, by a policy."""
    own_crm.lead(day(100), ("WON", day(90)))
    own_crm.lead(day(100), ("LOST", day(90)), org_id="hidden")
    name = f"reader_of_{own_crm.settings.db_name}"
    role, connection = sql.Identifier(name), own_crm.connection
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p'").format(role))
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA leadscore TO {}").format(role))
    connection.execute(sql.SQL("GRANT SELECT ON leadscore.materializations TO {}").format(role))
    for table in TABLES:
        connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(sql.Identifier(table), role))
    connection.execute("ALTER TABLE dossier ENABLE ROW LEVEL SECURITY")
    connection.execute(sql.SQL("CREATE POLICY by_org ON dossier USING (org_id = {})").format(ORG))
    yield replace(own_crm.settings, db_user=name, db_password="p")
    connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
    connection.execute(sql.SQL("DROP ROLE {}").format(role))


def asked_by_the_server(settings: Settings, org_id: str, asked: Window) -> OutcomeCounts:
    return ask(settings, *counts_query(org_id, asked), OutcomeCounts, task=TASK)


def shown(connection: psycopg.Connection[tuple[object, ...]], names: tuple[str, ...] = ASKED) -> dict[str, object]:
    return {name: (connection.execute(f"SHOW {name}").fetchone() or ("",))[0] for name in names}


@pytest.mark.parametrize("read_only", [True, False])
def test_each_transaction_sets_what_it_needs_and_leaves_the_session_as_it_was(
    database: Settings, *, read_only: bool
) -> None:
    with connect(database, read_only=read_only) as connection:
        before = shown(connection)
        for _ in range(2):
            with connection.transaction():
                assert shown(connection, ASKED[:4]) == {
                    "timezone": "UTC",
                    "statement_timeout": "10min",
                    "row_security": "off",
                    "transaction_read_only": "on" if read_only else "off",
                }
                with connection.transaction():
                    assert shown(connection, ("row_security",)) == {"row_security": "off"}
        assert shown(connection) == before
    assert (before["row_security"], before["statement_timeout"]) == ("on", "0")


def test_a_transaction_that_failed_leaves_the_session_as_it_was(database: Settings) -> None:
    with connect(database) as connection:
        before = shown(connection)
        with pytest.raises(psycopg.errors.UndefinedTable), connection.transaction():
            connection.execute("SELECT * FROM x")
        assert shown(connection) == before


def test_a_role_whose_default_is_read_only_may_still_write_where_we_write(database: Settings) -> None:
    with connect(database) as connection:
        connection.execute("SET default_transaction_read_only = on")
        with connection.transaction():
            connection.execute("CREATE TABLE t ()")


def test_no_connection_of_ours_sends_startup_options(pooler: Pooler, own_crm: Crm) -> None:
    own_crm.lead(day(100), ("WON", day(90)))
    settings = pooler.settings
    assert CrmResource(settings).orgs() == [ORG]
    assert extract(settings, ORG, window()).counts.records == 1
    assert asked_by_the_server(settings, ORG, window()).records
    assert database_state(settings).state == "up"
    assert given_crm(settings)
    assert len(pooler.startups) == 5
    assert {name for startup in pooler.startups for name in startup} <= {"user", "database", "application_name"}


READINGS: dict[str, Callable[[Settings], object]] = {
    "the orgs": lambda settings: CrmResource(settings).orgs(),
    "one org's records": lambda settings: extract(settings, ORG, window()),
    "all orgs' records": lambda settings: extract_pooled(settings, [ORG], window()).counts.unreadable_orgs,
    "the open leads": lambda settings: _connected(settings, lambda c: open_leads(c, ORG, window())),
    "the features of leads": lambda settings: _connected(
        settings, lambda c: features_at(c, ORG, ["1"], [day(1)], CONTRACT, crm_time_zone="UTC")
    ),
    "the orgs that are due": lambda settings: _connected(settings, lambda c: orgs.training_needs(c, window(), {}, 1)),
    "an org's outcomes": lambda settings: _connected(settings, lambda c: outcomes.outcome_counts(c, ORG, window())),
    "the given CRM": given_crm,
}


def _connected(settings: Settings, ask: Callable[..., object]) -> object:
    with connect(settings, read_only=True) as connection:
        return ask(connection)


@pytest.mark.parametrize("what", READINGS)
def test_rows_that_a_policy_hides_are_an_error_that_says_what_helps(reader: Settings, what: str) -> None:
    with pytest.raises(SourceMismatch, match=r'row-level security policy for table "dossier"') as refusal:
        READINGS[what](reader)
    for words in ("ALTER ROLE … BYPASSRLS", "ROW_SECURITY=on"):
        assert words in refusal.value.message


def test_the_server_says_of_hidden_rows_what_helps(reader: Settings) -> None:
    with pytest.raises(DatabaseUnavailable) as refusal:
        asked_by_the_server(reader, ORG, window())
    assert refusal.value.message == MAY_NOT.format(task=TASK)
    assert "BYPASSRLS" in MAY_NOT
    assert "ROW_SECURITY=on" in MAY_NOT


def test_a_site_whose_policy_admits_all_rows_says_so_by_a_setting(own_crm: Crm, reader: Settings) -> None:
    own_crm.connection.execute("ALTER POLICY by_org ON dossier USING (true)")
    settings = replace(reader, row_security="on")
    assert CrmResource(settings).orgs() == ["hidden", ORG]
    assert asked_by_the_server(settings, "hidden", window()).records


def test_a_role_that_may_pass_by_the_policy_sees_every_org(own_crm: Crm, reader: Settings) -> None:
    own_crm.connection.execute(sql.SQL("ALTER ROLE {} BYPASSRLS").format(sql.Identifier(reader.db_user)))
    assert CrmResource(reader).orgs() == ["hidden", ORG]
    assert asked_by_the_server(reader, "hidden", window()).records


def test_a_role_without_select_is_told_the_grant(own_crm: Crm, reader: Settings) -> None:
    own_crm.connection.execute("ALTER TABLE dossier DISABLE ROW LEVEL SECURITY")
    own_crm.connection.execute(sql.SQL("REVOKE SELECT ON dossier FROM {}").format(sql.Identifier(reader.db_user)))
    with pytest.raises(SourceMismatch, match="permission denied for table dossier") as refusal:
        CrmResource(reader).orgs()
    assert "GRANT SELECT ON ALL TABLES IN SCHEMA … TO …" in refusal.value.message
    with pytest.raises(DatabaseUnavailable, match="GRANT"):
        asked_by_the_server(reader, ORG, window())


def test_a_refusal_of_rights_shows_its_sentence_whatever_the_servers_language(database: Settings) -> None:
    """Nothing is read from the text, which the server translates."""
    set_up(database)
    error = psycopg.errors.InsufficientPrivilege("droit refusé")
    with pytest.raises(SourceMismatch, match=r"droit refusé.*GRANT SELECT"), explaining("asking", "Make x."):
        raise error
