"""Open leads: those that no status had closed by `as_of`, by the rule that makes records of the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest

from leadscore.errors import SourceMismatch
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.open_leads import open_leads
from standalone.crm_source import create_source_table, fill_crm
from standalone.orgs import Org
from standalone.simulator import into_folder, simulate
from tests.leadscore_assets.source.hand_made_crm import AS_OF, MICROSECOND, ORG, Crm, day

NOW = datetime(2026, 3, 15, tzinfo=UTC)


def _open(crm: Crm, **changed: object) -> set[str]:
    return set(open_leads(replace(crm.settings, as_of=AS_OF.replace(tzinfo=UTC), **changed), ORG, 100))


@pytest.mark.parametrize("status", ["WON", "LOST"])
def test_a_lead_is_open_until_the_moment_at_which_it_closes(crm: Crm, status: str) -> None:
    crm.lead(day(10), (status, AS_OF))
    later = crm.lead(day(10), (status, AS_OF + MICROSECOND))
    moved = crm.lead(day(10), ("QUALIFIED", day(5)))
    assert _open(crm) == {later, moved}


def test_a_status_that_the_settings_call_a_conversion_closes_a_lead_too(crm: Crm) -> None:
    booked = crm.lead(day(10), ("APPOINTMENT", day(5)))
    assert _open(crm) == {booked}
    assert _open(crm, conversion_statuses=("APPOINTMENT",)) == set()


def test_a_lead_that_is_older_than_the_conversion_window_is_still_open(crm: Crm) -> None:
    old = crm.lead(day(150))
    assert _open(crm, conversion_window_days=90) == {old}


def test_a_lead_that_closed_without_history_and_one_of_another_org_are_left_out(crm: Crm) -> None:
    crm.lead(day(10), status="WON")
    crm.lead(day(10), org_id="south")
    assert _open(crm) == set()


def test_a_lead_that_was_closed_at_its_creation_and_reopened_is_open(crm: Crm) -> None:
    reopened = crm.lead(day(20), ("LOST", day(20)), ("NEW", day(15)))
    assert _open(crm) == {reopened}


def test_the_time_may_be_written_in_any_zone(crm: Crm) -> None:
    crm.lead(day(10), ("WON", AS_OF))
    later = crm.lead(day(10), ("WON", AS_OF + MICROSECOND))
    elsewhere = AS_OF.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=5)))
    assert set(open_leads(replace(crm.settings, as_of=elsewhere), ORG, 100)) == {later}


def test_the_newest_are_kept_and_unknown_features_are_none(crm: Crm) -> None:
    crm.lead(day(20))
    newest = crm.lead(day(10))
    [(lead_id, features)] = open_leads(replace(crm.settings, as_of=AS_OF.replace(tzinfo=UTC)), ORG, 1).items()
    assert lead_id == newest
    assert features["response_time_minutes"] is None
    assert features["days_since_creation"] == 7


@pytest.fixture
def connection(database: Settings) -> Iterator[psycopg.Connection]:
    set_up(database)
    with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        create_source_table(connection)
        yield connection


@pytest.fixture
def export(tmp_path: Path) -> Path:
    into_folder(tmp_path / "export", simulate([Org("a", leads=150)], seed=5, now=NOW))
    return tmp_path / "export"


def test_open_leads_are_those_no_move_has_closed_with_the_contracts_features(
    connection: psycopg.Connection, database: Settings, export: Path
) -> None:
    settings = replace(database, crm_data=export, as_of=NOW)
    set_up(settings)
    fill_crm(connection, settings)
    rows = connection.execute(
        "SELECT id::text FROM dossier WHERE status NOT IN ('WON', 'LOST')"
        " AND created_at BETWEEN '2025-09-13' AND '2026-03-14'"
    ).fetchall()
    leads = open_leads(settings, "a", 1_000)
    assert set(leads) == {row[0] for row in rows}
    assert len(leads) > 5
    assert all(len(features) == 11 for features in leads.values())
    assert all(features["days_since_creation"] in settings.landmark_days for features in leads.values())
    assert list(open_leads(settings, "a", 3)) == list(leads)[-3:]


def test_query_for_open_leads_that_fails_is_explained(
    connection: psycopg.Connection, database: Settings, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(database, crm_data=export, as_of=NOW)
    set_up(settings)
    fill_crm(connection, settings)
    monkeypatch.setattr("leadscore_assets.source.open_leads.OPEN_LEADS", "SELECT no_such_column FROM dossier")
    with pytest.raises(SourceMismatch, match=r"while listing the open leads: .*no_such_column"):
        open_leads(settings, "a", 10)
