"""What is answered for a named lead is remembered; a database that is away, slow or not set up delays no answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import urllib3
from flask.testing import FlaskClient

from leadscore.features import CONTRACT, Contract
from leadscore.settings import Settings
from leadscore_assets.retention.erasure import erase_at_once
from leadscore_assets.source.database import connect
from serving.app import create_app
from serving.dependencies import answered_score_table, answered_scores
from serving.dependencies.answered_score_table import SLOW
from serving.dependencies.answered_scores import FIRST_OF_THE_DAY, TOO_MANY, AnsweredScores, Sample
from serving.dependencies.crm_database import AWAY, NOT_SET_UP
from serving.services import EXTENSION, Services
from tests.serving.conftest import Shelf, Starter, until_it_answers
from tests.serving.crm_of_leads import Crm

PREDICT, BATCH = "/api/v1/predict", "/api/v1/predict/batch"
READ = """
SELECT org_id, lead_id, age_days, probability, model_version, model_scope, feature_names, features
FROM leadscore.answered_score ORDER BY org_id, lead_id, answered_at
"""
Features = dict[str, Any]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the thread look often."""
    monkeypatch.setattr(answered_scores, "WAIT_SECONDS", 0.01)
    monkeypatch.setattr(answered_scores, "RETRY_SECONDS", 0.05)


@pytest.fixture
def client(crm: Crm, shelf: Shelf) -> FlaskClient:
    """Give a client of an app over a CRM, which stores the features of every lead that is sent with them."""
    return crm.client(answered_features_share=1.0)


def services_of(client: FlaskClient) -> Services:
    services: Services = client.application.extensions[EXTENSION]
    return services


def stored(settings: Settings, query: str = READ) -> list[Any]:
    with connect(settings) as connection:
        return connection.execute(query.encode()).fetchall()


def remembered(client: FlaskClient, query: str = READ) -> list[Any]:
    """Return the rows, once all that was answered is written or dropped."""
    services = services_of(client)
    services.answered_scores.close(10)
    return stored(services.settings, query)


def counted(client: FlaskClient) -> dict[str, float]:
    registry = services_of(client).metrics.registry
    values = {
        outcome: registry.get_sample_value("leadscore_answered_scores_total", {"outcome": outcome})
        for outcome in ("written", "dropped")
    }
    return {outcome: value for outcome, value in values.items() if value}


def until_counted(client: FlaskClient, outcome: str, count: int) -> None:
    deadline = time.monotonic() + 10
    while counted(client).get(outcome, 0) < count:
        assert time.monotonic() < deadline, counted(client)
        time.sleep(0.01)


def predicted(client: FlaskClient, features: Features, lead_id: Any, org_id: str = "default") -> Any:
    answer = client.post(PREDICT, json={"org_id": org_id, "lead_id": lead_id, "features": features})
    assert answer.status_code == 200
    return answer.json


@pytest.mark.parametrize(("age", "landmark"), [(0, 0), (0.99, 0), (1, 1), (6.9, 3), (7, 7), (59, 30), (1_000, 60)])
def test_a_row_has_the_last_landmark_that_the_lead_had_reached(
    client: FlaskClient, shelf: Shelf, features: Features, age: float, landmark: int
) -> None:
    shelf.activated()
    predicted(client, features | {"days_since_creation": age}, "1")
    assert remembered(client, "SELECT landmark_days FROM leadscore.answered_score") == [(landmark,)]


def test_of_a_lead_that_is_asked_for_again_the_first_score_of_each_span_of_ages_stays(
    client: FlaskClient, shelf: Shelf, features: Features
) -> None:
    shelf.activated()
    first = predicted(client, features | {"days_since_creation": 3}, "1")
    for age in (3, 4.5, 7, 8):
        predicted(client, features | {"days_since_creation": age, "appointments_count": 1}, "1")
    rows = remembered(client, "SELECT landmark_days, age_days, probability FROM leadscore.answered_score ORDER BY 1")
    assert [row[:2] for row in rows] == [(3, 3), (7, 7)]
    assert rows[0][2] == first["conversion_probability"]


