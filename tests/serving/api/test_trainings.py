"""Training over HTTP, against a webserver that speaks Dagster's GraphQL by script: every outcome, and every oddity.

The queries themselves are checked against the schema of the Dagster release that is installed.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import graphql
import pytest
from dagster_graphql.schema import create_schema

from leadscore.errors import LeadscoreError, TooManyTrainings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import connect
from serving.app import create_app
from serving.dependencies import dagster_client, dagster_queries
from serving.services import EXTENSION, build_services
from serving.training import runs as trainings_module
from serving.training.failure_messages import MESSAGES
from serving.training.runs import MAX_FAILED_POLLS
from standalone.crm import create_tables

TRAIN = "/api/v1/model/train"
REFUSED = "37 of 100 records with a known outcome. Train again when 63 more leads have a known outcome."


def entries(texts: dict[str, str]) -> list[dict[str, Any]]:
    """Return metadata as Dagster gives it, with a figure among the texts."""
    return [{"label": "records"}, *({"label": label, "text": text} for label, text in texts.items())]


@dataclass
class ScriptedDagster:
    """What the webserver knows: how runs stand, what they materialized, how their steps failed."""

    statuses: list[str] = field(default_factory=lambda: ["SUCCESS"])
    materialized: dict[str, dict[str, str]] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    active_runs: list[str] = field(default_factory=list)
    active_job: str = "train"
    failing_polls: int = 0
    byte_seconds: float = 0
    partition_result: str = "AddDynamicPartitionSuccess"
    launch_result: str = "LaunchRunSuccess"
    job: str = "train"
    raw: bytes | None = None
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    launched: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    launch_gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.launch_gate.set()

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        name = re.search(r"(?:query|mutation) (\w+)", query)[1]
        self.asked.append(name)
        return getattr(self, f"_{name}")(variables)

    def _Version(self, _variables):  # noqa: N802 (named after the query)
        return {"version": "1.13"}

    def _ActiveRuns(self, variables):  # noqa: N802
        wanted = variables["filter"]
        assert wanted["tags"] == [{"key": "dagster/partition", "value": "acme"}]
        is_wanted = wanted.get("pipelineName") in (None, self.active_job)
        runs = [{"runId": run_id, "jobName": self.active_job} for run_id in self.active_runs]
        return {"runsOrError": {"results": runs if is_wanted else []}}

    def _AddPartition(self, variables):  # noqa: N802
        assert (variables["partitions"], variables["key"]) == ("orgs", "acme")
        return {"addDynamicPartition": {"__typename": self.partition_result}}

    def _Launch(self, variables):  # noqa: N802
        assert self.launch_gate.wait(10)
        self.launched.append(variables["params"])
        return {"launchRun": {"__typename": self.launch_result, "run": {"runId": self.run_id}, "message": "secret/x"}}

    def _Run(self, variables):  # noqa: N802
        if self.failing_polls:
            self.failing_polls -= 1
            return {"runOrError": {"__typename": "PythonError", "message": "secret/x"}}
        if variables["runId"] != self.run_id:
            return {"runOrError": {"__typename": "RunNotFoundError"}}
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        tags = [{"key": "dagster/partition", "value": "acme"}]
        return self._of_run({"runId": self.run_id, "status": status, "jobName": self.job, "tags": tags})

    def _Materializations(self, _variables):  # noqa: N802
        found = [
            {"assetKey": {"path": [name]}, "metadataEntries": entries(texts)}
            for name, texts in self.materialized.items()
        ]
        return self._of_run({"assetMaterializations": found})

    def _Failures(self, variables):  # noqa: N802
        """Give one event per page, as a run of many events would."""
        at = int(variables["cursor"] or 0)
        events = [{"__typename": "LogMessageEvent"}, *self.failures]
        page = {"cursor": str(at + 1), "hasMore": at + 1 < len(events), "events": events[at : at + 1]}
        return self._of_run({"eventConnection": page})

    def _of_run(self, members):
        return {"runOrError": {"__typename": "Run", **members}}


def step_failure(description: str, **texts: str) -> dict[str, Any]:
    return {
        "__typename": "ExecutionStepFailureEvent",
        "stepKey": "a_step",
        "failureMetadata": {"description": description, "metadataEntries": entries(texts)},
    }


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        dagster = self.server.dagster
        body = dagster.raw or json.dumps({"data": dagster.answer(asked["query"], asked["variables"])}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not dagster.byte_seconds:
            self.wfile.write(body)
            return
        with suppress(OSError):
            # the client is expected to hang up
            for byte in body:
                self.wfile.write(bytes([byte]))
                threading.Event().wait(dagster.byte_seconds)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def dagster() -> ScriptedDagster:
    return ScriptedDagster()


@pytest.fixture
def app(settings, shelf, dagster) -> Iterator[Any]:
    """Give the app with the scripted Dagster; up to two training requests at a time."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.dagster = dagster
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield create_app(replace(settings, dagster_url=url, server_threads=4))
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def evaluated(shelf, dagster):
    """Give a function that lets the run have judged a version."""

    def evaluate(verdict: str) -> str:
        version = shelf.judged("acme", verdict)
        dagster.materialized["evaluation"] = {"version": version, "verdict": verdict, "reasons": "In words."}
        return version

    return evaluate


