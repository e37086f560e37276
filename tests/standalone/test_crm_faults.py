"""The faults of a folder of the CRM's tables: all of them, each with its file, line and column, and no lead's data."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest

from standalone import crm
from standalone.crm_faults import CHUNK_ROWS, describe_faults
from standalone.crm_files import find_files
from tests.standalone.crm_exports import FILES, write_table

ISO = "only ISO 8601 is read, such as 2026-03-15 06:00:00"
SERIAL = "'46000.5' is a number, as Excel stores times"
BYTES = "bytes that are not UTF-8, or are zero; save the file as CSV UTF-8"
SAME_ID = "3, column id: the same id as on line 2"
STATUSES = "NEW, QUALIFYING, QUALIFIED, APPOINTMENT, WON, LOST"
MESSAGE_COLUMNS = "id, org_id, dossier_id, direction, channel, content, timestamp"


def faults(connection: psycopg.Connection, folder: Path) -> list[str]:
    """Return heading and faults, without the folder's name."""
    text = describe_faults(connection, folder, find_files(folder, crm.TABLES), ZoneInfo("UTC"))
    return text.removeprefix(str(folder)).split("\n") if text else []


def test_folder_without_faults_has_nothing_to_describe(connection: psycopg.Connection, folder: Path) -> None:
    assert faults(connection, folder) == []


@pytest.mark.parametrize(
    ("table", "change", "fault"),
    [
        (
            "message",
            ("channel", "chanel"),
            f"1: unknown column 'chanel'; the first line must name columns of message: {MESSAGE_COLUMNS}",
        ),
        (
            "message",
            ("timestamp", "channel"),
            "1: no column 'timestamp', column 'channel' more than once; the first line must name columns of message:"
            f" {MESSAGE_COLUMNS}",
        ),
        (
            "message",
            ("id,org_id,dossier_id,direction,channel,timestamp\n", ""),
            f"1: no known column; the first line must name columns of message: {MESSAGE_COLUMNS}",
        ),
        ("message", ("5,a", "5x,a"), "2, column id: not a whole number (bigint)"),
        ("message", ("5,a", "5.0,a"), "2, column id: not a whole number (bigint)"),
        ("message", ("5,a", "99999999999999999999,a"), "2, column id: not a whole number (bigint)"),
        ("message", ("5,a", ",a"), "2, column id: empty, but it must have a value"),
        ("message", ("5,a", "5,"), "2, column org_id: empty, but it must have a value"),
        ("message", ("OUTBOUND", "out"), "2, column direction: not one of INBOUND, OUTBOUND"),
        ("message", ("2026-01-04", ""), "2, column timestamp: empty, but it must have a value"),
        ("message", ("2026-01-04", "46000.5"), f"2, column timestamp: {SERIAL}; {ISO}"),
        ("message", ("5,a,42", "5,a,43"), "2, column dossier_id: lead 43 is not in dossier.csv.gz"),
        ("message", ("5,a,", "5,a,a,"), "2: 7 fields, but the first line names 6 columns"),
        ("message", ("PHONE,", "PHONE"), "2: 5 fields, but the first line names 6 columns"),
        ("message", ("5,a", "5,\udce9"), f"2, column org_id: {BYTES}"),
        ("message", ("5,a", "5,\0"), f"2, column org_id: {BYTES}"),
        ("annonce", ("99.5", "99;5"), "2, column price: not a number such as 1234.5 (numeric(15,2))"),
        ("annonce", ("99.5", "1e99"), "2, column price: not a number such as 1234.5 (numeric(15,2))"),
        ("annonce", ("[]", "[front.jpg]"), "2, column photos_json: not JSON (jsonb)"),
        ("annonce", ("Flat", "x" * 501), "2, column title: longer than character varying(500) holds"),
        ("dossier", ("2026-02-01\n", "2026-02-01\n041,a,7,web,NEW,2026-01-02,2026-01-02\n"), SAME_ID),
        ("dossier", ("41,a,7", "41,a,8"), "2, column annonce_id: listing 8 is not in annonce.csv.gz"),
        ("dossier", ("WON", "SOLD"), f"2, column status: not one of {STATUSES}"),
        ("dossier_status_history", ("1,a,41", "1,a,43"), "2, column dossier_id: lead 43 is not in dossier.csv.gz"),
        ("lead_score", ("8,a,42", "8,a,43"), "2, column dossier_id: lead 43 is not in dossier.csv.gz"),
        ("lead_score", ("2026-01-03\n", "2026-01-03\n9,a,42,20,2026-01-03\n"), SAME_ID.replace("id", "dossier_id", 1)),
        ("lead_score", (",20,", ",20.5,"), "2, column source_score: not a whole number (integer)"),
        ("appointment", ("6,a,42", "6,a,1"), "2, column dossier_id: lead 1 is not in dossier.csv.gz"),
    ],
)  # fmt: skip
def test_fault_has_its_line_its_column_and_what_was_expected(
    connection: psycopg.Connection, folder: Path, table: str, change: tuple[str, str], fault: str
) -> None:
    write_table(folder, table, FILES[table].replace(*change))
    assert faults(connection, folder) == [
        f" has 1 fault ({table}.csv.gz 1). Nothing was loaded; correct the files and start again.",
        f"{table}.csv.gz, line {fault}.",
    ]


