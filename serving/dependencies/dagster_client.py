"""What the server asks Dagster's webserver, over GraphQL: is it up, launch a run, how did a run end.

What a run's end means for the caller is decided in `trainings`. Whatever is not the expected answer (no connection,
an error, text that is not JSON, another shape) is DagsterUnavailable; its details go to the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import urllib3

from leadscore.errors import DagsterUnavailable
from leadscore.run_tags import ASKER_TAG, ORG_TAG
from serving.dependencies.dagster_queries import (
    ACTIVE_RUNS,
    ADD_PARTITION,
    FAILURES,
    LAUNCH,
    MATERIALIZATIONS,
    QUEUED_RUNS,
    RUN,
    STATE,
    VERSION,
)
from serving.dependencies.dagster_state import ASKED, LOCATION, DagsterState, state_from

REPOSITORY = "__repository__"
PARTITIONS = "orgs"
JOB = "train"
EXTRACTION, EVALUATION = "conversion_records", "evaluation"
PARTITION_TAG = "dagster/partition"
REQUEST_TAG = "leadscore/request_id"
TOKEN_TAG = "leadscore/token"  # noqa: S105 (the id, not the secret)

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 10.0
LAUNCH_SECONDS = 60.0
PROBE_SECONDS = 1.0
MAX_ANSWER_BYTES = 20_000_000
CHUNK_BYTES = 65_536
EVENTS_AT_A_TIME = 500
MAX_EVENT_PAGES = 20

_QUEUED = ["QUEUED", "NOT_STARTED"]
_ACTIVE = ["QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "CANCELING"]
_log = logging.getLogger(__name__)


class _Graphql(msgspec.Struct, frozen=True, rename="camel"):
    """Base of what is read out of GraphQL's answers."""


class _Entry(_Graphql, frozen=True):
    label: str
    text: str | None = None


class _Tag(_Graphql, frozen=True):
    key: str
    value: str


class _AssetKey(_Graphql, frozen=True):
    path: list[str]


class ActiveRun(_Graphql, frozen=True):
    """A run that is queued or running."""

    run_id: str
    job_name: str


class Run(_Graphql, frozen=True):
    """A run: its status is Dagster's word."""

    run_id: str
    status: str
    job_name: str
    tags: list[_Tag]

    @property
    def org_id(self) -> str | None:
        """The org whose partition the run materializes."""
        return next((tag.value for tag in self.tags if tag.key == PARTITION_TAG), None)


class _Materialization(_Graphql, frozen=True):
    asset_key: _AssetKey
    metadata_entries: list[_Entry]


class _FailureMetadata(_Graphql, frozen=True):
    metadata_entries: list[_Entry] = []
    description: str | None = None


class _Event(_Graphql, frozen=True):
    step_key: str | None = None
    failure_metadata: _FailureMetadata | None = None


class _Events(_Graphql, frozen=True):
    cursor: str
    has_more: bool
    events: list[_Event]