def post(client, query=""):
    return client.post(TRAIN + query, json={"org_id": "acme"}, headers={"X-Request-ID": "req-7"})


def trainings(client) -> str:
    return "\n".join(line for line in client.get("/metrics").text.splitlines() if "ml_model_training_total{" in line)


def test_every_query_is_one_of_the_installed_dagsters():
    schema = create_schema().graphql_schema
    queries = [text for name, text in vars(dagster_queries).items() if name.isupper() and not name.startswith("_")]
    assert len(queries) == 7
    for query in queries:
        assert graphql.validate(schema, graphql.parse(query)) == []


def test_an_activated_version_is_answered_with_its_figures(client, dagster, evaluated):
    version = evaluated("activate")
    dagster.materialized["active_model"] = {"version": version}
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
        "reasons": ["The reason to activate. A remedy."],
        "run_id": dagster.run_id,
    }
    assert 'status="activated"} 1.0' in trainings(client)


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
        {"key": "leadscore/request_id", "value": "req-7"},
    ]


def test_a_held_version_is_a_success_that_was_not_activated(client, evaluated):
    evaluated("hold")
    answer = post(client)
    assert (answer.status_code, answer.json["status"], answer.json["activated"]) == (200, "success", False)
    assert answer.json["reasons"] == ["The reason to hold. A remedy."]
    assert 'status="held"} 1.0' in trainings(client)


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
    assert 'status="insufficient_data"} 1.0' in trainings(client)


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


def test_a_refusal_ends_with_the_plan_and_has_it_in_figures(app_with_database, dagster):
    refuse(dagster)
    answer = post(app_with_database.test_client())
    body, readiness = answer.json, answer.json["readiness"]
    assert (answer.status_code, body["status"], body["code"]) == (422, "insufficient_data", "insufficient_data")
    assert body["message"] == body["detail"] == f"{REFUSED} As of 2026-06-01: {readiness['message']}"
    assert readiness["message"].startswith("28 of 100 records with a known outcome; 7.0 become known a week")
    assert (readiness["needs"][0]["expected_on"], readiness["expected_on"]) == ("2026-08-12", None)
    assert (readiness["org_id"], readiness["has_active_model"]) == ("acme", False)
    later = app_with_database.test_client().get(f"{TRAIN}/{dagster.run_id}").json
    assert later["readiness"] == readiness


@pytest.mark.parametrize("failing", ["the database", "the pointer"])
def test_a_refusal_stays_one_when_there_can_be_no_plan(app_with_database, dagster, shelf, database, failing):
    refuse(dagster)
    if failing == "the database":
        with connect(database) as connection:
            connection.execute("DROP SCHEMA leadscore CASCADE")
    else:
        shelf.activated("acme")
        (shelf.registry.root / "acme" / "active.json").write_text("harm")
    answer = post(app_with_database.test_client())
    assert (answer.status_code, answer.json["message"]) == (422, REFUSED)
    assert "readiness" not in answer.json


def codes_of(kind: type[LeadscoreError]) -> set[str]:
    """Return the codes of an error and of all that derive from it."""
    return {kind.code}.union(*(codes_of(child) for child in kind.__subclasses__()))


