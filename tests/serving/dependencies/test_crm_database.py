"""The CRM's database is asked in little time, by few threads, and read alone; what is wrong with it is said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec
import psycopg
import pytest
from flask.testing import FlaskClient

from leadscore.errors import DatabaseUnavailable
from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from serving.dependencies import crm_database
from serving.dependencies.crm_database import AWAY, BUSY, MAY_NOT, NOT_SET_UP, SLOW, CrmDatabase
from serving.dependencies.probes import DatabaseState, Probe
from serving.dependencies.readiness_source import TASK
from tests.serving.crm_of_leads import Crm

READINESS = "/api/v1/model/readiness"

OUTCOME_COUNTS = "outcome_counts(text, timestamp, int, int, text[], text[], boolean, int[], text, int)"


class Number(msgspec.Struct):
    """A row of the tests' queries."""

    number: int | None
    text: str = ""


def asked(settings: Settings, state: str = "up") -> CrmDatabase:
    probe = Probe("database", lambda: DatabaseState(state), DatabaseState("down"), fresh_seconds=60, wait_seconds=5)
    return CrmDatabase(settings, probe, most_at_a_time=1)


def refusal(client: FlaskClient) -> str:
    answer = client.get(READINESS)
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "password" not in answer.text
    return answer.json["detail"]


def test_a_database_that_is_away_is_said_so(client: FlaskClient) -> None:
    assert refusal(client) == AWAY


@pytest.mark.parametrize(
    "missing", ["the schema", "the functions", "the CRM's tables", "the functions of this release"]
)
def test_a_database_that_is_not_set_up_is_told_what_to_do(crm: Crm, missing: str) -> None:
    commands = {
        "the schema": "DROP SCHEMA leadscore CASCADE",
        "the functions": "DROP FUNCTION leadscore.outcome_counts, leadscore.lead_outcomes",
        "the CRM's tables": "DROP TABLE dossier CASCADE",
        "the functions of this release": "DROP FUNCTION leadscore.outcome_counts; CREATE FUNCTION leadscore."
        f"{OUTCOME_COUNTS} RETURNS text LANGUAGE sql AS $$ SELECT '{{}}' $$",
    }
    with connect(crm.settings) as connection:
        connection.execute(commands[missing])
    assert refusal(crm.client()) == NOT_SET_UP


def test_a_user_who_may_not_read_the_crm_is_told_the_right_that_it_lacks(crm: Crm) -> None:
    with connect(crm.settings) as connection:
        connection.execute("ALTER FUNCTION leadscore.outcome_counts SET role = 'pg_monitor'")
    assert refusal(crm.client()) == MAY_NOT.format(task=TASK)


def test_a_database_that_is_slow_holds_nobody_up_for_long(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crm_database, "QUERY_SECONDS", 0.3)
    client = crm.client()
    with connect(crm.settings) as connection, connection.transaction():
        connection.execute("LOCK TABLE dossier")
        started = time.monotonic()
        assert refusal(client) == SLOW.format(task=TASK)
        assert time.monotonic() - started < 3


def test_a_connection_that_breaks_in_between_is_a_database_that_is_away(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> None:
        raise psycopg.OperationalError("server closed the connection at db.secret:5432")

    monkeypatch.setattr(crm_database, "answer_in_time", break_off)
    assert refusal(crm.client()) == AWAY


def test_of_many_who_ask_at_once_those_who_would_wait_long_are_told_to_come_again(
    crm: Crm, monkeypatch: pytest.MonkeyPatch, started_threads: Callable[[Callable[[], None]], threading.Thread]
) -> None:
    """So a database that hangs can never hold all of the server's threads."""
    monkeypatch.setattr(crm_database, "TURN_SECONDS", 0.01)
    is_asking, may_answer = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        is_asking.set()
        assert may_answer.wait(10)

    monkeypatch.setattr(crm_database, "answer_in_time", hang)
    client = crm.client()
    first: list[str] = []
    thread = started_threads(lambda: first.append(refusal(client)))
    assert is_asking.wait(10)
    assert refusal(client.application.test_client()) == BUSY
    may_answer.set()
    thread.join(10)
    assert first == [SLOW.format(task=TASK)]


def test_the_database_cannot_be_written_by_asking(crm: Crm) -> None:
    with connect(crm.settings) as connection:
        connection.execute(
            "DROP FUNCTION leadscore.outcome_counts; CREATE FUNCTION leadscore."
            f"{OUTCOME_COUNTS} RETURNS text LANGUAGE plpgsql"
            " AS $$ BEGIN DELETE FROM dossier; RETURN '{}'; END $$"
        )
    assert refusal(crm.client()) == AWAY


def test_rows_come_in_the_querys_order_as_the_types_of_their_columns(database: Settings) -> None:
    query = "SELECT number, %s::text AS text FROM generate_series(1, %s) AS number ORDER BY number DESC"
    rows = asked(database).rows(query, ["é 'ö'; --", 3], Number, task="count")
    assert rows == [Number(number, "é 'ö'; --") for number in (3, 2, 1)]
    assert asked(database).rows("SELECT 1 AS number WHERE false", [], Number, task="count") == []
    assert asked(database).rows("SELECT null::int AS number", [], Number, task="count") == [Number(None)]


def test_a_value_is_one_cell_of_json(database: Settings) -> None:
    assert asked(database).value("SELECT json_build_object('number', 7)", [], Number, task="count") == Number(7)


def test_only_a_query_that_says_so_writes_and_it_is_kept(database: Settings) -> None:
    with connect(database) as connection:
        connection.execute("CREATE TABLE numbers (number int)")
    insert = "INSERT INTO numbers VALUES (%(number)s) RETURNING number"
    with pytest.raises(DatabaseUnavailable):
        asked(database).rows(insert, {"number": 1}, Number, task="count")
    written = asked(database).rows(insert, {"number": 2}, Number, task="count", is_writing=True)
    assert written == asked(database).rows("TABLE numbers", [], Number, task="count") == [Number(2)]


def test_an_answer_of_another_form_is_a_database_of_another_release(database: Settings) -> None:
    with pytest.raises(DatabaseUnavailable) as refused:
        asked(database).rows("SELECT 'seven' AS number", [], Number, task="count")
    assert refused.value.message == NOT_SET_UP


def test_a_database_that_the_probe_finds_down_is_not_asked(settings: Settings) -> None:
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable) as refused:
        asked(settings, "down").rows("SELECT 1 AS number", [], Number, task="count")
    assert refused.value.message == AWAY
    assert time.monotonic() - started < 1
