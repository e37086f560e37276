"""The simulated CRM: a seed gives the same bytes, lives are possible ones, and outcomes follow from behaviour."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from leadscore.errors import InvalidInput
from leadscore.settings import Settings
from standalone import crm
from standalone.crm_load import load_folder
from standalone.orgs import Org
from standalone.simulator import into_database, into_folder, simulate
from tests.standalone.crm_rows import count

NOW = datetime(2026, 3, 15, 9, 30, tzinfo=UTC)
SMALL = (Org("a", leads=80), Org("b", leads=40, conversion_rate=0.5))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_same_seed_gives_the_same_bytes_and_another_seed_other_ones(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        into_folder(tmp_path / name, simulate(SMALL, seed=seed, now=NOW))
    assert files(tmp_path / "one") == files(tmp_path / "again")
    other = files(tmp_path / "other")
    assert all(content != other[name] for name, content in files(tmp_path / "one").items())


def test_an_org_does_not_depend_on_those_after_it(tmp_path: Path) -> None:
    alone = next(simulate(SMALL[:1], seed=1, now=NOW))
    first = next(simulate(SMALL, seed=1, now=NOW))
    assert {table: len(columns["id"]) for table, columns in alone.items()} == {
        table: len(columns["id"]) for table, columns in first.items()
    }


def test_folder_holds_what_the_database_would(tmp_path: Path, database: Settings) -> None:
    written = into_folder(tmp_path / "crm", simulate(SMALL, seed=1, now=NOW))
    with psycopg.connect(**database.database_arguments()) as connection:
        crm.create_tables(connection)
        assert load_folder(connection, tmp_path / "crm") == written
        loaded = connection.execute("SELECT * FROM message ORDER BY id").fetchall()
        connection.execute("TRUNCATE annonce, dossier, dossier_status_history, lead_score CASCADE")
        assert into_database(connection, simulate(SMALL, seed=1, now=NOW)) == written
        assert connection.execute("SELECT * FROM message ORDER BY id").fetchall() == loaded


def test_database_with_leads_is_left_alone(database: Settings) -> None:
    with psycopg.connect(**database.database_arguments()) as connection:
        into_database(connection, simulate(SMALL, seed=1, now=NOW))
        with pytest.raises(InvalidInput, match="hold rows already"):
            into_database(connection, simulate(SMALL, seed=2, now=NOW))


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("dossier", "created_at"),
        ("dossier", "updated_at"),
        ("dossier_status_history", "transitioned_at"),
        ("message", "timestamp"),
        ("appointment", "created_at"),
        ("appointment", "updated_at"),
        ("annonce", "created_at"),
        ("lead_score", "updated_at"),
    ],
)
def test_nothing_happens_after_now(demo: psycopg.Connection, table: str, column: str) -> None:
    assert count(demo, f"SELECT count(*) FROM {table} WHERE {column} > '2026-03-15 09:30'") == 0


def test_listings_exist_before_the_lead_that_asks_for_them(demo: psycopg.Connection) -> None:
    query = "SELECT count(*) FROM dossier d JOIN annonce a ON a.id = d.annonce_id WHERE "
    assert count(demo, query + "a.created_at > d.created_at OR a.org_id <> d.org_id") == 0
    assert count(demo, query + "true") > 1_000


def test_the_crm_has_gaps_as_real_ones_do(demo: psycopg.Connection) -> None:
    for absent in (
        "dossier d WHERE annonce_id IS NULL",
        "annonce WHERE price IS NULL",
        "annonce WHERE photos_json = '[]'",
        "dossier d WHERE NOT EXISTS (SELECT FROM lead_score s WHERE s.dossier_id = d.id)",
        "dossier d WHERE status = 'LOST' AND NOT EXISTS"
        " (SELECT FROM message m WHERE m.dossier_id = d.id AND direction = 'OUTBOUND')",
        "dossier WHERE status NOT IN ('WON', 'LOST') AND created_at < '2025-12-01'",
    ):
        assert count(demo, f"SELECT count(*) FROM {absent}") > 50, absent