@pytest.mark.parametrize("code", sorted(codes_of(LeadscoreError)))
def test_a_failure_is_told_by_its_kind_and_never_by_its_own_text(client, dagster, code):
    """The text may name a path, a table, a host or a user: none of that is for callers."""
    dagster.statuses = ["FAILURE"]
    dagster.failures = [step_failure('/srv/secret.sql: relation "secret" does not exist at db.secret:5432', code=code)]
    answer = post(client)
    assert (answer.status_code, answer.json["code"]) == (503, "training_failed")
    assert (
        answer.json["detail"] == f"{MESSAGES.get(code, 'the training run failed')}; the run in Dagster has the details"
    )
    assert answer.json["run_id"] == dagster.run_id
    assert "secret" not in answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert 'status="failed"} 1.0' in trainings(client)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("source_mismatch", "read from the CRM"),
        ("database_unavailable", "database"),
        ("not_materialized", "earlier step"),
        ("damaged", "stored files"),
        ("unsupported_format", "format"),
        ("registry_unavailable", "registry"),
        ("active_version_moved", "another version"),
        ("invalid_input", "data"),
        ("invalid_settings", "setting"),
    ],
)
def test_each_kind_of_failure_that_a_training_meets_has_words(code, kind):
    assert kind in MESSAGES[code]
    assert code in codes_of(LeadscoreError)


def test_of_several_failures_the_first_with_a_known_kind_is_told(client, dagster):
    dagster.statuses = ["FAILURE"]
    dagster.failures = [
        step_failure("x"),
        step_failure("y", code="source_mismatch"),
        step_failure("z", code="not_materialized"),
    ]
    assert post(client).json["detail"].startswith(MESSAGES["source_mismatch"])


def test_a_failure_of_another_kind_is_told_without_its_words(client, dagster):
    dagster.statuses = ["FAILURE"]
    dagster.failures = [step_failure("KeyError in /srv/secret.py")]
    answer = post(client)
    assert (answer.status_code, answer.json["code"]) == (503, "training_failed")
    assert "secret" not in answer.text


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
    assert 'status="held"} 1.0' in trainings(client)


def test_a_server_that_stops_lets_its_waiting_clients_go(client, app, dagster):
    dagster.statuses = ["STARTED"]
    app.extensions[EXTENSION].is_stopping.set()
    assert post(client, "?wait=600").status_code == 202


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


@pytest.mark.parametrize("server_threads", [2, 3, 4, 5, 8])
def test_scoring_keeps_a_thread_whatever_trainings_take(settings, shelf, server_threads):
    slot = build_services(replace(settings, server_threads=server_threads)).trainings.slot
    with ExitStack() as taken:
        for _ in range(server_threads - 1):
            with suppress(TooManyTrainings):
                taken.enter_context(slot())
        with pytest.raises(TooManyTrainings):
            taken.enter_context(slot())


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


@pytest.fixture
def quick_polls(monkeypatch) -> None:
    monkeypatch.setattr(trainings_module, "POLL_SECONDS", 0.001)


@pytest.mark.usefixtures("quick_polls")
def test_a_dagster_that_goes_away_while_it_trains_leaves_the_runs_address(client, dagster):
    dagster.failing_polls = 1_000
    answer = post(client)
    assert (answer.status_code, answer.json["run_id"]) == (503, dagster.run_id)
    assert answer.headers["Location"] == f"{TRAIN}/{dagster.run_id}"
    assert dagster.asked.count("Run") == MAX_FAILED_POLLS


@pytest.mark.usefixtures("quick_polls")
def test_a_wait_outlasts_a_dagster_that_is_away_for_a_moment(client, dagster, evaluated):
    evaluated("hold")
    dagster.failing_polls = MAX_FAILED_POLLS - 1
    answer = post(client)
    assert (answer.status_code, answer.json["status"]) == (200, "success")


@pytest.mark.usefixtures("quick_polls")
def test_a_wait_that_is_over_while_dagster_is_away_answers_where_the_result_will_be(client, dagster):
    dagster.failing_polls = 1
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
        dagster.failing_polls = next(turn) % 2
        return steady(variables)

    dagster._Run = every_other
    assert post(client).status_code == 200


def test_an_answer_that_trickles_in_is_given_up_when_its_time_is_over(parts, dagster, monkeypatch):
    """Each byte comes soon enough; the whole does not."""
    monkeypatch.setattr(dagster_client, "PROBE_SECONDS", 0.2)
    dagster.byte_seconds = 0.05
    started = time.monotonic()
    assert dagster_client.DagsterClient(parts.settings.dagster_url).is_up() is False
    assert time.monotonic() - started < 1.5


def test_a_dagster_that_cannot_be_reached_is_unavailable(settings, shelf):
    client = create_app(settings).test_client()
    for answer in (post(client), client.get(f"{TRAIN}/{uuid.uuid4()}")):
        assert (answer.status_code, answer.json["code"]) == (503, "dagster_unavailable")


def test_health_sees_a_dagster_that_is_up(client):
    assert client.get("/health").json["dagster"] == "up"