class AskedTraining(msgspec.Struct, frozen=True):
    """A training that a caller asks for: of which org, by whom, on which data, and whether only to judge.

    `as_of` and `training_window_days` are None for the present and for the setting.
    """

    org_id: str
    asker: str
    request_id: str
    token_id: str = ""
    as_of: datetime | None = None
    training_window_days: int | None = None
    activate: bool = True

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the run."""
        of_the_token = {TOKEN_TAG: self.token_id} if self.token_id else {}
        asked_by = {ORG_TAG: self.org_id, ASKER_TAG: self.asker}
        return {PARTITION_TAG: self.org_id, **asked_by, REQUEST_TAG: self.request_id, **of_the_token}

    @property
    def run_config(self) -> dict[str, Any]:
        """The configuration of the run: what differs from the defaults."""
        data: dict[str, str | int] = {}
        if self.as_of is not None:
            data["as_of"] = self.as_of.isoformat()
        if self.training_window_days is not None:
            data["training_window_days"] = self.training_window_days
        judging = {} if self.activate else {"activate": False}
        steps = {EXTRACTION: data, EVALUATION: judging}
        ops = {step: {"config": config} for step, config in steps.items() if config}
        return {"ops": ops} if ops else {}


class StepFailure(msgspec.Struct, frozen=True):
    """A failed step: what it said in words, and the texts of its metadata by label."""

    description: str
    metadata: dict[str, str]


Expected = TypeVar("Expected")


class DagsterClient:
    """Speaks to one Dagster webserver. Safe for many threads; keeps no state but idle connections."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url.rstrip("/") + "/graphql"
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._http = urllib3.PoolManager(maxsize=4, retries=False)

    def state(self) -> DagsterState:
        """Return which parts of Dagster are up. Without its database, the webserver can only say that it is up."""
        try:
            _data(*self._send(VERSION, {}, PROBE_SECONDS))
        except DagsterUnavailable:
            return DagsterState("down")
        try:
            return state_from(_data(*self._send(STATE, ASKED, PROBE_SECONDS)), time.time())
        except (DagsterUnavailable, msgspec.ValidationError):
            return DagsterState("up")

    def active_run(self, org_id: str) -> ActiveRun | None:
        """Return a run of the org, of whatever job, that is queued or running, or None."""
        # what is materialized in Dagster's UI runs as another job, and lets a training of the org wait all the same
        wanted = {"tags": [{"key": PARTITION_TAG, "value": org_id}], "statuses": _ACTIVE}
        path = ("runsOrError", "results")
        runs = self._ask(ACTIVE_RUNS, {"filter": wanted}, lambda data: _take(data, list[ActiveRun], *path))
        return runs[0] if runs else None

    def queued_runs(self, most: int) -> int:
        """Return how many runs wait for their turn, counted up to `most`."""
        variables = {"filter": {"statuses": _QUEUED}, "limit": most}
        path = ("runsOrError", "results")
        return len(self._ask(QUEUED_RUNS, variables, lambda data: _take(data, list[dict[str, Any]], *path)))

    def add_partition(self, org_id: str) -> None:
        """See to it that the org is a partition."""
        repository = {"repositoryName": REPOSITORY, "repositoryLocationName": LOCATION}
        variables = {"repository": repository, "partitions": PARTITIONS, "key": org_id}
        expected = ("AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError")
        self._ask(ADD_PARTITION, variables, lambda data: _typed(data, "addDynamicPartition", *expected))

    def launch(self, asked: AskedTraining) -> str:
        """Launch a training and return the run's id; who asked for it is in the run's tags."""
        return self.launch_job(JOB, asked.run_config, asked.tags)

    def launch_job(self, job: str, run_config: dict[str, Any], tags: dict[str, str]) -> str:
        """Launch a run of `job` and return its id."""
        params = {
            "selector": {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "jobName": job},
            "mode": "default",
            "runConfigData": run_config,
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        # once, whatever it says: it may have launched a run
        data = _data(*self._send(LAUNCH, {"params": params}, LAUNCH_SECONDS))
        return _take(_typed(data, "launchRun", "LaunchRunSuccess"), str, "run", "runId")

    def run(self, run_id: str) -> Run | None:
        """Return the run, or None when Dagster knows no such one."""
        result = self._ask_of_run(RUN, {"runId": run_id})
        return None if result is None else _take(result, Run)

    def has_run(self, run_id: str) -> bool | None:
        """Return whether Dagster still has the run, None when it does not say so within a second."""
        try:
            data = _data(*self._send(RUN, {"runId": run_id}, PROBE_SECONDS))
            return bool(_typed(data, "runOrError", "Run", "RunNotFoundError")["__typename"] == "Run")
        except DagsterUnavailable:
            return None

    def materializations(self, run_id: str) -> dict[str, dict[str, str]]:
        """Return, by asset name, the texts of the metadata that the run materialized it with."""
        result = self._ask_of_run(MATERIALIZATIONS, {"runId": run_id}) or {}
        found = _take(result, list[_Materialization], "assetMaterializations")
        return {entry.asset_key.path[-1]: _texts(entry.metadata_entries) for entry in found}

    def failures(self, run_id: str) -> list[StepFailure]:
        """Return how the run's steps failed, in order."""
        failures: list[StepFailure] = []
        cursor: str | None = None
        for _ in range(MAX_EVENT_PAGES):
            result = self._ask_of_run(FAILURES, {"runId": run_id, "cursor": cursor, "limit": EVENTS_AT_A_TIME}) or {}
            page = _take(result, _Events, "eventConnection")
            found = (event.failure_metadata for event in page.events if event.step_key)
            failures += [StepFailure(said.description or "", _texts(said.metadata_entries)) for said in found if said]
            if not page.has_more:
                break
            cursor = page.cursor
        return failures

    def _ask_of_run(self, query: str, variables: dict[str, Any]) -> dict[str, Any] | None:
        found = self._ask(query, variables, lambda data: _typed(data, "runOrError", "Run", "RunNotFoundError"))
        return found if found["__typename"] == "Run" else None

    def _ask(self, query: str, variables: dict[str, Any], read: Callable[[dict[str, Any]], Expected]) -> Expected:
        """Return what `read` makes of the answer. An error in answer is asked about once more.

        When its database was restarted, Dagster's webserver finds its old connections broken, and works from then on.
        """
        answer = self._send(query, variables)
        try:
            return read(_data(*answer))
        except DagsterUnavailable as error:
            _log.info("Dagster is asked a second time: %s", error.message)
        return read(_data(*self._send(query, variables)))

    def _send(self, query: str, variables: dict[str, Any], answer_seconds: float = ANSWER_SECONDS) -> tuple[int, bytes]:
        """Return the status and the content of the answer. Raises DagsterUnavailable when there is none in time."""
        deadline = time.monotonic() + answer_seconds
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, total=answer_seconds)
        body = msgspec.json.encode({"query": query, "variables": variables})
        try:
            response = self._http.request(
                "POST",
                self._url,
                body=body,
                headers=self._headers,
                timeout=timeout,
                preload_content=False,
                redirect=False,
            )
            with response:
                return response.status, _content(response, deadline)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise DagsterUnavailable(f"no answer: {type(error).__name__}") from error


