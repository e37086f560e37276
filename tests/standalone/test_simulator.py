"""The simulated CRM: a seed gives the same bytes, lives are possible ones, and outcomes follow from behaviour."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from leadscore.errors import InvalidInput
from leadscore.settings import Settings
from standalone import crm
from standalone.__main__ import main
from standalone.orgs import DEMO_ORGS, Org, equal_orgs
from standalone.postgres import HOST, SUPERUSER, EmbeddedPostgres
from standalone.simulator import into_database, into_folder, simulate

NOW = datetime(2026, 3, 15, 9, 30, tzinfo=UTC)
SMALL = (Org("a", leads=80), Org("b", leads=40, conversion_rate=0.5))
ALLOWED_MOVES = {
    ("DRAFT", "NEW"),
    *(("NEW", status) for status in ("QUALIFYING", "QUALIFIED", "APPOINTMENT", "LOST")),
    *(("QUALIFYING", status) for status in ("QUALIFIED", "LOST")),
    *(("QUALIFIED", status) for status in ("APPOINTMENT", "LOST")),
    *(("APPOINTMENT", status) for status in ("WON", "LOST")),
}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def demo(postgres_server: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    """Give a connection to a database that holds the demo's CRM."""
    postgres_server.create_database("demo")
    with postgres_server.connect("demo") as connection:
        into_database(connection, simulate(DEMO_ORGS, seed=1, now=NOW))
        connection.execute("SET default_transaction_read_only = on")
        yield connection
    with postgres_server.connect() as connection:
        connection.execute("DROP DATABASE demo WITH (FORCE)")


def count(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


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
        assert crm.load_folder(connection, tmp_path / "crm") == written
        loaded = connection.execute("SELECT * FROM message ORDER BY id").fetchall()
        connection.execute("TRUNCATE annonce, dossier, dossier_status_history, lead_score CASCADE")
        assert into_database(connection, simulate(SMALL, seed=1, now=NOW)) == written
        assert connection.execute("SELECT * FROM message ORDER BY id").fetchall() == loaded


def test_database_with_leads_is_left_alone(database: Settings) -> None:
    with psycopg.connect(**database.database_arguments()) as connection:
        into_database(connection, simulate(SMALL, seed=1, now=NOW))
        with pytest.raises(InvalidInput, match="hold rows already"):
            into_database(connection, simulate(SMALL, seed=2, now=NOW))


def test_every_history_starts_new_and_makes_only_allowed_moves(demo: psycopg.Connection) -> None:
    moves = demo.execute("SELECT DISTINCT from_status, to_status FROM dossier_status_history").fetchall()
    assert set(moves) == ALLOWED_MOVES
    assert count(demo, "SELECT count(*) FROM dossier_status_history WHERE from_status = 'DRAFT'") == count(
        demo, "SELECT count(*) FROM dossier"
    )
    broken = """
        SELECT count(*) FROM (
            SELECT from_status, transitioned_at,
                   lag(to_status) OVER life AS left_in, lag(transitioned_at) OVER life AS left_at
            FROM dossier_status_history WINDOW life AS (PARTITION BY dossier_id ORDER BY id)
        ) AS moves WHERE coalesce(left_in, 'DRAFT') <> from_status OR left_at > transitioned_at"""
    assert count(demo, broken) == 0


def test_a_leads_status_is_where_its_history_ends(demo: psycopg.Connection) -> None:
    differing = """
        SELECT count(*) FROM dossier d WHERE status IS DISTINCT FROM (
            SELECT to_status FROM dossier_status_history h WHERE h.dossier_id = d.id ORDER BY id DESC LIMIT 1)"""
    assert count(demo, differing) == 0


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


@pytest.mark.parametrize(("table", "column"), [("message", "timestamp"), ("appointment", "created_at")])
def test_events_lie_within_their_leads_life_and_org(demo: psycopg.Connection, table: str, column: str) -> None:
    outside = f"""
        SELECT count(*) FROM {table} e JOIN dossier d ON d.id = e.dossier_id
        WHERE e.{column} < d.created_at OR e.org_id <> d.org_id
           OR (d.status IN ('WON', 'LOST') AND e.{column} > d.updated_at)"""
    assert count(demo, outside) == 0


def test_listings_exist_before_the_lead_that_asks_for_them(demo: psycopg.Connection) -> None:
    query = "SELECT count(*) FROM dossier d JOIN annonce a ON a.id = d.annonce_id WHERE "
    assert count(demo, query + "a.created_at > d.created_at OR a.org_id <> d.org_id") == 0
    assert count(demo, query + "true") > 1_000


def test_settled_appointments_say_when(demo: psycopg.Connection) -> None:
    assert count(demo, "SELECT count(*) FROM appointment WHERE (status = 'SCHEDULED') <> (updated_at IS NULL)") == 0
    assert count(demo, "SELECT count(*) FROM appointment WHERE updated_at NOT BETWEEN created_at AND start_time") == 0
    assert count(demo, "SELECT count(*) FROM appointment WHERE status = 'CANCELLED'") > 100


def test_orgs_are_of_the_sizes_and_classes_promised(demo: psycopg.Connection) -> None:
    rows = demo.execute(
        "SELECT org_id, count(*), count(*) FILTER (WHERE status = 'WON') FROM dossier GROUP BY org_id"
    ).fetchall()
    leads, won = {row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows}
    assert leads["default"] == 6_000
    assert leads["new-branch"] < 100
    assert won["pilot-site"] == 0
    assert all(won[org_id] > 0 for org_id in leads.keys() - {"pilot-site"})
    assert won["harbour-homes"] / leads["harbour-homes"] > 2 * won["northside-lettings"] / leads["northside-lettings"]


@pytest.mark.parametrize("seed", range(3))
def test_new_branch_has_exactly_37_leads_with_a_known_outcome(seed: int) -> None:
    org = next(org for org in DEMO_ORGS if org.org_id == "new-branch")
    (tables,) = simulate([org], seed=seed, now=NOW)
    created_at, status = tables["dossier"]["created_at"], tables["dossier"]["status"]
    age_days = (NOW.replace(tzinfo=None) - created_at.astype(object)).astype("timedelta64[s]").astype(int) / 86_400
    is_known = (status == "WON") | (status == "LOST") | (age_days > 90)
    assert is_known.sum() == 37
    assert 0 < (status == "WON").sum() < 37


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


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("lead_source = 'referral'", "lead_source = 'social_media'"),
        ("answered_minutes <= 60", "answered_minutes > 480 OR answered_minutes IS NULL"),
        ("early_inbound >= 3", "early_inbound <= 1"),
        ("early_appointments > 0", "early_appointments = 0"),
        ("price < 230000", "price > 500000"),
    ],
)
def test_what_leads_do_in_their_first_week_tells_who_converts(
    demo: psycopg.Connection, better: str, worse: str
) -> None:
    leads = """
        SELECT d.lead_source, d.status, a.price,
               (SELECT extract(epoch FROM min(m.timestamp) - d.created_at) / 60 FROM message m
                WHERE m.dossier_id = d.id AND m.direction = 'OUTBOUND') AS answered_minutes,
               (SELECT count(*) FROM message m WHERE m.dossier_id = d.id AND m.direction = 'INBOUND'
                AND m.timestamp <= d.created_at + interval '7 days') AS early_inbound,
               (SELECT count(*) FROM appointment p WHERE p.dossier_id = d.id
                AND p.created_at <= d.created_at + interval '7 days') AS early_appointments
        FROM dossier d LEFT JOIN annonce a ON a.id = d.annonce_id
        WHERE d.org_id = 'default' AND (d.updated_at > d.created_at + interval '7 days')
          AND d.created_at < '2025-12-01'"""
    rate = "avg((status = 'WON')::int::float) FILTER (WHERE {})"
    row = demo.execute(f"SELECT {rate.format(better)}, {rate.format(worse)} FROM ({leads}) AS leads").fetchone()
    assert row is not None
    assert row[0] > row[1] * 1.25, row


