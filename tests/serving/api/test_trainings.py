"""Training over HTTP, against a webserver that speaks Dagster's GraphQL by script: what each outcome is answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from leadscore.gate import withheld
from leadscore.records import RecordCounts
from leadscore.registry.activation import withdraw
from leadscore.run_tags import START_AGENT
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import connect
from serving.services import EXTENSION, build_services
from standalone.crm import create_tables
from tests.serving.crm_of_leads import SPOILT, Crm
from tests.serving.scripted_dagster import REFUSED, TRAIN, ScriptedDagster, post, step_failure

MARCH = datetime(2026, 3, 15, tzinfo=UTC)


@pytest.fixture
def app(app_with_dagster: Flask) -> Flask:
    """Let the client be one of the app with the scripted Dagster."""
    return app_with_dagster


def test_an_activated_version_is_answered_with_its_figures(client, dagster, evaluated):
    version = evaluated("activate")
    dagster.materialized["active_model"] = {"version": version, "model_scope": "own"}
    dagster.statuses = ["QUEUED", "STARTED", "SUCCESS"]
    answer = post(client)
    assert answer.status_code == 200
    assert answer.headers["X-Model-Version"] == version
    body = answer.json
    assert body.pop("metrics")["roc_auc"] == 0.75
    assert body == {
        "status": "success",
        "org_id": "acme",
        "version": version,
        "activated": True,
        "training_data_size": 200,
        "verdict": "activate",
        "reasons": ["The reason to activate. A remedy."],
        "withheld": [],
        "run_id": dagster.run_id,
    }


def test_a_version_that_was_only_tried_is_a_success_that_says_why_it_is_not_active(client, dagster, evaluated):
    version = evaluated("activate", withheld=withheld(MARCH, None, is_trial=True))
    dagster.materialized["active_model"] = {"version": "none", "model_scope": "none"}
    answer = client.post(f"{TRAIN}?wait=5", json={"org_id": "acme", "as_of": "2026-03-15", "activate": False})
    assert (answer.status_code, answer.json["version"], answer.json["verdict"]) == (200, version, "activate")
    assert answer.json["activated"] is False
    assert answer.json["withheld"] == [
        "The training was asked to judge only. Only a rollback to it, or a run with `activate_anyway` if it passed the"
        " gate, makes it active."
    ]
    [listed] = client.get("/api/v1/model/versions?org_id=acme").json["versions"]
    assert listed["decision"]["withheld"] == answer.json["withheld"]
    [params] = dagster.launched
    assert params["runConfigData"] == {
        "ops": {
            "conversion_records": {"config": {"as_of": "2026-03-15T00:00:00+00:00"}},
            "evaluation": {"config": {"activate": False}},
        }
    }


@pytest.mark.parametrize(
    ("asked", "pointer", "words"),
    [
        ({"as_of": "soon"}, "/as_of", "as_of must be a date or a time in ISO 8601, such as 2026-03-15"),
        ({"as_of": "2226-01-01"}, "/as_of", "as_of must be a past time, since 1990; give one, or leave it out"),
        ({"as_of": "1970-01-01"}, "/as_of", "as_of must be a past time, since 1990"),
        ({"as_of": "0001-01-01T00:00:00+14:00"}, "/as_of", "as_of must be a date or a time in ISO 8601"),
        ({"as_of": 20260315}, "/as_of", "Expected `str | null`, got `int`"),
        ({"training_window_days": 0}, "/training_window_days", "Expected `int` >= 1"),
        ({"training_window_days": 3651}, "/training_window_days", "Expected `int` <= 3650"),
        ({"activate": "no"}, "/activate", "Expected `bool`, got `str`"),
        ({"as_off": "2026-03-15"}, "/as_off", "no such field; did you mean as_of?"),
    ],
)
def test_what_a_training_cannot_be_asked_for_is_refused_in_words_before_a_run(client, dagster, asked, pointer, words):
    answer = client.post(TRAIN, json={"org_id": "acme", **asked})
    [fault] = answer.json["errors"]
    assert (answer.status_code, fault["pointer"]) == (422, pointer)
    assert fault["detail"].startswith(words)
    assert dagster.launched == []


@pytest.mark.parametrize(("agent", "asker"), [("curl/8", "HTTP"), (START_AGENT, "make run")])
def test_the_run_is_tagged_with_who_asked_for_it(client, dagster, evaluated, agent, asker):
    evaluated("hold")
    client.post(f"{TRAIN}?wait=5", json={"org_id": "acme"}, headers={"User-Agent": agent})
    [params] = dagster.launched
    assert {"key": "leadscore/asked_by", "value": asker} in params["executionMetadata"]["tags"]


def test_a_held_version_is_a_success_that_was_not_activated(client, evaluated):
    evaluated("hold")
    answer = post(client)
    assert (answer.status_code, answer.json["status"], answer.json["activated"]) == (200, "success", False)
    assert answer.json["reasons"] == ["The reason to hold. A remedy."]


@pytest.fixture
def app_with_database(app, database) -> Any:
    """Give the app with the scripted Dagster over a database that was set up, with an org of 28 days and 28 records."""
    set_up(database)
    with connect(database) as connection:
        create_tables(connection)
        connection.execute(
            "WITH leads AS (INSERT INTO dossier (org_id, status, created_at, updated_at)"
            " SELECT 'acme', 'LOST', timestamp '2026-06-01' - number * interval '1 day', now()"
            " FROM generate_series(1, 28) AS number RETURNING id, created_at)"
            " INSERT INTO dossier_status_history (org_id, dossier_id, to_status, transitioned_at)"
            " SELECT 'acme', id, 'LOST', created_at + interval '12 hours' FROM leads"
        )
    asked = build_services(replace(database, as_of=datetime(2026, 6, 1, tzinfo=UTC))).readiness
    app.extensions[EXTENSION] = replace(app.extensions[EXTENSION], readiness=asked)
    return app


def refuse(dagster: ScriptedDagster) -> None:
    dagster.statuses = ["FAILURE"]
    dagster.failures = [step_failure(REFUSED, code="insufficient_data", verdict="refuse", reasons=REFUSED)]


def test_an_org_that_is_not_ready_is_refused_with_the_plan_before_a_run_is_launched(app_with_database, dagster):
    answer = post(app_with_database.test_client())
    body, readiness = answer.json, answer.json["readiness"]
    assert (answer.status_code, body["status"], body["code"]) == (422, "insufficient_data", "insufficient_data")
    not_ready = f"The org is not ready for a training. As of 2026-06-01: {readiness['message']}"
    assert body["message"] == body["detail"] == not_ready
    assert readiness["message"].startswith("28 of 100 records with a known outcome; 7.0 become known a week")
    assert (readiness["needs"][0]["expected_on"], readiness["expected_on"]) == ("2026-08-12", None)
    assert (readiness["org_id"], readiness["has_active_model"]) == ("acme", False)
    assert "run_id" not in body
    assert (dagster.asked, dagster.launched) == ([], [])


def test_readiness_is_asked_about_the_training_that_is_asked_for(app_with_database, dagster):
    """The leads of five days in May, of which the last was not closed yet."""
    asked = {"org_id": "acme", "as_of": "2026-05-22", "training_window_days": 5}
    answer = app_with_database.test_client().post(TRAIN, json=asked)
    assert (answer.status_code, answer.json["code"]) == (422, "insufficient_data")
    assert "As of 2026-05-22: " in answer.json["message"]
    assert answer.json["readiness"]["as_of"] == "2026-05-22T00:00:00+00:00"
    assert answer.json["readiness"]["needs"][0]["have"] == 4
    assert dagster.launched == []


def test_an_org_that_the_crm_does_not_know_is_refused_and_becomes_no_partition(app_with_database, dagster):
    answer = app_with_database.test_client().post(TRAIN, json={"org_id": "unheard-of"})
    assert (answer.status_code, answer.json["code"]) == (422, "insufficient_data")
    assert "the org has no leads yet" in answer.json["message"]
    assert dagster.asked == []


def test_a_run_whose_data_the_gate_refused_is_answered_with_the_plan(app_with_database, dagster):
    refuse(dagster)
    answer = app_with_database.test_client().get(f"{TRAIN}/{dagster.run_id}")
    body = answer.json
    assert (answer.status_code, body["run_id"]) == (422, dagster.run_id)
    assert body["message"] == f"{REFUSED} As of 2026-06-01: {body['readiness']['message']}"


def test_an_org_whose_last_run_lost_its_records_is_trained_when_it_is_asked_for(
    app_with_database, dagster, database, evaluated
):
    """The values may have been corrected: only a run checks them."""
    crm = Crm(database)
    crm.leads("acme", 60, "WON", every=1)
    crm.leads("acme", 60, "LOST", every=1)
    crm.last_run("acme", SPOILT, stored_at="2026-05-15 02:00:00+00")
    evaluated("hold")
    answer = post(app_with_database.test_client())
    assert (answer.status_code, answer.json["status"]) == (200, "success")
    assert len(dagster.launched) == 1


def test_an_org_that_is_not_ready_is_told_what_its_last_run_left_out(app_with_database, database):
    counts = RecordCounts(28, 0, 28, {"outcome_time_unknown": 223}, "c0ffee")
    Crm(database).last_run("acme", counts, stored_at="2026-05-15 02:00:00+00")
    body = post(app_with_database.test_client()).json
    assert body["message"].endswith(
        " The last run, of 2026-05-15, found that 223 closed leads have no usable time of closing in"
        " dossier_status_history (outcome_time_unknown). Let the CRM write it."
    )
    assert "CONVERSION_STATUSES" not in body["message"]


def test_a_refusal_for_values_outside_the_contract_says_so_once(app_with_database, dagster, database):
    crm = Crm(database)
    crm.leads("acme", 60, "WON", every=1)
    crm.leads("acme", 60, "LOST", every=1)
    crm.last_run("acme", SPOILT, stored_at="2026-06-01 02:00:00+00")
    refuse(dagster)
    body = app_with_database.test_client().get(f"{TRAIN}/{dagster.run_id}").json
    assert body["message"] == REFUSED
    assert body["readiness"]["is_ready"] is False
    assert (
        "in the last run, of 2026-06-01, 1,122 of 1,221 rows had property_price below 0" in body["readiness"]["message"]
    )


@pytest.mark.parametrize("failing", ["the database", "the pointer"])
def test_a_refusal_stays_one_when_there_can_be_no_plan(app_with_database, dagster, shelf, database, failing):
    refuse(dagster)
    if failing == "the database":
        with connect(database) as connection:
            connection.execute("DROP SCHEMA leadscore CASCADE")
    else:
        shelf.activated("acme")
        (shelf.registry.root / "acme" / "active.json").write_text("harm")
    answer = app_with_database.test_client().get(f"{TRAIN}/{dagster.run_id}")
    assert (answer.status_code, answer.json["message"]) == (422, REFUSED)
    assert "readiness" not in answer.json


def test_when_the_wait_is_over_the_answer_names_where_the_result_will_be(client, dagster, evaluated):
    dagster.statuses = ["STARTED"]
    answer = post(client, "?wait=0")
    assert answer.status_code == 202
    assert answer.json == {"status": "running", "org_id": "acme", "run_id": dagster.run_id}
    assert answer.headers["Location"] == f"{TRAIN}/{dagster.run_id}"
    assert int(answer.headers["Retry-After"]) > 0
    assert client.get(answer.headers["Location"]).status_code == 202
    version = evaluated("activate")
    dagster.statuses = ["SUCCESS"]
    for _ in range(2):
        later = client.get(answer.headers["Location"])
        assert (later.status_code, later.json["version"]) == (200, version)


@pytest.mark.parametrize("run_id", ["9c2c8a3e-0000-4000-8000-000000000000", None])
def test_a_run_that_is_none_of_ours_is_not_found(client, dagster, run_id):
    dagster.job = "another_job"
    answer = client.get(f"{TRAIN}/{run_id or dagster.run_id}")
    assert (answer.status_code, answer.json["code"]) == (404, "run_not_found")


def test_an_org_that_trains_already_is_told_which_run_it_is(client, dagster):
    dagster.active_runs = [dagster.run_id]
    answer = post(client)
    assert (answer.status_code, answer.json["code"]) == (409, "already_training")
    assert answer.headers["Location"] == f"{TRAIN}/{dagster.run_id}"
    assert dagster.launched == []


def test_a_run_that_was_started_in_dagsters_ui_is_told_of_without_an_address(client, dagster):
    """It runs as a job that is no training, so its address would answer 404."""
    dagster.active_runs, dagster.active_job = [dagster.run_id], "__ASSET_JOB"
    answer = post(client)
    assert (answer.status_code, answer.json["code"]) == (409, "already_training")
    assert answer.json["run_id"] == dagster.run_id
    assert "Location" not in answer.headers
    assert dagster.launched == []


def test_health_sees_a_dagster_that_is_up(client):
    assert client.get("/health").json["dagster"] == "up"


def test_an_org_whose_id_may_be_another_customers_is_not_trained(client, dagster, shelf):
    shelf.activated("acme")
    withdraw(shelf.registry, "acme", by="a test", reason="other leads")
    answer = post(client)
    assert (answer.status_code, answer.json["code"]) == (409, "org_changed")
    assert "accept_org --org acme" in answer.json["detail"]
    assert dagster.asked == []