def test_all_faults_of_all_files_are_described_at_once(connection: psycopg.Connection, folder: Path) -> None:
    write_table(folder, "annonce", FILES["annonce"].replace("99.5", "on request"))
    write_table(folder, "dossier", FILES["dossier"].replace("WON,2026-01-02 03:04:05", "SOLD,03/04/2026"))
    write_table(folder, "appointment", FILES["appointment"].replace("6,a,42,2026-01-09", "x,,43,2026-02-30"))
    assert faults(connection, folder) == [
        " has 7 faults (annonce.csv.gz 1, dossier.csv.gz 2, appointment.csv.gz 4). Nothing was loaded; correct the"
        " files and start again.",
        "annonce.csv.gz, line 2, column price: not a number such as 1234.5 (numeric(15,2)).",
        f"dossier.csv.gz, line 2, column created_at: '03/04/2026' may have the day or the month first; {ISO}.",
        f"dossier.csv.gz, line 2, column status: not one of {STATUSES}.",
        "appointment.csv.gz, line 2, column dossier_id: lead 43 is not in dossier.csv.gz.",
        "appointment.csv.gz, line 2, column id: not a whole number (bigint).",
        "appointment.csv.gz, line 2, column org_id: empty, but it must have a value.",
        "appointment.csv.gz, line 2, column start_time: '2026-02-30' has a date, a time of day or an offset that does"
        f" not exist; {ISO}.",
    ]


def test_twenty_of_many_faults_are_shown_with_the_first_of_each_column(
    connection: psycopg.Connection, folder: Path
) -> None:
    head, row = FILES["message"].splitlines()
    count = CHUNK_ROWS + 1
    write_table(folder, "message", "\n".join([head, *(row.replace("5,a,42", f"{n},,1") for n in range(count))]))
    write_table(folder, "lead_score", FILES["lead_score"].replace(",20,", ",x,"))
    heading, *shown = faults(connection, folder)
    assert heading == (
        " has 10,003 faults (message.csv.gz 10,002, lead_score.csv.gz 1). Nothing was loaded; correct the files and"
        " start again. 20 of them are:"
    )
    assert len(shown) == 20
    assert shown[:2] == [
        "message.csv.gz, line 2, column dossier_id: lead 1 is not in dossier.csv.gz.",
        "message.csv.gz, line 2, column org_id: empty, but it must have a value.",
    ]
    assert shown[-1] == "lead_score.csv.gz, line 2, column source_score: not a whole number (integer)."


def test_line_counts_line_breaks_in_texts(connection: psycopg.Connection, folder: Path) -> None:
    head = "id,org_id,dossier_id,content,timestamp"
    write_table(folder, "message", f'{head}\r\n5,a,42,"one\ntwo\r\nthree",2026-01-04\r\n6,a,42,,4 Jan\r\n')
    assert faults(connection, folder)[1:] == [
        f"message.csv.gz, line 5, column timestamp: '4 Jan' is not a time; {ISO}."
    ]


def test_lead_whose_row_has_a_fault_is_not_missing(connection: psycopg.Connection, folder: Path) -> None:
    write_table(folder, "dossier", FILES["dossier"].replace("42,a,,phone", "42,a,,ph,one"))
    assert faults(connection, folder)[1:] == ["dossier.csv.gz, line 3: 8 fields, but the first line names 7 columns."]


def test_leads_behind_a_damage_are_not_missing(connection: psycopg.Connection, folder: Path) -> None:
    write_table(folder, "dossier", FILES["dossier"].replace("41,a,7,web", '41,a,7,"web'))
    assert faults(connection, folder)[1:] == [
        "dossier.csv.gz, line 2: a quote opens or closes in the wrong place (unexpected end of data); no further row"
        " was read."
    ]


def test_row_before_a_damage_is_judged(connection: psycopg.Connection, folder: Path) -> None:
    write_table(folder, "dossier", FILES["dossier"].replace("WON", "SOLD").replace("phone", '"phone'))
    assert [fault.split(":")[0] for fault in faults(connection, folder)[1:]] == [
        "dossier.csv.gz, line 2, column status",
        "dossier.csv.gz, line 3",
    ]


def test_listing_may_have_an_empty_title(connection: psycopg.Connection, folder: Path) -> None:
    write_table(folder, "annonce", FILES["annonce"].replace("Flat", '""'))
    assert faults(connection, folder) == []


def test_no_value_of_a_lead_is_repeated(connection: psycopg.Connection, folder: Path) -> None:
    head = "id,org_id,lead_name,lead_phone,notes,status,score,created_at,updated_at"
    secret = "secret" * 20
    row = f"{secret},a,\udce9{secret},{secret},{secret},{secret},{secret},{secret},{secret}"
    write_table(folder, "dossier", f"{head}\n{row}\n{row},{secret}\n")
    write_table(folder, "lead_score", f"{secret},{secret}\n")
    told = "\n".join(faults(connection, folder))
    assert "secret" not in told
    assert f"column created_at: a text of 120 characters is a word; {ISO}." in told


def test_what_describes_faults_leaves_the_database_as_it_was(connection: psycopg.Connection, folder: Path) -> None:
    write_table(folder, "message", FILES["message"].replace("5,a", "x,a"))
    before = connection.execute("SELECT count(*) FROM pg_class").fetchone()
    assert faults(connection, folder)
    assert connection.execute("SELECT count(*) FROM pg_class").fetchone() == before


def test_each_rule_of_the_tables_is_a_list_of_values_or_an_id(connection: psycopg.Connection) -> None:
    """What else a table would refuse, only PostgreSQL could tell, without a line."""
    rules = connection.execute(
        "SELECT conrelid::regclass::text, contype::text, cardinality(conkey), pg_get_constraintdef(oid)"
        " FROM pg_constraint WHERE conrelid = ANY (%s::regclass[]) AND contype <> 'n'",
        [list(crm.TABLES)],
    ).fetchall()
    assert len(rules) == 18
    for table, kind, columns, definition in rules:
        assert columns == 1, definition
        assert kind in "pu" or (kind == "c" and "= ANY" in definition) or (kind == "f" and table in crm.PARENTS)