def _content(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """Return the body. The timeouts of urllib3 are for each read, so the whole is timed here."""
    content = bytearray()
    while chunk := response.read1(CHUNK_BYTES):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise DagsterUnavailable(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > deadline:
            raise DagsterUnavailable(
                f"an answer that was incomplete when the time was over, after {len(content)} bytes"
            )
    return bytes(content)


def _data(status: int, content: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DagsterUnavailable(f"status {status} with {len(content)} bytes that are not GraphQL") from error
    if status != 200 or answer.get("errors") or not isinstance(answer.get("data"), dict):  # noqa: PLR2004 (OK)
        raise DagsterUnavailable(f"status {status}, errors: {str(answer.get('errors'))[:500]}")
    data: dict[str, Any] = answer["data"]
    return data


def _take(data: Any, kind: type[Expected], *path: str) -> Expected:
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise DagsterUnavailable(f"an answer of another shape at {'.'.join(path) or 'the top'}: {error}") from error


def _typed(data: dict[str, Any], name: str, *expected: str) -> dict[str, Any]:
    """Return a member of the answer that is of one of the `expected` types."""
    found = _take(data, dict[str, Any], name)
    if found.get("__typename") not in expected:
        raise DagsterUnavailable(f"{found.get('__typename')}: {str(found.get('message'))[:500]}")
    return found


def _texts(entries: list[_Entry]) -> dict[str, str]:
    return {entry.label: entry.text for entry in entries if entry.text is not None}
