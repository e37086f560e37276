"""Trainings that are requested over HTTP: one at a time per org, followed until the run ends.

Dagster runs them. The figures come from the registry, which holds the version and its judgement.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from leadscore.errors import AlreadyTraining, DagsterUnavailable, RunNotFound, TooManyTrainings
from leadscore.evaluation import Metrics as ModelMetrics
from leadscore.gate import Verdict
from leadscore.pooling import is_of_the_org, scope_of
from leadscore.records import Window
from leadscore.registry.ids import check_org_id
from leadscore.registry.store import Registry
from serving.dependencies.dagster_client import JOB, AskedTraining, DagsterClient, Run
from serving.dependencies.org_claims import OrgClaims
from serving.training.failure_messages import DETAILS, failure_message
from serving.training.run_claims import RunClaims

POLL_SECONDS = 0.5
MAX_FAILED_POLLS = 5
MAX_QUESTIONS = 1

_ENDED = ("SUCCESS", "FAILURE", "CANCELED")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Running:
    """The run goes on."""

    org_id: str
    run_id: str


@dataclass(frozen=True)
class Trained:
    """A version was trained and judged; `is_activated` when it became the active one in this run.

    `withheld` says why it did not although it passed the gate: it was only tried, or is older than the active one.
    """

    org_id: str
    run_id: str
    version: str
    is_activated: bool
    verdict: Verdict
    metrics: ModelMetrics
    training_data_size: int
    reasons: tuple[str, ...]
    withheld: tuple[str, ...] = ()


@dataclass(frozen=True)
class Insufficient:
    """The data is too little; `message` says what is missing. `run_id` is None where no run was launched for it.

    `window` is that of the training, None where it is not known any more.
    """

    org_id: str
    run_id: str | None
    message: str
    window: Window | None = None


@dataclass(frozen=True)
class Failed:
    """The run failed or was cancelled; `message` is fit for callers."""

    org_id: str
    run_id: str
    message: str


Outcome = Running | Trained | Insufficient | Failed


class Trainings:
    """Starts and follows trainings in a few of the server's threads, so that the others can score.

    At most `most_at_a_time` training requests are handled at once. At most `most_waiting` of them wait for a run to
    end, so that others can always ask how a run stands.
    """

    def __init__(
        self,
        dagster: DagsterClient,
        registry: Registry,
        claims: RunClaims,
        org_claims: OrgClaims,
        is_stopping: threading.Event,
        *,
        most_at_a_time: int,
        most_waiting: int,
        max_queued: int,
    ) -> None:
        self._dagster, self._registry, self._is_stopping = dagster, registry, is_stopping
        self._claims, self._org_claims, self._max_queued = claims, org_claims, max_queued
        self._slots = threading.BoundedSemaphore(max(1, most_at_a_time))
        self._waiting_slots = threading.BoundedSemaphore(max(1, most_waiting))
        self._questions = threading.BoundedSemaphore(MAX_QUESTIONS)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the places for training requests. Raises TooManyTrainings when all are taken."""
        with _taken(self._slots):
            yield

    @contextmanager
    def waiting_slot(self) -> Iterator[None]:
        """Hold one of the places for requests that wait for a run to end. Raises TooManyTrainings if there is none."""
        with _taken(self._waiting_slots), _taken(self._slots):
            yield

    def start(self, asked: AskedTraining) -> str:
        """Launch a training, tagged with who asked for it, and return its run id.

        Raises AlreadyTraining, TooManyTrainings when `max_queued` runs wait for their turn, or DagsterUnavailable.
        """
        org_id = asked.org_id
        with self._claims.only(org_id) as is_only:
            if not is_only:
                raise AlreadyTraining(None, is_followable=False)
            if active := self._dagster.active_run(org_id):
                raise AlreadyTraining(active.run_id, is_followable=active.job_name == JOB)
            if self._dagster.queued_runs(self._max_queued) >= self._max_queued:
                raise TooManyTrainings
            # a run of many orgs may be at work on this one, and so may another server
            with self._org_claims.held(org_id, asked.request_id) as claim:
                self._dagster.add_partition(org_id)
                run_id = self._dagster.launch(asked)
                claim.hand_over(run_id)
            return run_id

    def wait(self, org_id: str, run_id: str, wait_seconds: float) -> Outcome:
        """Return the outcome when the org's run has ended, or Running when the time is over or the server stops.

        Raises DagsterUnavailable when MAX_FAILED_POLLS polls in a row failed. The wait doubles after each failure.
        """
        deadline, failed_polls = time.monotonic() + wait_seconds, 0
        while True:
            try:
                outcome, failed_polls = self.outcome(run_id), 0
            except DagsterUnavailable as error:
                failed_polls += 1
                if failed_polls == MAX_FAILED_POLLS:
                    raise
                _log.warning("Dagster did not say how a run stands: %s", error.details)
                outcome = Running(org_id, run_id)
            left_seconds = deadline - time.monotonic()
            if not isinstance(outcome, Running) or left_seconds <= 0:
                return outcome
            if self._is_stopping.wait(min(POLL_SECONDS * 2**failed_polls, left_seconds)):
                return outcome

    def has_run(self, run_id: str) -> bool | None:
        """Return whether Dagster still has the run, None while it cannot say, or is asked by others at the moment.

        Whoever asks waits up to a second, so few may: the threads are for scoring.
        """
        if not self._questions.acquire(blocking=False):
            return None
        try:
            return self._dagster.has_run(run_id)
        finally:
            self._questions.release()

    def outcome(self, run_id: str, may_see: Callable[[str], bool] = lambda _: True) -> Outcome:
        """Return the run's outcome, or Running. Raises RunNotFound or DagsterUnavailable.

        A run of an org that the caller may not see is not found, and takes as long as one that does not exist.
        """
        run = self._dagster.run(run_id)
        if run is None or run.job_name != JOB or run.org_id is None or not may_see(run.org_id):
            raise RunNotFound("no training run has this id; start a training, and use the run_id of its answer")
        org_id = check_org_id(run.org_id)
        if run.status not in _ENDED:
            return Running(org_id, run_id)
        return self._ended(org_id, run)

    def _ended(self, org_id: str, run: Run) -> Outcome:
        materialized = self._dagster.materializations(run.run_id)
        evaluation = materialized.get("evaluation", {})
        if evaluation.get("verdict") == "refuse":
            return Insufficient(org_id, run.run_id, evaluation.get("reasons", "too little data"))
        if run.status != "SUCCESS":
            return self._failed(org_id, run)
        # a run that holds its version materializes active_model too, with the version that stays active
        served = materialized.get("active_model", {})
        scope = served.get("model_scope", "none")  # a pooled version may have the same id
        is_its = scope != "none" and is_of_the_org(scope) == is_of_the_org(scope_of(org_id))
        is_activated = is_its and served.get("version") == evaluation.get("version")
        return self._trained(org_id, run.run_id, evaluation, is_activated=is_activated)

    def _failed(self, org_id: str, run: Run) -> Outcome:
        failures = self._dagster.failures(run.run_id) if run.status == "FAILURE" else []
        for failure in failures:
            if failure.metadata.get("verdict") == "refuse":
                message = failure.metadata.get("reasons") or failure.description
                return Insufficient(org_id, run.run_id, message or "too little data")
        return Failed(org_id, run.run_id, failure_message(run, failures))

    def _trained(self, org_id: str, run_id: str, evaluation: dict[str, str], *, is_activated: bool) -> Outcome:
        version = evaluation.get("version")
        judgement = self._registry.judgement(org_id, version) if version else None
        if version is None or judgement is None:
            return Failed(org_id, run_id, f"the run ended without a judged version; {DETAILS}")
        return Trained(
            org_id=org_id,
            run_id=run_id,
            version=version,
            is_activated=is_activated,
            verdict=judgement.decision.verdict,
            metrics=judgement.report.metrics,
            training_data_size=judgement.report.records,
            reasons=tuple(reason.text for reason in judgement.decision.reasons),
            withheld=tuple(reason.text for reason in judgement.withheld),
        )


@contextmanager
def _taken(slots: threading.Semaphore) -> Iterator[None]:
    if not slots.acquire(blocking=False):
        raise TooManyTrainings
    try:
        yield
    finally:
        slots.release()
