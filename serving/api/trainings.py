"""Trainings: start a run in Dagster, wait for its end, and answer with its outcome."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec
from flask import Blueprint, request

from leadscore.errors import (
    AlreadyTraining,
    DagsterUnavailable,
    DatabaseUnavailable,
    Fault,
    InvalidInput,
    LeadscoreError,
    TooManyTrainings,
)
from leadscore.pooling import POOLED
from leadscore.records import Window, parse_as_of, window_from
from leadscore.run_tags import START_AGENT
from serving.api.access import caller
from serving.api.endpoint import JsonResponse, answer, endpoint
from serving.api.problems import PROBLEM_TYPE, Refusal, invalid, problem_of, refusal_of
from serving.api.readiness import readiness_answer
from serving.api.schema import (
    RUN_ID_PATTERN,
    InsufficientData,
    ReadinessAnswer,
    TrainAnswer,
    TrainQuery,
    TrainRequest,
    TrainRunning,
)
from serving.dependencies.dagster_client import AskedTraining
from serving.dependencies.readiness_source import present_window
from serving.services import Services
from serving.telemetry.request_context import request_context, request_id
from serving.training.runs import Failed, Insufficient, Outcome, Running

POLL_AGAIN_SECONDS = 5
SLOT_FREE_SECONDS = 10

routes = Blueprint("training", __name__, url_prefix="/api/v1/model/train")

_ANSWERS: dict[int, type[msgspec.Struct] | str] = {200: TrainAnswer, 202: TrainRunning, 422: InsufficientData}
_REFUSALS = {429: ("too_many_trainings",), 503: ("dagster_unavailable", "training_failed")}

_log = logging.getLogger(__name__)


@routes.post("")
@endpoint(
    _ANSWERS,
    scope="train",
    query=TrainQuery,
    body=TrainRequest,
    refusals={**_REFUSALS, 409: ("already_training", "another_registry", "org_changed")},
)
def train(services: Services, query: TrainQuery, body: TrainRequest) -> JsonResponse:
    """Train a new version for the org, judge it, and activate it when it passes the gate; answer when the run ended.

    When the run takes longer than `wait` seconds, the answer is 202, and its header `Location` is where to ask later.
    """
    window = _window(services, body)
    services.check_registry()
    services.registry.check_same_customer(body.org_id)
    wait_seconds = services.settings.train_wait_seconds if query.wait is None else query.wait

    def start_and_wait() -> Outcome:
        if refused := _refused_before_a_run(services, body.org_id, window):
            return refused
        run_id = _start(services, body)
        try:
            return services.trainings.wait(body.org_id, run_id, wait_seconds)
        except DagsterUnavailable as error:
            raise _unavailable(error, run_id) from error

    return _answer(services, services.trainings.waiting_slot(), start_and_wait)


@routes.get("/<run_id>")
@endpoint(_ANSWERS, scope="train", refusals={**_REFUSALS, 404: ("run_not_found",)})
def training(services: Services, run_id: str) -> JsonResponse:
    """Return the outcome of a training that was started earlier, or 202 while it runs."""
    if not re.search(RUN_ID_PATTERN, run_id):
        raise Refusal(
            400,
            "invalid_id",
            "a run id must be a UUID in lower case; use the run_id of the answer that started the training",
        )
    may_see = caller().sees
    return _answer(services, services.trainings.slot(), lambda: services.trainings.outcome(run_id, may_see))


def _window(services: Services, body: TrainRequest) -> Window | None:
    """Return the window that the training is asked for, None for that of now and the settings. Raises Refusal 422."""
    if body.as_of is None and body.training_window_days is None:
        return None
    try:
        as_of = parse_as_of(body.as_of) if body.as_of is not None else present_window(services.settings).as_of
    except InvalidInput as error:
        raise invalid((Fault("/as_of", "invalid_time", error.message),), 422, "invalid_request") from error
    return window_from(services.settings, as_of, body.training_window_days)


def _refused_before_a_run(services: Services, org_id: str, window: Window | None) -> Insufficient | None:
    """Return the refusal of an org that is not ready, or that the CRM does not know; None for one that may be trained.

    It is None, too, while the database cannot tell: the run then says what is wrong.
    """
    if org_id == POOLED:
        return None  # its data is that of all orgs
    try:
        readiness = services.readiness.readiness(org_id, window)
    except DatabaseUnavailable as error:
        _log.warning("a training is started without knowing whether the org is ready: %s", error.message)
        return None
    if readiness.has_enough:  # what the last run set aside may have been corrected: only a run checks the values
        return None
    return Insufficient(org_id, None, "The org is not ready for a training.", window)


def _start(services: Services, body: TrainRequest) -> str:
    asked = AskedTraining(
        body.org_id,
        _asker(),
        request_id(),
        caller().id,
        parse_as_of(body.as_of) if body.as_of is not None else None,
        body.training_window_days,
        body.activate,
    )
    try:
        return services.trainings.start(asked)
    except AlreadyTraining as error:
        headers = {"Location": _address(error.run_id)} if error.run_id and error.is_followable else {}
        raise refusal_of(error, headers=headers, run_id=error.run_id) from error


def _asker() -> str:
    """Return who asks, as the run's tag says it: a start of `make run`, or another client, and the token's id."""
    client = "make run" if request.user_agent.string == START_AGENT else "HTTP"
    return f"{client}, token {caller().id}" if caller().id else client


def _answer(services: Services, slot: AbstractContextManager[None], ask: Callable[[], Outcome]) -> JsonResponse:
    try:
        with slot:
            return _answer_outcome(services, ask())
    except TooManyTrainings as error:
        headers = {"Retry-After": str(SLOT_FREE_SECONDS)}
        raise refusal_of(error, headers=headers) from error
    except DagsterUnavailable as error:
        raise _unavailable(error, None) from error


def _unavailable(error: DagsterUnavailable, run_id: str | None) -> Refusal:
    _log.error("Dagster is unavailable: %s", error.details)
    headers = {"Location": _address(run_id)} if run_id else {}
    return refusal_of(error, headers=headers, run_id=run_id)


def _answer_outcome(services: Services, outcome: Outcome) -> JsonResponse:
    request_context()["org_id"] = outcome.org_id
    if isinstance(outcome, Running):
        return _answer_running(outcome)
    if isinstance(outcome, Insufficient):
        return _answer_insufficient(services, outcome)
    if isinstance(outcome, Failed):
        raise Refusal(503, "training_failed", outcome.message, run_id=outcome.run_id)
    trained = TrainAnswer(
        status="success",
        org_id=outcome.org_id,
        version=outcome.version,
        activated=outcome.is_activated,
        verdict=outcome.verdict,
        withheld=list(outcome.withheld),
        metrics=outcome.metrics,
        training_data_size=outcome.training_data_size,
        reasons=list(outcome.reasons),
        run_id=outcome.run_id,
    )
    return answer(trained, version=outcome.version)


def _answer_running(outcome: Running) -> JsonResponse:
    running = answer(TrainRunning(status="running", org_id=outcome.org_id, run_id=outcome.run_id), 202)
    running.headers.extend([("Location", _address(outcome.run_id)), ("Retry-After", str(POLL_AGAIN_SECONDS))])
    return running


def _answer_insufficient(services: Services, outcome: Insufficient) -> JsonResponse:
    """Answer with a problem whose `status` is a word, as callers expect, instead of the number."""
    message, readiness = _with_plan(services, outcome)
    problem = problem_of(Refusal(422, "insufficient_data", message), request_id())
    members = msgspec.structs.asdict(problem) | {
        "status": "insufficient_data",
        "message": message,
        "org_id": outcome.org_id,
        "run_id": outcome.run_id or msgspec.UNSET,
        "readiness": readiness,
    }
    return answer(InsufficientData(**members), 422, content_type=PROBLEM_TYPE)


def _with_plan(services: Services, outcome: Insufficient) -> tuple[str, ReadinessAnswer | msgspec.UnsetType]:
    """Return why the data was refused, with the plan when the database can answer now."""
    try:
        readiness = services.readiness.readiness(outcome.org_id, outcome.window)
        message = readiness.added_to(outcome.message, is_of_a_run=outcome.run_id is not None)
        return message, readiness_answer(services, outcome.org_id, readiness)
    except (LeadscoreError, OSError) as error:
        _log.warning("insufficient data is answered without a readiness plan: %s", error)
        return outcome.message, msgspec.UNSET


def _address(run_id: str) -> str:
    return f"/api/v1/model/train/{run_id}"
