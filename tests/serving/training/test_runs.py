"""Runs are started once, followed by few threads even while Dagster is away, and end as one of four outcomes."""

from __future__ import annotations

import threading

import pytest
from flask import Flask

from serving.services import EXTENSION
from serving.training import runs as trainings_module
from serving.training.runs import MAX_FAILED_POLLS
from tests.serving.scripted_dagster import REFUSED, TRAIN, post, step_failure

ASKS = 2  # how often Dagster is asked before one poll has failed


@pytest.fixture
def app(app_with_dagster: Flask) -> Flask:
    """Let the client be one of the app with the scripted Dagster."""
    return app_with_dagster


@pytest.fixture
def quick_polls(monkeypatch) -> None:
    monkeypatch.setattr(trainings_module, "POLL_SECONDS", 0.001)


@pytest.mark.parametrize("met_by", ["the evaluation", "an earlier step"])
def test_data_that_the_gate_refuses_is_insufficient_in_words(client, dagster, met_by):
    dagster.statuses = ["FAILURE"]
    if met_by == "the evaluation":
        dagster.materialized["evaluation"] = {"version": "20260315060000", "verdict": "refuse", "reasons": REFUSED}
    else:
        dagster.failures = [
            step_failure("x", code="other"),
            step_failure(REFUSED, code="insufficient_data", verdict="refuse", reasons=REFUSED),
        ]
    answer = post(client)
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    body = answer.json
    assert (body["status"], body["message"], body["org_id"]) == ("insufficient_data", REFUSED, "acme")
    assert (body["code"], body["error"], body["run_id"]) == ("insufficient_data", REFUSED, dagster.run_id)
    assert "readiness" not in body


def test_a_failure_after_the_gate_said_yes_is_a_failure(client, dagster, evaluated):
    evaluated("activate")
    dagster.statuses = ["FAILURE"]
    assert post(client).json["code"] == "training_failed"


@pytest.mark.parametrize(
    "materialized", [{}, {"evaluation": {}}, {"evaluation": {"version": "19990101000000", "verdict": "activate"}}]
)
def test_a_run_that_left_no_judged_version_failed(client, dagster, materialized):
    dagster.materialized = materialized
    assert post(client).json["code"] == "training_failed"


def test_a_cancelled_run_failed(client, dagster):
    dagster.statuses = ["CANCELED"]
    answer = post(client)
    assert (answer.status_code, answer.json["code"]) == (503, "training_failed")
    assert "cancelled" in answer.json["detail"]


def test_a_server_that_stops_lets_its_waiting_clients_go(client, app, dagster):
    dagster.statuses = ["STARTED"]
    app.extensions[EXTENSION].is_stopping.set()
    assert post(client, "?wait=600").status_code == 202


def test_of_two_requests_at_once_one_launches(client, app, dagster, started_threads):
    dagster.statuses = ["STARTED"]
    dagster.launch_gate.clear()
    statuses: list[int] = []
    first = started_threads(lambda: statuses.append(post(app.test_client(), "?wait=0").status_code))
    deadline = threading.Event()
    for _ in range(1_000):
        if "Launch" in dagster.asked:
            break
        deadline.wait(0.01)
    second = post(client, "?wait=0")
    dagster.launch_gate.set()
    first.join(10)
    assert (second.status_code, second.json["code"]) == (409, "already_training")
    assert (statuses, len(dagster.launched)) == ([202], 1)


def is_refused_as_one_too_many(answer) -> bool:
    is_told = answer.status_code == 429 and answer.json["code"] == "too_many_trainings"
    return is_told and int(answer.headers["Retry-After"]) > 0


def test_no_more_than_half_of_the_threads_wait_for_trainings_and_polls_go_on(client, app, dagster):
    dagster.statuses = ["STARTED"]
    trainings_of_app = app.extensions[EXTENSION].trainings
    with trainings_of_app.waiting_slot(), trainings_of_app.waiting_slot():
        assert is_refused_as_one_too_many(post(client, "?wait=0"))
        assert client.get(f"{TRAIN}/{dagster.run_id}").status_code == 202
    assert dagster.launched == []
    assert post(client, "?wait=0").status_code == 202


def test_a_quarter_of_the_threads_is_left_however_many_polls_hang(client, app, dagster):
    dagster.statuses = ["STARTED"]
    slot = app.extensions[EXTENSION].trainings.slot
    with slot(), slot(), slot():
        assert is_refused_as_one_too_many(client.get(f"{TRAIN}/{dagster.run_id}"))
        assert is_refused_as_one_too_many(post(client, "?wait=0"))
    assert client.get(f"{TRAIN}/{dagster.run_id}").status_code == 202


@pytest.mark.usefixtures("quick_polls")
def test_a_dagster_that_goes_away_while_it_trains_leaves_the_runs_address(client, dagster):
    dagster.failing_polls = 1_000
    answer = post(client)
    assert (answer.status_code, answer.json["run_id"]) == (503, dagster.run_id)
    assert answer.headers["Location"] == f"{TRAIN}/{dagster.run_id}"
    assert dagster.asked.count("Run") == MAX_FAILED_POLLS * ASKS


@pytest.mark.usefixtures("quick_polls")
def test_a_wait_outlasts_a_dagster_that_is_away_for_a_moment(client, dagster, evaluated):
    evaluated("hold")
    dagster.failing_polls = (MAX_FAILED_POLLS - 1) * ASKS
    answer = post(client)
    assert (answer.status_code, answer.json["status"]) == (200, "success")


@pytest.mark.usefixtures("quick_polls")
def test_a_wait_that_is_over_while_dagster_is_away_answers_where_the_result_will_be(client, dagster):
    dagster.failing_polls = ASKS
    answer = post(client, "?wait=0")
    assert (answer.status_code, answer.json["org_id"]) == (202, "acme")
    assert answer.headers["Location"] == f"{TRAIN}/{dagster.run_id}"


@pytest.mark.usefixtures("quick_polls")
def test_failed_polls_are_counted_in_a_row_only(client, dagster, evaluated):
    """One that succeeds in between starts the count again."""
    evaluated("hold")
    dagster.statuses = ["STARTED"] * MAX_FAILED_POLLS + ["SUCCESS"]
    steady, turn = dagster._Run, iter(range(1_000))

    def every_other(variables):
        dagster.failing_polls = next(turn) % (ASKS + 1) < ASKS
        return steady(variables)

    dagster._Run = every_other
    assert post(client).status_code == 200


def test_a_held_version_is_not_taken_for_the_pooled_one_of_the_same_id(client, dagster, evaluated):
    version = evaluated("hold")
    dagster.materialized["active_model"] = {"version": version, "model_scope": "pooled"}
    assert post(client).json["activated"] is False


@pytest.mark.parametrize(("queued", "status"), [(99, 200), (100, 429), (5_000, 429)])
def test_a_training_beyond_those_that_may_queue_is_refused_and_makes_no_partition(
    client, dagster, evaluated, queued, status
):
    evaluated("activate")
    dagster.queued = queued
    answer = post(client)
    assert answer.status_code == status
    if status == 429:
        assert (answer.json["code"], answer.headers["Retry-After"]) == ("too_many_trainings", "10")
        assert dagster.launched == []
        assert "AddPartition" not in dagster.asked
