"""The CRM's tables: they can be made again, describe their columns, and take rows of CSV."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from leadscore.settings import Settings
from standalone import crm
from standalone.crm import Column


@pytest.fixture
def connection(database: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        crm.create_tables(connection)
        yield connection


def test_tables_can_be_created_again_without_loss(connection: psycopg.Connection) -> None:
    connection.execute("INSERT INTO dossier (org_id, status, created_at, updated_at) VALUES ('a', 'NEW', now(), now())")
    crm.create_tables(connection)
    assert crm.holds_leads(connection)


def test_columns_tell_their_type_and_whether_a_file_must_have_them(connection: psycopg.Connection) -> None:
    columns = {column.name: column for column in crm.columns_of(connection, "lead_score")}
    assert list(columns)[:3] == ["id", "org_id", "dossier_id"]
    assert columns["id"] == Column("id", "bigint", is_required=True, has_default=True)
    assert columns["org_id"] == Column("org_id", "character varying(255)", is_required=True, has_default=False)
    assert columns["source_score"] == Column("source_score", "integer", is_required=False, has_default=True)
    assert [name for name, column in columns.items() if column.is_time] == ["created_at", "updated_at"]


def test_each_child_has_the_column_of_its_parent(connection: psycopg.Connection) -> None:
    for table, (column, parent) in crm.PARENTS.items():
        assert crm.TABLES.index(parent) < crm.TABLES.index(table)
        assert column in [known.name for known in crm.columns_of(connection, table)]


@pytest.mark.parametrize("text", ["plain", 'a,"b"\r\nc', "\r", "\n", "\\."])
def test_rows_are_copied_as_they_are(connection: psycopg.Connection, text: str) -> None:
    rows = [[7, "a", text, "ACTIVE", None], [8, "a", "", "ACTIVE", "X"]]
    columns = ["id", "org_id", "title", "status", "city"]
    assert crm.copy_rows(connection, "annonce", columns, [crm.csv_text(rows)]) == 2
    assert connection.execute("SELECT id, title, city FROM annonce ORDER BY id").fetchall() == [
        (7, text, None),
        (8, "", "X"),
    ]
