"""The running server: health, a rollback under load, and the line that the start prints for repeating a score."""

from __future__ import annotations

import json
import shlex
import threading
import time
from typing import Any

import urllib3

from leadscore.features import CONTRACT


def printed_request(system: Any) -> dict[str, Any]:
    [line] = [line for line in system.output if line.startswith("curl ") and "/api/v1/predict" in line]
    words = shlex.split(line)
    return json.loads(words[words.index("-d") + 1])


def test_the_printed_line_repeats_the_printed_score(system: Any) -> None:
    answer = system.ask("POST", "/api/v1/predict", printed_request(system))

    assert answer.status == 200
    said = "".join(system.output)
    assert f"{answer.body['conversion_probability']:.3f}" in said


def test_the_system_is_healthy(system: Any) -> None:
    body = system.ask("GET", "/health").body

    assert (body["status"], body["database"], body["dagster"]) == ("healthy", "up", "up")
    assert body["model_version"] == system.registry.active("default").version


def _wait_for_more(answers: list[tuple[int, str]], count: int) -> None:
    """Return once so many answers more have come, however slow the machine is."""
    until, deadline = len(answers) + count, time.monotonic() + 60
    while len(answers) < until:
        assert time.monotonic() < deadline, "the predictions stopped"
        time.sleep(0.01)


def test_a_rollback_under_a_loop_of_predictions_fails_no_answer(system: Any) -> None:
    """While versions change, every answer is 200 and names one of the two; afterwards only the new one answers."""
    system.ask("POST", "/api/v1/model/train?wait=120", {"org_id": "default"})
    newest = system.registry.versions("default")[0]
    before = system.registry.active("default").version
    assert newest != before
    request = {"org_id": "default", "features": CONTRACT.example}
    answers: list[tuple[int, str]] = []
    is_over = threading.Event()

    def predict() -> None:
        pool = urllib3.PoolManager()
        while not is_over.is_set():
            response = pool.request("POST", f"{system.address}/api/v1/predict", json=request)
            answers.append((response.status, response.json().get("model_version")))

    callers = [threading.Thread(target=predict) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        for version in (newest, before, newest, before):
            body = {"org_id": "default", "version": version, "force": True, "reason": "a drill"}
            answer = system.ask("POST", "/api/v1/model/rollback", body)
            assert answer.status == 200, answer.body
            assert answer.body["message"] == f"Successfully rolled back to version {version}"
            assert system.ask("POST", "/api/v1/predict", request).body["model_version"] == version
            _wait_for_more(answers, 6)
    finally:
        is_over.set()
        for caller in callers:
            caller.join()

    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} <= {before, newest}
    assert system.ask("GET", "/api/v1/model/info").body["version"] == before
