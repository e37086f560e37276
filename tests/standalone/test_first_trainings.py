"""A start trains whom it can and shows the first lead it gets; an org that is odd is named and stops nothing."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from leadscore.errors import CannotRun
from leadscore.registry.store import POINTER_FILE, Pointer, Registry
from leadscore.settings import Settings
from leadscore_assets.source.orgs import TrainingNeed
from serving.dependencies.dagster_client import LAUNCH_SECONDS
from standalone import api, showcase
from standalone.api import TIMEOUT_SECONDS, Answer, Api, Body, in_words, train_orgs
from standalone.first_trainings import first_lead, in_one_line, split_by_need
from standalone.showcase import ScoredLead, print_lead, score_best_lead
from standalone.supervisor import MAX_LINES, Run

POINTER = Pointer("20260301000000", None, datetime(2026, 3, 1, tzinfo=UTC).isoformat(), "run", "better", "0" * 64)
SUCCESS = Answer(
    200,
    {
        "status": "success",
        "activated": True,
        "version": "V",
        "reasons": [],
        "metrics": {"roc_auc": 0.7249},
        "training_data_size": 2730,
    },
)
ACTIVATED = "activated V, ROC-AUC 0.72 on 2,730 records"
RUNNING = Answer(202, {"status": "running", "run_id": "r1"})
AWAY = Answer(503, {"code": "dagster_unavailable", "detail": "Dagster is away", "status": 503})
SCORE = {
    "conversion_probability": 0.5,
    "confidence": 0.9,
    "recommended_action": "NURTURE",
    "model_version": "V",
    "base_value": 0.4,
    "feature_contributions": [{"feature": "response_time_minutes", "value": None, "contribution": 0.1}],
}


class ScriptedApi(Api):
    """A server that answers each request with the next line of a script, and remembers what it was asked."""

    def __init__(self, *script: Answer) -> None:
        super().__init__("http://scripted")
        self.script = list(script)
        self.asked: list[str] = []
        self.bodies: list[Body] = []

    def _ask(self, method: str, path: str, **content: Any) -> Answer:
        self.asked.append(f"{method} {path.removeprefix('/api/v1')}")
        self.bodies.append(content.get("json", {}))
        if not self.script:
            raise CannotRun("the script is over")
        return self.script.pop(0)


def need(org_id: str, *, is_due: bool = True) -> TrainingNeed:
    return TrainingNeed(org_id, 500, 500, is_due, "37 of 100 records")


def put_pointer(root: Path, org_id: str, content: bytes) -> None:
    (root / org_id).mkdir(parents=True)
    (root / org_id / POINTER_FILE).write_bytes(content)


# starting trainings


def outcomes(scripted: Api, *org_ids: str) -> dict[str, str]:
    said: dict[str, str] = {}
    train_orgs(scripted, org_ids, said.__setitem__, lambda: None)
    return said


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
    ("answer", "why"), [(AWAY, "Dagster is away"), (RUNNING, "it is running")], ids=["away", "running"]
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
    ("answer", "words"),
    [
        (SUCCESS, ACTIVATED),
        (
            Answer(200, {**SUCCESS.body, "activated": False, "reasons": ["not better", "worse"]}),
            "held V, ROC-AUC 0.72 on 2,730 records: not better; worse",
        ),
        (
            Answer(422, {"status": "insufficient_data", "message": "37 of 100 records"}),
            "insufficient data: 37 of 100 records",
        ),
        (Answer(403, {"detail": "no"}), "failed: no"),
        (Answer(500, {}), "failed: HTTP 500"),
    ],
    ids=["activated", "held", "insufficient", "refused", "bare"],
)
def test_outcomes_are_told_in_words(answer: Answer, words: str) -> None:
    assert in_words(answer) == words


# choosing the orgs


def test_orgs_that_cannot_be_trained_are_told_apart_and_stop_nothing(tmp_path: Path) -> None:
    put_pointer(tmp_path, "active", msgspec.json.encode(POINTER))
    put_pointer(tmp_path, "damaged", b"{")
    put_pointer(tmp_path, "newer", msgspec.json.encode(msgspec.structs.replace(POINTER, format=99)))
    orgs = ["Acme GmbH", "active", "damaged", "newer", "new"]
    due, others = split_by_need(Registry(tmp_path), [*map(need, orgs), need("small", is_due=False)])
    assert due == ["new"]
    assert set(others) == {"Acme GmbH", "damaged", "newer", "small"}
    assert "an org id is 1 to 80 characters" in others["Acme GmbH"]
    assert POINTER_FILE in others["damaged"]
    assert others["small"] == "37 of 100 records"


def test_id_that_breaks_the_rule_is_printed_in_one_line() -> None:
    assert in_one_line("acme") == "acme"
    assert in_one_line("[red]\nAcme") == r"'[red]\nAcme'"


@pytest.mark.parametrize(("count", "last"), [(10, "- Org 9: w: r"), (1_000, "- 990 more orgs: w")])
def test_a_thousand_orgs_take_few_lines(count: int, last: str) -> None:
    output = io.StringIO()
    run = Run(Settings(), {}, Console(file=output, width=200))
    run._list({str(number): "r" for number in range(count)}, "w")  # what a start prints, without one
    lines = output.getvalue().splitlines()
    assert lines[-1] == last
    assert len(lines) <= MAX_LINES + 1


# showing a lead


@pytest.fixture
def with_open_leads(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Give a function that lets every org have so many open leads; it returns the limits that were asked for."""

    def have(count: int) -> list[int]:
        limits: list[int] = []

        def open_leads(_settings: Settings, _org_id: str, limit: int) -> dict[str, dict[str, float | None]]:
            limits.append(limit)
            return {f"lead {number}": {"response_time_minutes": None} for number in range(min(count, limit))}

        monkeypatch.setattr(showcase, "open_leads", open_leads)
        return limits

    return have