def test_a_row_says_what_was_answered(client: FlaskClient, shelf: Shelf, features: Features) -> None:
    version = shelf.activated()
    before = datetime.now(UTC)
    answer = predicted(client, features, "A-17")
    [row] = remembered(client)
    assert row == (
        *("default", "A-17", 7, answer["conversion_probability"], version, "own"),
        *(list(CONTRACT.names), [features[name] for name in CONTRACT.names]),
    )
    assert row[7][1] is None
    [(answered_at,)] = stored(services_of(client).settings, "SELECT answered_at FROM leadscore.answered_score")
    assert before <= answered_at <= datetime.now(UTC)
    assert counted(client) == {"written": 1}


def test_an_id_that_is_a_number_is_stored_as_the_crm_compares_ids(
    client: FlaskClient, shelf: Shelf, features: Features
) -> None:
    shelf.activated()
    predicted(client, features, 4711)
    predicted(client, features, "é\"'\\ %s")
    assert [row[1] for row in remembered(client)] == ["4711", "é\"'\\ %s"]


def test_a_batch_is_remembered_but_for_its_leads_without_an_id_or_with_faults(
    client: FlaskClient, shelf: Shelf, features: Features
) -> None:
    shelf.activated()
    batch = [
        {"lead_id": "a", "features": features},
        {"features": features},
        {"lead_id": "b", "features": {}},
        {"lead_id": "c", "features": features | {"lead_source_score": 10, "days_since_creation": 2.5}},
    ]
    answer = client.post(BATCH, json={"batch": batch}).json
    said = [(one["lead_id"], one["conversion_probability"]) for one in answer["predictions"] if "error" not in one]
    rows = remembered(client)
    assert [(row[1], row[3]) for row in rows] == [said[0], said[2]]
    assert [row[2] for row in rows] == [7, 2.5]
    assert rows[1][7] == list((features | {"lead_source_score": 10, "days_since_creation": 2.5}).values())


def test_flat_items_of_a_batch_are_remembered_too(client: FlaskClient, shelf: Shelf, features: Features) -> None:
    shelf.activated()
    client.post(BATCH, json={"batch": [features | {"lead_id": number} for number in range(3)]})
    assert [row[1] for row in remembered(client)] == ["0", "1", "2"]


def test_what_names_no_lead_that_a_database_could_hold_is_neither_remembered_nor_dropped(
    client: FlaskClient, shelf: Shelf, features: Features
) -> None:
    """An empty id means in our tables that an org has no leads any more."""
    shelf.activated()
    client.post(PREDICT, json={"features": features})
    client.post(BATCH, json={"batch": [features]})
    assert services_of(client).answered_scores._thread is None
    for lead_id in ("", "a\0b"):
        predicted(client, features, lead_id)
    predicted(client, features, "good")
    assert [row[1] for row in remembered(client)] == ["good"]
    assert counted(client) == {"written": 1}


def test_a_lead_without_an_age_is_not_remembered(client: FlaskClient, shelf: Shelf, features: Features) -> None:
    ageless = tuple(feature for feature in CONTRACT.features if feature.name != "days_since_creation")
    shelf.activated("ageless", contract=Contract(ageless))
    predicted(client, features, "1", "ageless")
    assert remembered(client) == []


def test_a_lead_that_the_crm_told_is_remembered_without_its_features(crm: Crm, shelf: Shelf) -> None:
    version = shelf.activated("acme")
    crm.leads("acme", 1, "NEW", every=5)
    client = crm.client(answered_features_share=1.0)
    answer = client.post(PREDICT, json={"org_id": "acme", "lead_id": 1}).json
    probability = answer["conversion_probability"]
    assert remembered(client) == [("acme", "1", 5, probability, version, "own", None, None)]


def test_no_features_are_stored_of_leads_outside_the_sample(crm: Crm, shelf: Shelf, features: Features) -> None:
    shelf.activated()
    client = crm.client(answered_features_share=0.0)
    predicted(client, features, "1")
    assert [row[6:] for row in remembered(client)] == [(None, None)]


def test_a_sample_has_its_share_of_the_leads_and_other_leads_each_day() -> None:
    def sample(at_seconds: float, share: float) -> set[int]:
        found = Sample(share)
        for _ in range(FIRST_OF_THE_DAY):
            assert found.takes("acme", "one of the first", at_seconds) == (share > 0)
        return {number for number in range(2_000) if found.takes("acme", str(number), at_seconds)}

    day = 86_400.0
    first, second = sample(day, 0.1), sample(2 * day, 0.1)
    assert 140 < len(first) < 260
    assert first == sample(2 * day - 1, 0.1)
    assert len(first & second) < len(first) / 2
    assert (len(sample(day, 0.0)), len(sample(day, 1.0))) == (0, 2_000)


