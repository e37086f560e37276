"""Loading a folder of the CRM's tables: all or nothing, and the ids of later rows follow."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from leadscore.errors import DatabaseUnavailable, InvalidCrmData
from leadscore.settings import Settings
from standalone import crm
from standalone.crm_files import zstd
from standalone.crm_load import CHUNK_ROWS, load_folder
from tests.standalone.crm_exports import FILES, write_table

ROWS = {"annonce": 1, "dossier": 2, "dossier_status_history": 1, "message": 1, "appointment": 1, "lead_score": 1}


def assert_nothing_was_loaded(connection: psycopg.Connection) -> None:
    assert crm.tables_with_rows(connection) == []


def test_folder_is_loaded_whole(connection: psycopg.Connection, folder: Path) -> None:
    assert load_folder(connection, folder) == ROWS
    assert connection.execute(
        "SELECT d.id, d.created_at::text, a.price::float, a.photos_json, s.source_score FROM dossier d"
        " LEFT JOIN annonce a ON a.id = d.annonce_id LEFT JOIN lead_score s ON s.dossier_id = d.id ORDER BY d.id"
    ).fetchall() == [(41, "2026-01-02 03:04:05", 99.5, [], None), (42, "2026-01-03 00:00:00", None, None, 20)]


def test_forms_may_differ_from_file_to_file(connection: psycopg.Connection, folder: Path) -> None:
    for table in ("annonce", "message", "lead_score"):
        (folder / f"{table}.csv.gz").unlink()
    (folder / "annonce.csv").write_text(FILES["annonce"].replace(",", ";"), "utf-8-sig", newline="\r\n")
    (folder / "message.csv.zst").write_bytes(zstd.compress(FILES["message"].encode()))
    (folder / "lead_score.csv").write_text(FILES["lead_score"].replace(",", "\t"), "utf-16")
    write_table(folder, "dossier", FILES["dossier"].replace("42,a,,", "42,a,\\N,"))
    assert load_folder(connection, folder) == ROWS
    assert connection.execute("SELECT id FROM dossier WHERE annonce_id IS NULL").fetchall() == [(42,)]


@pytest.mark.parametrize(
    ("time_zone", "stored"),
    [("UTC", "2026-01-02 08:04:05"), ("Europe/Paris", "2026-01-02 09:04:05"), ("Asia/Kolkata", "2026-01-02 13:34:05")],
)
def test_time_with_an_offset_is_stored_in_the_zone_and_one_without_as_it_is(
    connection: psycopg.Connection, folder: Path, time_zone: str, stored: str
) -> None:
    write_table(folder, "dossier", FILES["dossier"].replace("03:04:05", "03:04:05-05"))
    load_folder(connection, folder, time_zone)
    query = "SELECT created_at::text FROM dossier ORDER BY id"
    assert connection.execute(query).fetchall() == [(stored,), ("2026-01-03 00:00:00",)]


def test_new_leads_get_ids_after_the_loaded_ones(connection: psycopg.Connection, folder: Path) -> None:
    load_folder(connection, folder)
    row = connection.execute(
        "INSERT INTO dossier (org_id, status, created_at, updated_at) VALUES ('a', 'NEW', now(), now()) RETURNING id"
    ).fetchone()
    assert row == (43,)


def test_folder_of_several_chunks_is_loaded_whole(connection: psycopg.Connection, folder: Path) -> None:
    count = 2 * CHUNK_ROWS + 1
    head, row = FILES["message"].splitlines()
    write_table(folder, "message", "\n".join([head, *(row.replace("5", str(n), 1) for n in range(1, count + 1))]))
    assert load_folder(connection, folder)["message"] == count
    assert connection.execute("SELECT count(*), max(id) FROM message").fetchone() == (count, count)


@pytest.mark.parametrize(
    ("table", "change", "says"),
    [
        ("message", ("channel", "chanel"), "line 1: unknown column 'chanel'"),
        ("dossier", ("42,a", "4x2,a"), "line 3, column id: not a whole number"),
        ("dossier", ("2026-01-03,", "now,"), "line 3, column created_at: 'now' is a word"),
        ("dossier_status_history", ("1,a,41", "1,a,43"), "line 2, column dossier_id: lead 43 is not in dossier.csv.gz"),
        ("lead_score", ("8,a,42,20,2026-01-03", '8,a,42,20,"'), "line 2: a quote opens or closes in the wrong place"),
        ("lead_score", ("8,a,42,20,2026-01-03", "8"), "line 2: 1 fields, but the first line names 5 columns"),
        ("dossier", ("phone", "\udce9"), "line 3, column lead_source: bytes that are not UTF-8"),
    ],
)
def test_refused_folder_leaves_nothing(
    connection: psycopg.Connection, folder: Path, table: str, change: tuple[str, str], says: str
) -> None:
    write_table(folder, table, FILES[table].replace(*change))
    with pytest.raises(InvalidCrmData) as caught:
        load_folder(connection, folder)
    assert str(caught.value).split("\n")[1].startswith(f"{table}.csv.gz, {says}")
    assert_nothing_was_loaded(connection)
    assert connection.execute("SELECT count(*) FROM pg_class WHERE relpersistence = 't'").fetchone() == (0,)


def test_transaction_around_a_refused_folder_can_go_on(connection: psycopg.Connection, folder: Path) -> None:
    write_table(folder, "dossier", FILES["dossier"].replace("NEW", "OLD"))
    with connection.transaction():
        with pytest.raises(InvalidCrmData, match="not one of NEW"):
            load_folder(connection, folder)
        write_table(folder, "dossier", FILES["dossier"])
        assert load_folder(connection, folder) == ROWS


def test_what_only_postgresql_sees_is_said_without_the_row(connection: psycopg.Connection, folder: Path) -> None:
    connection.execute("ALTER TABLE message ADD CONSTRAINT even CHECK (id % 2 = 0)")
    with pytest.raises(InvalidCrmData) as caught:
        load_folder(connection, folder)
    assert str(caught.value) == (
        f'{folder}/message.csv.gz: new row for relation "message" violates check constraint "even". Nothing was loaded;'
        " correct the file and start again."
    )


def test_folder_without_files_is_refused(connection: psycopg.Connection, folder: Path) -> None:
    with pytest.raises(InvalidCrmData, match=r"absent lacks a file for annonce, dossier, dossier_status_history, mess"):
        load_folder(connection, folder / "absent")


def test_damaged_file_is_named(connection: psycopg.Connection, folder: Path) -> None:
    (folder / "lead_score.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(InvalidCrmData, match=r"lead_score\.csv\.gz, line 1: the file is damaged, cut off, or not what"):
        load_folder(connection, folder)
    assert_nothing_was_loaded(connection)


def test_postgresql_that_stops_is_not_taken_for_a_fault_of_a_file(
    connection: psycopg.Connection, folder: Path, database: Settings
) -> None:
    connection.execute("SET lock_timeout = '10ms'")
    with psycopg.connect(**database.database_arguments()) as other:
        other.execute("LOCK TABLE message")
        with pytest.raises(DatabaseUnavailable) as caught:
            load_folder(connection, folder)
    assert str(caught.value) == (
        f"{folder} was not loaded, because PostgreSQL stopped: canceling statement due to lock timeout. Start again."
    )
    assert_nothing_was_loaded(connection)
