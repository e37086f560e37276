"""A webserver that speaks Dagster's GraphQL by script."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from serving.dependencies.dagster_state import CHECKS

Variables = dict[str, Any]

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
    silent_seconds: float | None = 5.0
    is_code_server_up: bool = True
    checks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failing_once: set[str] = field(default_factory=set)
    queued: int = 0
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
        """Let launches through."""
        self.launch_gate.set()

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the data of a query, by its name."""
        [name] = re.findall(r"(?:query|mutation) (\w+)", query)
        self.asked.append(name)
        if name in self.failing_once:
            self.failing_once.remove(name)
            return {}
        data: dict[str, Any] = getattr(self, f"_{name}")(variables)
        return data

    def _Version(self, _variables: Variables) -> Variables:  # noqa: N802 (named after the query)
        return {"version": "1.13"}

    def _State(self, variables: Variables) -> Variables:  # noqa: N802
        assert variables == {"asset": {"path": ["conversion_records"]}}
        heartbeats = {"SENSOR": 5.0, "QUEUED_RUN_COORDINATOR": self.silent_seconds}
        daemons = [
            {"required": True, "lastHeartbeatTime": None if silent is None else time.time() - silent}
            for silent in heartbeats.values()
        ]
        daemons.append({"required": False, "lastHeartbeatTime": None})
        found = {"__typename": "RepositoryLocation" if self.is_code_server_up else "PythonError"}
        return {
            "version": "1.13",
            "instance": {"daemonHealth": {"allDaemonStatuses": daemons}},
            "workspaceOrError": {"locationEntries": [{"name": "leadscore", "locationOrLoadError": found}]},
            **{name: self.checks.get(name, []) for name in CHECKS},
        }

    def _ActiveRuns(self, variables: Variables) -> Variables:  # noqa: N802
        wanted = variables["filter"]
        assert wanted["tags"] == [{"key": "dagster/partition", "value": "acme"}]
        is_wanted = wanted.get("pipelineName") in (None, self.active_job)
        runs = [{"runId": run_id, "jobName": self.active_job} for run_id in self.active_runs]
        return {"runsOrError": {"results": runs if is_wanted else []}}

    def _QueuedRuns(self, variables: Variables) -> Variables:  # noqa: N802
        assert variables["filter"]["statuses"] == ["QUEUED", "NOT_STARTED"]
        return {"runsOrError": {"results": [{"runId": "x"}] * min(self.queued, variables["limit"])}}

    def _AddPartition(self, variables: Variables) -> Variables:  # noqa: N802
        assert (variables["partitions"], variables["key"]) == ("orgs", "acme")
        return {"addDynamicPartition": {"__typename": self.partition_result}}

    def _Launch(self, variables: Variables) -> Variables:  # noqa: N802
        assert self.launch_gate.wait(10)
        self.launched.append(variables["params"])
        return {"launchRun": {"__typename": self.launch_result, "run": {"runId": self.run_id}, "message": "secret/x"}}

    def _Run(self, variables: Variables) -> Variables:  # noqa: N802
        if self.failing_polls:
            self.failing_polls -= 1
            return {"runOrError": {"__typename": "PythonError", "message": "secret/x"}}
        if variables["runId"] != self.run_id:
            return {"runOrError": {"__typename": "RunNotFoundError"}}
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        tags = [{"key": "dagster/partition", "value": "acme"}]
        return self._of_run({"runId": self.run_id, "status": status, "jobName": self.job, "tags": tags})

    def _Materializations(self, _variables: Variables) -> Variables:  # noqa: N802
        found = [
            {"assetKey": {"path": [name]}, "metadataEntries": entries(texts)}
            for name, texts in self.materialized.items()
        ]
        return self._of_run({"assetMaterializations": found})

    def _Failures(self, variables: Variables) -> Variables:  # noqa: N802
        """Give one event per page, as a run of many events would."""
        at = int(variables["cursor"] or 0)
        events = [{"__typename": "LogMessageEvent"}, *self.failures]
        page = {"cursor": str(at + 1), "hasMore": at + 1 < len(events), "events": events[at : at + 1]}
        return self._of_run({"eventConnection": page})

    def _of_run(self, members: Variables) -> Variables:
        return {"runOrError": {"__typename": "Run", **members}}


def step_failure(description: str, **texts: str) -> dict[str, Any]:
    """Return the event of a step that failed."""
    return {
        "__typename": "ExecutionStepFailureEvent",
        "stepKey": "a_step",
        "failureMetadata": {"description": description, "metadataEntries": entries(texts)},
    }


class DagsterServer(ThreadingHTTPServer):
    """Listens on a free port of this machine."""

    def __init__(self, dagster: ScriptedDagster) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.dagster = dagster


class _Handler(BaseHTTPRequestHandler):
    server: DagsterServer

    def do_POST(self) -> None:
        """Answer a query."""
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


def post(client: FlaskClient, query: str = "") -> TestResponse:
    """Ask for a training."""
    return client.post(TRAIN + query, json={"org_id": "acme"}, headers={"X-Request-ID": "req-7"})