def test_the_first_leads_of_an_orgs_day_are_in_the_sample_however_small_the_share() -> None:
    sample = Sample(1e-9)
    taken = [sample.takes(org_id, str(lead), day * 86_400.0) for day in (1, 2) for org_id in "ab" for lead in range(50)]
    assert taken == 4 * [lead < FIRST_OF_THE_DAY for lead in range(50)]


def test_orgs_whose_leads_have_one_id_are_never_mixed(client: FlaskClient, shelf: Shelf, features: Features) -> None:
    versions = [shelf.activated("north", high=0.75), shelf.activated("south", high=0.625)]
    answers = [predicted(client, features, "1", org_id) for org_id in ("north", "south")]
    assert [row[:6] for row in remembered(client)] == [
        (org_id, "1", 7, answer["conversion_probability"], version, "own")
        for org_id, answer, version in zip(("north", "south"), answers, versions, strict=True)
    ]
    assert answers[0]["conversion_probability"] != answers[1]["conversion_probability"]


def test_the_pooled_model_answers_in_an_orgs_name_and_has_no_leads(crm: Crm, shelf: Shelf, features: Features) -> None:
    version = shelf.pooled(acme=0.3)
    client = crm.client(pooled_model=True)
    predicted(client, features, "1", "acme")
    predicted(client, features, "2", "_pooled")
    assert [(row[0], row[1], row[4], row[5]) for row in remembered(client)] == [("acme", "1", version, "pooled")]


def test_nothing_is_remembered_when_that_is_off(crm: Crm, shelf: Shelf, features: Features) -> None:
    shelf.activated()
    client = crm.client(answered_scores="OFF")
    predicted(client, features, "1")
    assert (remembered(client), counted(client)) == ([], {})
    assert services_of(client).answered_scores._thread is None


