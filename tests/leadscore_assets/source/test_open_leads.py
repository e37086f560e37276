"""The open leads with their features as of now; `lead_features` has the rule of which are open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from leadscore.features import CONTRACT
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.open_leads import open_leads
from standalone.crm_source import create_source_table, fill_crm
from standalone.orgs import Org
from standalone.simulator import into_folder, simulate
from tests.leadscore_assets.source.hand_made_crm import AS_OF, ORG, Crm, day

NOW = datetime(2026, 3, 15, tzinfo=UTC)


def test_the_newest_are_kept_and_unknown_features_are_none(crm: Crm) -> None:
    crm.lead(day(20))
    newest = crm.lead(day(10.5))
    crm.lead(day(5), ("LOST", day(4)))
    [(lead_id, features)] = open_leads(replace(crm.settings, as_of=AS_OF.replace(tzinfo=UTC)), ORG, 1).items()
    assert lead_id == newest
    assert list(features) == list(CONTRACT.names)
    assert features["response_time_minutes"] is None
    assert features["days_since_creation"] == 10.5


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
        " AND created_at > timestamp '2026-03-15' - interval '90 days'"
    ).fetchall()
    leads = open_leads(settings, "a", 1_000)
    assert set(leads) == {row[0] for row in rows}
    assert len(leads) > 5
    assert all(len(features) == 11 for features in leads.values())
    assert all(0 <= (features["days_since_creation"] or 0) < 90 for features in leads.values())
    assert list(open_leads(settings, "a", 3)) == list(leads)[-3:]