def test_batch_is_no_larger_than_the_server_takes(with_open_leads: Callable[[int], list[int]]) -> None:
    limits = with_open_leads(600)
    predictions = [{"lead_id": "lead 1", "error": "odd"}, {"lead_id": "lead 2", "conversion_probability": 0.1}]
    scripted = ScriptedApi(Answer(200, {"predictions": predictions}), Answer(200, SCORE))
    shown = score_best_lead(scripted, Settings(max_batch_size=7), "a")
    assert isinstance(shown, ScoredLead)
    assert (shown.lead_id, limits, len(scripted.bodies[0]["batch"])) == ("lead 2", [7], 7)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ([Answer(413, {"detail": "too large"})], "its 3 open leads were not scored: too large"),
        ([Answer(503, {})], "its 3 open leads were not scored: HTTP 503"),
        (
            [Answer(200, {"predictions": [{"lead_id": "lead 1"}]}), Answer(422, {"error": "odd"})],
            "lead lead 1 was not scored: odd",
        ),
    ],
    ids=["too large", "no model", "lead refused"],
)
def test_lead_that_was_not_scored_is_a_reason_in_words(
    script: list[Answer], why: str, with_open_leads: Callable[[int], list[int]]
) -> None:
    with_open_leads(3)
    assert score_best_lead(ScriptedApi(*script), Settings(), "a") == why


def test_first_org_with_a_lead_is_shown_and_those_before_it_are_named(
    with_open_leads: Callable[[int], list[int]], tmp_path: Path
) -> None:
    with_open_leads(1)
    put_pointer(tmp_path, "bad", b"{")
    for org_id in ("a", "default", "z"):
        put_pointer(tmp_path, org_id, msgspec.json.encode(POINTER))
    (tmp_path / "untrained").mkdir()
    batch = Answer(200, {"predictions": [{"lead_id": "lead 0", "conversion_probability": 0.5}]})
    refused = Answer(503, {"detail": "no verified model"})
    lead, reasons = first_lead(ScriptedApi(refused, refused, batch, Answer(200, SCORE)), Settings(model_path=tmp_path))
    assert lead is not None
    assert lead.org_id == "z"
    assert list(reasons) == ["default", "a", "bad"]
    assert "no verified model" in reasons["default"]


def test_without_any_lead_there_is_none_to_show(with_open_leads: Callable[[int], list[int]], tmp_path: Path) -> None:
    with_open_leads(0)
    put_pointer(tmp_path, "a", msgspec.json.encode(POINTER))
    assert first_lead(ScriptedApi(), Settings(model_path=tmp_path)) == (None, {"a": "no lead is open"})


def test_server_that_is_gone_is_no_reason_of_an_org(
    with_open_leads: Callable[[int], list[int]], tmp_path: Path
) -> None:
    with_open_leads(1)
    put_pointer(tmp_path, "a", msgspec.json.encode(POINTER))
    with pytest.raises(CannotRun):
        first_lead(ScriptedApi(), Settings(model_path=tmp_path))


def test_lead_is_printed_with_the_line_that_repeats_it() -> None:
    output = io.StringIO()
    lead = ScoredLead("a", "lead 0", {"response_time_minutes": None}, SCORE)
    print_lead(Console(file=output, width=200), Api("http://here"), lead)
    assert "probability 0.500, confidence 0.90: NURTURE" in output.getvalue()
    assert """-d '{"org_id": "a", "features": {"response_time_minutes": null}}'""" in output.getvalue()