def test_asked_for_sizes_are_met() -> None:
    tables = list(simulate(equal_orgs(20, leads=50, messages_per_lead=12), seed=3, now=NOW))
    assert [len(each["dossier"]["id"]) for each in tables] == [50] * 20
    messages = sum(len(each["message"]["id"]) for each in tables)
    assert messages / 1_000 == pytest.approx(12, rel=0.1)
    ids = [int(lead_id) for each in tables for lead_id in each["dossier"]["id"]]
    assert ids == list(range(1, 1_001))


def test_more_records_than_leads_is_refused() -> None:
    with pytest.raises(ValueError, match="30 need more leads"):
        list(simulate([Org("small", leads=20, records=30)], seed=1, now=NOW))


def test_command_writes_a_folder_and_says_how_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "made"
    arguments = ["simulate", "--orgs", "2", "--leads", "30", "--now", "2026-01-01", "--into-folder", str(target)]
    assert main(arguments) == 0
    assert "dossier                           60" in capsys.readouterr().out
    with gzip.open(target / "dossier.csv.gz", "rt") as file:
        assert len(file.readlines()) == 61


def test_command_fills_the_database_that_the_settings_name(
    database: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DB_HOST", HOST)
    monkeypatch.setenv("DB_PORT", str(database.db_port))
    monkeypatch.setenv("DB_USER", SUPERUSER)
    monkeypatch.setenv("DB_PASSWORD", database.db_password)
    monkeypatch.setenv("DB_NAME", database.db_name)
    arguments = ["simulate", "--orgs", "1", "--leads", "30", "--into-database"]
    assert main(arguments) == 0
    assert main(arguments) == 1
    assert "hold rows already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--leads", "5"], ["--orgs", "0"], ["--orgs", "1", "--now", "soon"], ["--orgs", "1", "--into-database"]],
)
def test_nonsense_is_refused_by_the_command(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["simulate", *arguments, "--into-folder", str(tmp_path / "made")])
    assert caught.value.code != 0
    assert not (tmp_path / "made").exists()
