"""The CRM's tables and the loading of exported ones: all or nothing, and a refusal names the file and the line."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from leadscore.errors import InvalidCrmData
from leadscore.settings import Settings
from standalone import crm

FILES = {
    "annonce": "id,org_id,title,price,status,photos_json,created_at\n7,a,Flat,99.5,PUBLISHED,[],2026-01-01\n",
    "dossier": "id,org_id,annonce_id,lead_source,status,created_at,updated_at\n"
    "41,a,7,web,WON,2026-01-02 03:04:05,2026-02-01\n"
    "42,a,,phone,NEW,2026-01-03,2026-01-03\n",
    "dossier_status_history": "id,org_id,dossier_id,from_status,to_status,transitioned_at\n"
    "1,a,41,DRAFT,NEW,2026-01-02\n",
    "message": "id,org_id,dossier_id,direction,channel,timestamp\n5,a,42,OUTBOUND,PHONE,2026-01-04\n",
    "appointment": "id,org_id,dossier_id,start_time,end_time,status,created_at\n"
    "6,a,42,2026-01-09,2026-01-09,SCHEDULED,2026-01-04\n",
    "lead_score": "id,org_id,dossier_id,source_score,created_at\n8,a,42,20,2026-01-03\n",
}


@pytest.fixture
def connection(database: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        crm.create_tables(connection)
        yield connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    for table, text in FILES.items():
        write(folder, table, text)
    return folder


def write(folder: Path, table: str, text: str) -> None:
    (folder / f"{table}.csv.gz").write_bytes(gzip.compress(text.encode()))


def assert_nothing_was_loaded(connection: psycopg.Connection) -> None:
    assert not crm.holds_leads(connection)
    assert connection.execute("SELECT count(*) FROM annonce").fetchone() == (0,)


def test_tables_can_be_created_again_without_loss(connection: psycopg.Connection, folder: Path) -> None:
    crm.load_folder(connection, folder)
    crm.create_tables(connection)
    assert crm.holds_leads(connection)


def test_folder_is_loaded_whole(connection: psycopg.Connection, folder: Path) -> None:
    assert crm.load_folder(connection, folder) == {
        "annonce": 1,
        "dossier": 2,
        "dossier_status_history": 1,
        "message": 1,
        "appointment": 1,
        "lead_score": 1,
    }
    assert connection.execute(
        "SELECT d.id, d.created_at::text, a.price::float, a.photos_json, s.source_score FROM dossier d"
        " LEFT JOIN annonce a ON a.id = d.annonce_id LEFT JOIN lead_score s ON s.dossier_id = d.id ORDER BY d.id"
    ).fetchall() == [(41, "2026-01-02 03:04:05", 99.5, [], None), (42, "2026-01-03 00:00:00", None, None, 20)]


def test_new_leads_get_ids_after_the_loaded_ones(connection: psycopg.Connection, folder: Path) -> None:
    crm.load_folder(connection, folder)
    row = connection.execute(
        "INSERT INTO dossier (org_id, status, created_at, updated_at) VALUES ('a', 'NEW', now(), now()) RETURNING id"
    ).fetchone()
    assert row == (43,)


def test_every_missing_file_is_named(connection: psycopg.Connection, folder: Path) -> None:
    (folder / "message.csv.gz").unlink()
    (folder / "dossier.csv.gz").unlink()
    with pytest.raises(InvalidCrmData, match=r"lacks dossier\.csv\.gz, message\.csv\.gz\."):
        crm.load_folder(connection, folder)
    with pytest.raises(InvalidCrmData, match=r"lacks annonce\.csv\.gz, dossier"):
        crm.load_folder(connection, folder / "absent")


@pytest.mark.parametrize(
    ("table", "change", "says"),
    [
        ("message", ("channel", "chanel"), r"message\.csv\.gz, line 1: unknown column 'chanel'\. .* channel,"),
        ("dossier", ("org_id", "org"), r"line 1: unknown column 'org', no column 'org_id'"),
        ("dossier", ("42,a", "4x2,a"), r"dossier\.csv\.gz, line 3, column id: invalid input syntax for type bigint\."),
        (
            "dossier",
            ("WON", "SOLD"),
            r"dossier\.csv\.gz, line 2: .* violates check constraint \"dossier_status_check\"",
        ),
        ("dossier", ("42,a", "41,a"), r"dossier\.csv\.gz, line 3: duplicate key"),
        ("message", ("5,a,42", "5,a,43"), r"message\.csv\.gz.*violates foreign key constraint"),
        ("lead_score", ("8,a,42,20,2026-01-03", "8,a,42,20"), r"lead_score\.csv\.gz, line 2: missing data for column"),
        (
            "appointment",
            ("2026-01-09", "9 Jan oops"),
            r"appointment\.csv\.gz, line 2, column start_time: invalid input",
        ),
    ],
)
def test_refused_row_or_column_is_named_and_nothing_stays(
    connection: psycopg.Connection, folder: Path, table: str, change: tuple[str, str], says: str
) -> None:
    write(folder, table, FILES[table].replace(*change))
    with pytest.raises(InvalidCrmData, match=says):
        crm.load_folder(connection, folder)
    assert_nothing_was_loaded(connection)


def test_refusal_does_not_repeat_the_rows_data(connection: psycopg.Connection, folder: Path) -> None:
    write(folder, "dossier", FILES["dossier"].replace("42,a", "secret-42,a"))
    with pytest.raises(InvalidCrmData) as caught:
        crm.load_folder(connection, folder)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"not gzip", gzip.compress(b"id,org_id\n" * 9999)[:40], gzip.compress(b"\xff\n"), b""],
    ids=["not gzip", "cut off", "not UTF-8", "empty"],
)
def test_damaged_file_is_named(connection: psycopg.Connection, folder: Path, content: bytes) -> None:
    (folder / "lead_score.csv.gz").write_bytes(content)
    with pytest.raises(InvalidCrmData, match=r"lead_score\.csv\.gz"):
        crm.load_folder(connection, folder)
    assert_nothing_was_loaded(connection)
