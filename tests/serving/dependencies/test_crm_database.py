"""The CRM's database is asked in little time, by few threads, and read alone; what is wrong with it is said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from flask.testing import FlaskClient

from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from serving.dependencies import crm_database as readiness
from serving.dependencies.crm_database import AWAY, BUSY, MAY_NOT_READ, NOT_SET_UP, SLOW, present_window
from tests.serving.crm_of_leads import AS_OF, Crm

READINESS = "/api/v1/model/readiness"

OUTCOME_COUNTS = "outcome_counts(text, timestamp, int, int, text[], text[], boolean, int[], text, int)"


def test_a_training_that_is_refused_would_be_asked_for_as_of_the_setting_or_now(settings: Settings) -> None:
    now = datetime.now(UTC)
    assert present_window(replace(settings, as_of=AS_OF)).as_of == AS_OF
    for as_of in (None, now + timedelta(days=900)):
        assert abs(present_window(replace(settings, as_of=as_of)).as_of - now) < timedelta(minutes=1)


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
    assert refusal(crm.client()) == MAY_NOT_READ


def test_a_database_that_is_slow_holds_nobody_up_for_long(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "QUERY_SECONDS", 0.3)
    client = crm.client()
    with connect(crm.settings) as connection, connection.transaction():
        connection.execute("LOCK TABLE dossier")
        started = time.monotonic()
        assert refusal(client) == SLOW
        assert time.monotonic() - started < 3


def test_a_connection_that_breaks_in_between_is_a_database_that_is_away(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> None:
        raise psycopg.OperationalError("server closed the connection at db.secret:5432")

    monkeypatch.setattr(readiness, "answer_in_time", break_off)
    assert refusal(crm.client()) == AWAY


def test_of_many_who_ask_at_once_those_who_would_wait_long_are_told_to_come_again(
    crm: Crm, monkeypatch: pytest.MonkeyPatch, started_threads: Callable[[Callable[[], None]], threading.Thread]
) -> None:
    """So a database that hangs can never hold all of the server's threads."""
    monkeypatch.setattr(readiness, "TURN_SECONDS", 0.01)
    is_asking, may_answer = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        is_asking.set()
        assert may_answer.wait(10)

    monkeypatch.setattr(readiness, "answer_in_time", hang)
    client = crm.client()
    first: list[str] = []
    thread = started_threads(lambda: first.append(refusal(client)))
    assert is_asking.wait(10)
    assert refusal(client.application.test_client()) == BUSY
    may_answer.set()
    thread.join(10)
    assert first == [SLOW]


def test_the_database_cannot_be_written_by_asking(crm: Crm) -> None:
    with connect(crm.settings) as connection:
        connection.execute(
            "DROP FUNCTION leadscore.outcome_counts; CREATE FUNCTION leadscore."
            f"{OUTCOME_COUNTS} RETURNS text LANGUAGE plpgsql"
            " AS $$ BEGIN DELETE FROM dossier; RETURN '{}'; END $$"
        )
    assert refusal(crm.client()) == AWAY
