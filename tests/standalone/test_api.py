"""Trainings are started and followed over HTTP until they end, and their outcomes told in words."""

from __future__ import annotations

import pytest

from serving.dependencies.dagster_client import LAUNCH_SECONDS
from standalone import api
from standalone.api import TIMEOUT_SECONDS, Answer, Api, Outcome, outcome_of, train_orgs
from standalone.screen import Mark
from tests.standalone.scripted_api import SUCCESS, ScriptedApi

ACTIVATED = "activated V, ROC-AUC 0.72 on 2,730 records"
RUNNING = Answer(202, {"status": "running", "run_id": "r1"})
AWAY = Answer(503, {"code": "dagster_unavailable", "detail": "Dagster is away", "status": 503})


def outcomes(scripted: Api, *org_ids: str) -> dict[str, str]:
    ended: dict[str, Outcome] = {}
    train_orgs(scripted, org_ids, ended.__setitem__, lambda: None)
    return {org_id: outcome.words for org_id, outcome in ended.items()}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "POLL_SECONDS", 0.0)


def test_client_waits_longer_than_the_server_waits_for_dagster() -> None:
    assert TIMEOUT_SECONDS >= 2 * LAUNCH_SECONDS


def test_training_that_somebody_else_started_is_followed() -> None:
    scripted = ScriptedApi(Answer(409, {"code": "already_training", "run_id": "other"}), SUCCESS)
    assert outcomes(scripted, "a") == {"a": ACTIVATED}
    assert scripted.asked == ["POST /model/train?wait=0", "GET /model/train/other"]


@pytest.mark.parametrize(
    "before",
    [
        [Answer(409, {"code": "already_training"})],
        [Answer(409, {"code": "already_training", "run_id": "r0"}), Answer(404, {"code": "run_not_found"})],
        [Answer(429, {"code": "too_many_trainings"})],
        [AWAY],
    ],
    ids=["another start", "run that is no training", "busy server", "Dagster away"],
)
def test_training_that_could_not_be_started_yet_is_started_again(before: list[Answer]) -> None:
    scripted = ScriptedApi(*before, RUNNING, SUCCESS)
    assert outcomes(scripted, "a") == {"a": ACTIVATED}
    assert scripted.asked[-2:] == ["POST /model/train?wait=0", "GET /model/train/r1"]


def test_training_is_followed_also_while_dagster_is_away() -> None:
    scripted = ScriptedApi(RUNNING, AWAY, AWAY, SUCCESS)
    assert outcomes(scripted, "a") == {"a": ACTIVATED}
    assert scripted.asked[1:] == ["GET /model/train/r1"] * 3


@pytest.mark.parametrize(
    ("answer", "why"), [(AWAY, "Dagster is away"), (RUNNING, "it still runs")], ids=["away", "running"]
)
def test_training_without_an_end_is_given_up_and_the_next_one_begins(
    answer: Answer, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "TRAINING_SECONDS", -60.0)
    said = outcomes(ScriptedApi(answer, SUCCESS, SUCCESS), "a", "b", "c")
    assert why in said["a"]
    assert said["a"].startswith("not trained within ")
    assert (said["b"], said["c"]) == (ACTIVATED, ACTIVATED)


def test_failed_training_is_not_asked_about_again() -> None:
    failed = Answer(503, {"code": "training_failed", "detail": "out of memory", "run_id": "r1"})
    assert outcomes(ScriptedApi(failed), "a") == {"a": "failed: out of memory"}


@pytest.mark.parametrize(
    ("answer", "mark", "words"),
    [
        (SUCCESS, Mark.DONE, ACTIVATED),
        (
            Answer(200, {**SUCCESS.body, "activated": False, "reasons": ["Not better.", "Worse."]}),
            Mark.KEPT,
            "held V, ROC-AUC 0.72 on 2,730 records: Not better. Worse.",
        ),
        (
            Answer(422, {"status": "insufficient_data", "message": "37 of 100 records"}),
            Mark.REFUSED,
            "not trained: 37 of 100 records",
        ),
        (Answer(403, {"detail": "no"}), Mark.FAILED, "failed: no"),
        (Answer(500, {}), Mark.FAILED, "failed: HTTP 500"),
    ],
    ids=["activated", "held", "insufficient", "refused", "bare"],
)
def test_outcomes_are_told_in_words_behind_a_mark(answer: Answer, mark: Mark, words: str) -> None:
    assert outcome_of(answer) == Outcome(mark, words)