def test_while_the_database_is_away_answers_are_the_same_and_scores_are_dropped_and_counted(
    settings: Settings, shelf: Shelf, features: Features, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.activated()
    client = create_app(settings).test_client()
    for _ in range(3):
        with_id = predicted(client, features, "lead-c4")
        until_counted(client, "dropped", 1)
        assert with_id == client.post(PREDICT, json={"features": features}).json | {"lead_id": "lead-c4"}
    services_of(client).answered_scores.close()
    assert counted(client) == {"dropped": 3}
    [line] = [record for record in caplog.records if record.name == answered_scores.__name__]
    assert line.getMessage() == f"answered scores are dropped: {AWAY}"
    assert "lead-c4" not in caplog.text


def test_a_table_that_cannot_be_written_is_logged_once_and_so_is_its_recovery(
    client: FlaskClient, shelf: Shelf, features: Features, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.activated()
    with connect(services_of(client).settings) as connection:
        connection.execute("ALTER TABLE leadscore.answered_score SET SCHEMA public")
        for count in (1, 2):
            predicted(client, features, f"lost-{count}")
            until_counted(client, "dropped", count)
        connection.execute("ALTER TABLE public.answered_score SET SCHEMA leadscore")
    for count in (1, 2):
        predicted(client, features, f"kept-{count}")
        until_counted(client, "written", count)
    assert [row[1] for row in remembered(client)] == ["kept-1", "kept-2"]
    said = [record.getMessage() for record in caplog.records if record.name == answered_scores.__name__]
    assert said == [f"answered scores are dropped: {NOT_SET_UP}", "answered scores are remembered again"]


def test_a_table_that_is_locked_delays_no_answer(
    client: FlaskClient, shelf: Shelf, features: Features, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    shelf.activated()
    monkeypatch.setattr(answered_score_table, "WRITE_SECONDS", 0.3)
    with connect(services_of(client).settings) as connection, connection.transaction():
        connection.execute("LOCK TABLE leadscore.answered_score")
        started = time.monotonic()
        for _ in range(20):
            predicted(client, features, "1")
        assert time.monotonic() - started < 0.3
        until_counted(client, "dropped", 20)
    assert SLOW in caplog.text


def test_the_queue_is_bounded_and_what_finds_no_room_is_counted(
    client: FlaskClient, shelf: Shelf, features: Features, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    shelf.activated()
    monkeypatch.setattr(answered_scores, "MAX_WAITING_SCORES", 10)
    monkeypatch.setattr(answered_scores, "WAIT_SECONDS", 60)
    with monkeypatch.context() as context:
        context.setattr(AnsweredScores, "_start", lambda _: None)
        for lead_id in range(10):
            predicted(client, features, lead_id)
    answer = client.post(BATCH, json={"batch": [features | {"lead_id": number} for number in range(50)]})
    assert (answer.status_code, answer.json["count"]) == (200, 50)
    scores = services_of(client).answered_scores
    assert (len(scores._notes), scores._waiting) == (10, 10)
    scores._start()
    assert len(remembered(client)) == 10
    assert counted(client) == {"written": 10, "dropped": 50}
    assert TOO_MANY in caplog.text


def test_many_scores_are_written_in_parts_without_waiting(
    client: FlaskClient, shelf: Shelf, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.activated()
    monkeypatch.setattr(answered_scores, "WAIT_SECONDS", 60)
    monkeypatch.setattr(answered_scores, "SCORES_AT_A_TIME", 20)
    client.post(BATCH, json={"batch": [features | {"lead_id": number} for number in range(50)]})
    until_counted(client, "written", 50)
    sizes = stored(
        services_of(client).settings, "SELECT count(*) FROM leadscore.answered_score GROUP BY xmin::text ORDER BY 1"
    )
    assert sizes == [(10,), (20,), (20,)]


def test_an_error_that_nobody_foresaw_drops_scores_without_a_word_of_them(
    client: FlaskClient, shelf: Shelf, features: Features, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    shelf.activated()

    def fail(*_: object) -> None:
        raise UnicodeError("lead-c4")

    with monkeypatch.context() as context:
        context.setattr(answered_score_table.AnsweredScoreTable, "insert", fail)
        predicted(client, features, "lead-c4")
        until_counted(client, "dropped", 1)
    predicted(client, features, "2")
    assert [row[1] for row in remembered(client)] == ["2"]
    assert "answered scores are dropped: defect: UnicodeError" in caplog.text
    assert "lead-c4" not in caplog.text


def test_a_stop_writes_what_waits(
    client: FlaskClient, shelf: Shelf, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.activated()
    monkeypatch.setattr(answered_scores, "WAIT_SECONDS", 60)
    monkeypatch.setattr(answered_scores, "SCORES_AT_A_TIME", 2)
    for lead_id in range(7):
        predicted(client, features, lead_id)
    assert len(remembered(client)) == 7


def test_a_stop_waits_for_no_database(
    client: FlaskClient, shelf: Shelf, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.activated()
    monkeypatch.setattr(answered_scores, "SCORES_AT_A_TIME", 1)
    with connect(services_of(client).settings) as connection, connection.transaction():
        connection.execute("LOCK TABLE leadscore.answered_score")
        for lead_id in range(3):
            predicted(client, features, lead_id)
        started = time.monotonic()
        services_of(client).answered_scores.close(0.2)
        assert time.monotonic() - started < 1
        # the one that the thread still tries to write is neither yet
        assert counted(client) == {"dropped": 2}


def test_a_server_that_is_told_to_stop_writes_what_it_answered(
    crm: Crm, shelf: Shelf, features: Features, start: Starter, free_port: Callable[[], int]
) -> None:
    shelf.activated()
    port, settings = free_port(), crm.settings
    database = {name.upper(): value for name, value in vars(settings).items() if name.startswith("db_")}
    process = start(PORT=port, MODEL_PATH=shelf.registry.root, STATE_DIR=settings.state_dir, **database)
    with urllib3.HTTPConnectionPool("127.0.0.1", port, timeout=30, retries=False) as http:
        until_it_answers(process, http)
        for lead_id in range(20):
            body = {"lead_id": lead_id, "features": features}
            assert http.request("POST", PREDICT, json=body).status == 200
    process.terminate()
    process.communicate(timeout=60)
    assert len(stored(settings)) == 20


def test_an_erased_lead_is_gone_and_others_stay(client: FlaskClient, shelf: Shelf, features: Features) -> None:
    shelf.activated("north")
    shelf.activated("south")
    for org_id, lead_id in (("north", "1"), ("north", "2"), ("south", "1")):
        predicted(client, features, lead_id, org_id)
    assert len(remembered(client)) == 3
    with connect(services_of(client).settings) as connection:
        erase_at_once(connection, "north", ["1"])
    assert [row[:2] for row in stored(services_of(client).settings)] == [("north", "2"), ("south", "1")]
