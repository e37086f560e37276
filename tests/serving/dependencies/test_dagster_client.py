"""What is sent to Dagster's webserver, and answers that are late, odd or missing."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from serving.app import create_app
from serving.dependencies import dagster_client
from serving.dependencies.dagster_client import AskedTraining
from serving.dependencies.dagster_state import DagsterState
from tests.serving.scripted_dagster import TRAIN, post


@pytest.fixture
def app(app_with_dagster: Flask) -> Flask:
    """Let the client be one of the app with the scripted Dagster."""
    return app_with_dagster


def test_the_run_is_launched_for_the_orgs_partition_and_names_the_request(client, dagster, evaluated):
    evaluated("activate")
    post(client)
    [params] = dagster.launched
    assert params["selector"] == {
        "repositoryLocationName": "leadscore",
        "repositoryName": "__repository__",
        "jobName": "train",
    }
    assert params["executionMetadata"]["tags"] == [
        {"key": "dagster/partition", "value": "acme"},
        {"key": "leadscore/org", "value": "acme"},
        {"key": "leadscore/asked_by", "value": "HTTP"},
        {"key": "leadscore/request_id", "value": "req-7"},
    ]
    assert params["runConfigData"] == {}


MARCH = datetime(2026, 3, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changed", "ops"),
    [
        ({"as_of": MARCH}, {"conversion_records": {"as_of": "2026-03-15T00:00:00+00:00"}}),
        ({"training_window_days": 365}, {"conversion_records": {"training_window_days": 365}}),
        ({"activate": False}, {"evaluation": {"activate": False}}),
        (
            {"as_of": MARCH, "activate": False},
            {"conversion_records": {"as_of": "2026-03-15T00:00:00+00:00"}, "evaluation": {"activate": False}},
        ),
    ],
)
def test_the_runs_configuration_has_what_was_asked_for_and_nothing_else(
    changed: dict[str, Any], ops: dict[str, Any]
) -> None:
    config = AskedTraining("acme", "HTTP", "req-7", **changed).run_config
    assert config == {"ops": {step: {"config": values} for step, values in ops.items()}}


def test_a_token_is_named_in_the_runs_tags() -> None:
    tags = AskedTraining("acme", "HTTP, token t1", "req-7", "t1").tags
    assert (tags["leadscore/asked_by"], tags["leadscore/token"]) == ("HTTP, token t1", "t1")


def test_an_org_that_is_a_partition_already_is_trained_all_the_same(client, dagster, evaluated):
    evaluated("hold")
    dagster.partition_result = "DuplicateDynamicPartitionError"
    assert post(client).status_code == 200


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("launch_result", "PythonError"),
        ("launch_result", "PipelineNotFoundError"),
        ("partition_result", "PythonError"),
        ("partition_result", "UnauthorizedError"),
        ("raw", b"<html>not GraphQL</html>"),
        ("raw", b"[]"),
        ("raw", b'{"data": null}'),
        ("raw", b'{"data": {}}'),
        ("raw", b'{"data": {"runsOrError": {"results": [{"runId": 5}]}}}'),
        ("raw", b'{"errors": [{"message": "secret/x"}], "data": null}'),
        ("raw", b"\xff\xfe"),
        ("raw", b"[" * 100_000),
    ],
)
def test_a_dagster_that_answers_otherwise_is_unavailable_and_not_quoted(client, dagster, member, value):
    setattr(dagster, member, value)
    answer = post(client)
    assert (answer.status_code, answer.json["code"]) == (503, "dagster_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "secret" not in answer.text


def test_an_answer_that_trickles_in_is_given_up_when_its_time_is_over(parts, dagster, monkeypatch):
    """Each byte comes soon enough; the whole does not."""
    monkeypatch.setattr(dagster_client, "PROBE_SECONDS", 0.2)
    dagster.byte_seconds = 0.05
    started = time.monotonic()
    assert dagster_client.DagsterClient(parts.settings.dagster_url).state() == DagsterState("down")
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("name", ["ActiveRuns", "QueuedRuns", "AddPartition"])
def test_one_error_before_the_launch_is_asked_about_again(client, dagster, name):
    """As after a restart of Dagster's database, whose old connections are broken."""
    dagster.failing_once, dagster.statuses = {name}, ["STARTED"]
    assert post(client, "?wait=0").status_code == 202
    assert (dagster.asked.count(name), dagster.asked.count("Launch")) == (2, 1)


def test_a_launch_is_asked_for_once_whatever_its_answer(client, dagster):
    dagster.failing_once = {"Launch"}
    assert post(client, "?wait=0").status_code == 503
    assert dagster.asked.count("Launch") == 1


def test_a_dagster_that_cannot_be_reached_is_unavailable(settings, shelf):
    client = create_app(settings).test_client()
    for answer in (post(client), client.get(f"{TRAIN}/{uuid.uuid4()}")):
        assert (answer.status_code, answer.json["code"]) == (503, "dagster_unavailable")
