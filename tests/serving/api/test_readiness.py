"""Readiness over HTTP, against a real database: what there is, what is missing, when it will do, and what may fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient

from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import connect
from serving.app import create_app
from serving.dependencies import crm_database as readiness
from serving.dependencies.crm_database import AWAY, BUSY, NOT_SET_UP, SLOW, present_window
from standalone.crm import create_tables

READINESS = "/api/v1/model/readiness"
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
INSERT_LEADS = """
WITH leads AS (
    INSERT INTO dossier (org_id, status, created_at, updated_at)
    SELECT %(org)s, %(status)s, timestamp '2026-06-01' - number * %(every)s * interval '1 day', now()
    FROM generate_series(1, %(leads)s) AS number
    RETURNING id, org_id, created_at
)
INSERT INTO dossier_status_history (org_id, dossier_id, to_status, transitioned_at)
SELECT org_id, id, %(status)s, created_at + interval '12 hours' FROM leads WHERE %(status)s IN ('WON', 'LOST')
"""


class Crm:
    """The CRM of a test: so many leads of an org, one every few days up to now, closed half a day later."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def leads(self, org: str, leads: int, status: str, *, every: float) -> None:
        with connect(self.settings) as connection:
            connection.execute(INSERT_LEADS, {"org": org, "leads": leads, "status": status, "every": every})

    def client(self, **changed: Any) -> FlaskClient:
        return create_app(replace(self.settings, as_of=AS_OF, **changed)).test_client()


@pytest.fixture
def crm(database: Settings, shelf: Any) -> Crm:
    """Give an empty CRM that was set up, beside the test's registry."""
    set_up(database)
    with connect(database) as connection:
        create_tables(connection)
    return Crm(database)


def ask(client: FlaskClient, org_id: str) -> dict[str, Any]:
    answer = client.get(READINESS, query_string={"org_id": org_id})
    assert answer.status_code == 200, answer.text
    return answer.json


def test_an_org_with_too_few_records_is_told_when_there_will_be_enough(crm: Crm) -> None:
    """40 records in the 28 days since its first lead are 10 a week: the other 60 take six weeks."""
    crm.leads("acme", 12, "WON", every=1)
    crm.leads("acme", 28, "LOST", every=1)
    body = ask(crm.client(), "acme")
    assert (body["org_id"], body["as_of"], body["is_ready"]) == ("acme", "2026-06-01T00:00:00+00:00", False)
    assert body["has_active_model"] is False
    assert body["pace"] == {"days": 28, "records_per_week": 10.0, "converted_per_week": 3.0}
    records = body["needs"][0]
    assert (records["what"], records["have"], records["needed"]) == ("records", 40, 100)
    assert records["expected_on"] == "2026-07-13"
    assert date.fromisoformat(body["expected_on"]) >= date(2026, 7, 13)
    assert body["message"].startswith(
        "40 of 100 records with a known outcome; 10.0 become known a week (last 28 days), so 100 are expected about"
        " 2026-07-13 or sooner: the pace of so young an org still rises."
    )


def test_an_org_with_enough_is_ready_and_may_have_a_model(crm: Crm, shelf: Any) -> None:
    crm.leads("acme", 60, "WON", every=2)
    crm.leads("acme", 120, "LOST", every=1)
    client = crm.client()
    shelf.activated("acme")
    body = ask(client, "acme")
    assert (body["is_ready"], body["expected_on"], body["has_active_model"]) == (True, "2026-06-01", True)
    assert body["message"].startswith("180 records with a known outcome (100 needed)")


def test_at_a_pace_that_is_too_slow_for_the_window_a_longer_one_is_named(crm: Crm) -> None:
    crm.leads("slow", 20, "LOST", every=7)
    body = ask(crm.client(), "slow")
    assert (body["is_ready"], body["expected_on"]) == (False, None)
    assert "TRAINING_WINDOW_DAYS=700 would be long enough" in body["message"]


def test_an_org_that_nobody_knows_has_no_records(crm: Crm) -> None:
    crm.leads("acme", 60, "WON", every=2)
    body = ask(crm.client(), "unheard-of")
    assert (body["is_ready"], body["expected_on"], body["has_active_model"]) == (False, None, False)
    assert [need["have"] for need in body["needs"]] == [0] * 5
    assert "the org has no leads yet" in body["message"]


def test_the_policy_and_the_windows_are_the_settings(crm: Crm) -> None:
    crm.leads("acme", 12, "WON", every=1)
    crm.leads("acme", 28, "LOST", every=1)
    client = crm.client(min_records=30, min_holdout_per_class=1, training_window_days=20)
    needs = {need["what"]: (need["have"], need["needed"]) for need in ask(client, "acme")["needs"]}
    assert needs["records"] == (31, 30)
    assert needs["converted_in_holdout"][1] == 1


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
        "the functions": "DROP FUNCTION leadscore.outcome_counts, leadscore.known_outcomes",
        "the CRM's tables": "DROP TABLE dossier CASCADE",
        "the functions of this release": "DROP FUNCTION leadscore.outcome_counts; CREATE FUNCTION leadscore."
        "outcome_counts(text, timestamp, int, int, text[], int, int) RETURNS text LANGUAGE sql AS $$ SELECT '{}' $$",
    }
    with connect(crm.settings) as connection:
        connection.execute(commands[missing])
    assert refusal(crm.client()) == NOT_SET_UP


def test_a_user_who_may_not_read_the_crm_is_told_that_it_cannot_be_used(crm: Crm) -> None:
    with connect(crm.settings) as connection:
        connection.execute("ALTER FUNCTION leadscore.outcome_counts SET role = 'pg_monitor'")
    assert refusal(crm.client()) == AWAY


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
            "outcome_counts(text, timestamp, int, int, text[], int, int) RETURNS text LANGUAGE plpgsql"
            " AS $$ BEGIN DELETE FROM dossier; RETURN '{}'; END $$"
        )
    assert refusal(crm.client()) == AWAY


def test_the_pooled_models_id_is_no_orgs(client: FlaskClient) -> None:
    answer = client.get(READINESS, query_string={"org_id": "_pooled"})
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_id")


def test_a_pointer_that_is_damaged_is_a_model_that_is_unavailable(crm: Crm, shelf: Any) -> None:
    shelf.activated("acme")
    (shelf.registry.root / "acme" / "active.json").write_text("harm")
    answer = crm.client().get(READINESS, query_string={"org_id": "acme"})
    assert (answer.status_code, answer.json["code"]) == (503, "model_unavailable")


def test_an_org_without_leads_is_answered_as_one_that_is_not_there(crm: Crm, shelf: Any) -> None:
    crm.leads("acme", 60, "WON", every=2)
    shelf.activated("acme")
    shelf.judged("leadless", "refuse")
    client = crm.client()
    known, unknown = ask(client, "leadless"), ask(client, "never-heard-of")
    assert known | {"org_id": "never-heard-of"} == unknown
