"""Rows are inserted over one connection, which is opened again when it must be; a refusal is said in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from leadscore.errors import DatabaseUnavailable
from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from serving.dependencies import answered_score_table
from serving.dependencies.answered_score_table import SLOW, TASK, AnsweredScore, AnsweredScoreTable
from serving.dependencies.crm_database import AWAY, MAY_NOT, NOT_SET_UP
from serving.dependencies.probes import DatabaseState, Probe
from tests.serving.crm_of_leads import Crm

AT = datetime(2026, 6, 1, 12, 30, 0, 123456, UTC)
END_CONNECTIONS = """
SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
WHERE application_name = 'leadscore server' AND datname = current_database()
"""


def table_of(settings: Settings, state: Any = "up") -> AnsweredScoreTable:
    probe = Probe("database", lambda: DatabaseState(state), DatabaseState("down"), fresh_seconds=60, wait_seconds=5)
    return AnsweredScoreTable(settings, probe)


def row(lead_id: str = "1", **changed: Any) -> AnsweredScore:
    usual: dict[str, Any] = {
        "landmark_days": 1,
        "age_days": 2.5,
        "probability": 0.25,
        "model_version": "20260601020000",
    }
    usual |= {"model_scope": "own", "feature_names": None, "features": None, "answered_at": AT}
    return AnsweredScore(org_id="acme", lead_id=lead_id, **usual | changed)


@pytest.fixture
def table(crm: Crm) -> Iterator[AnsweredScoreTable]:
    table = table_of(crm.settings)
    yield table
    table.close()


def ids(crm: Crm) -> list[str]:
    with connect(crm.settings) as connection:
        rows = connection.execute("SELECT lead_id FROM leadscore.answered_score ORDER BY lead_id").fetchall()
    return [str(lead_id) for (lead_id,) in rows]


def test_a_row_has_what_was_given(crm: Crm, table: AnsweredScoreTable) -> None:
    table.insert([row("é\"'\\ %s", feature_names=("a", "b", "c"), features=(1, None, 0.1))])
    with connect(crm.settings) as connection:
        found = connection.execute("SELECT * FROM leadscore.answered_score").fetchall()
    assert found == [
        ("acme", "é\"'\\ %s", 1, AT, 2.5, 0.25, "20260601020000", "own", ["a", "b", "c"], [1.0, None, 0.1])
    ]


def test_a_row_that_is_there_stays(crm: Crm, table: AnsweredScoreTable) -> None:
    table.insert([row("1"), row("1", probability=0.5)])
    table.insert([row("1"), row("2")])
    assert ids(crm) == ["1", "2"]


def test_a_connection_is_kept_and_opened_again_when_it_was_closed_meanwhile(
    crm: Crm, table: AnsweredScoreTable
) -> None:
    for lead_id in ("1", "2", "3"):
        table.insert([row(lead_id), row(f"{lead_id}-more")])
        table.insert([row(f"{lead_id}-later")])
        with connect(crm.settings) as connection:
            assert connection.execute(END_CONNECTIONS.encode()).fetchall() == [(1,)]
    assert len(ids(crm)) == 9


@pytest.mark.parametrize(
    ("spoil", "failure"),
    [
        ("DROP SCHEMA leadscore CASCADE", NOT_SET_UP),
        ("ALTER TABLE leadscore.answered_score ADD COLUMN more integer NOT NULL", AWAY),
        ("CREATE RULE none AS ON INSERT TO leadscore.answered_score DO INSTEAD SELECT 1", AWAY),
    ],
    ids=["not set up", "another release's table", "an answer that is not expected"],
)
def test_a_table_that_cannot_be_written_is_said_so(
    crm: Crm, table: AnsweredScoreTable, spoil: str, failure: str
) -> None:
    with connect(crm.settings) as connection:
        connection.execute(spoil.encode())
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable) as caught:
            table.insert([row()])
        assert caught.value.message == failure


def test_a_database_that_is_away_is_not_connected_to(
    crm: Crm, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        table_of(settings).insert([row()])
    assert caught.value.message == AWAY
    with monkeypatch.context() as context:
        context.setattr(psycopg, "connect", None)
        with pytest.raises(DatabaseUnavailable, match=AWAY):
            table_of(crm.settings, "down").insert([row()])


def test_a_table_that_is_locked_is_not_waited_for_long(
    crm: Crm, table: AnsweredScoreTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answered_score_table, "WRITE_SECONDS", 0.2)
    with connect(crm.settings) as connection, connection.transaction():
        connection.execute("LOCK TABLE leadscore.answered_score")
        with pytest.raises(DatabaseUnavailable) as caught:
            table.insert([row()])
    assert caught.value.message == SLOW
    table.insert([row("2")])
    assert "2" in ids(crm)


def test_a_role_that_may_not_insert_is_told_the_right_that_it_lacks(crm: Crm) -> None:
    role = f"reader_of_{crm.settings.db_name}"
    with connect(crm.settings) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD '…'; GRANT USAGE ON SCHEMA leadscore TO {role}".encode())
        with pytest.raises(DatabaseUnavailable) as caught:
            table_of(replace(crm.settings, db_user=role, db_password="…")).insert([row()])
        owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
    assert caught.value.message == MAY_NOT.format(task=TASK)
