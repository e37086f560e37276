"""A new version, or a rollback, while the server is asked without pause: no failed answer, none of two versions."""

from __future__ import annotations

import threading
import time

import pytest
import urllib3

from leadscore.registry.removal import remove_org


def test_a_rollback_under_load_fails_no_request_and_mixes_no_answer(live, shelf, features, started_threads):
    probability_of = {shelf.activated(high=0.9): 0.9, shelf.activated(high=0.75): 0.75}
    versions, answers, is_over = list(probability_of), [], threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            answers.append(live.post("/api/v1/predict", {"features": features}))
            answers.append(live.post("/api/v1/predict/batch", {"batch": [features] * 5}))

    threads = [started_threads(ask) for _ in range(3)]
    try:
        for turn in range(20):
            done = live.post("/api/v1/model/rollback", {"version": versions[turn % 2]})
            assert done.status == 200
            # what is asked after the rollback was answered is scored by that version
            assert live.post("/api/v1/predict", {"features": features}).json()["model_version"] == versions[turn % 2]
    finally:
        is_over.set()
    for thread in threads:
        thread.join(30)
    assert {answer.status for answer in answers} == {200}
    seen = set()
    for answer in answers:
        body = answer.json()
        version = body["model_version"]
        seen.add(version)
        for entry in body.get("predictions", [body]):
            assert entry["model_version"] == version == answer.headers["X-Model-Version"]
            assert entry["conversion_probability"] == pytest.approx(probability_of[version])
    assert seen == set(versions)


def test_ten_versions_a_second_fail_no_request(live, shelf, features, started_threads):
    versions, answers, is_over = [shelf.activated(high=0.9), shelf.activated(high=0.75)], [], threading.Event()

    def ask() -> None:
        with urllib3.HTTPConnectionPool("127.0.0.1", live.port, timeout=30, retries=False) as http:
            while not is_over.is_set():
                answers.append(http.request("POST", "/api/v1/predict", json={"features": features}))

    # connections of their own, so that both processes are asked
    threads = [started_threads(ask) for _ in range(8)]
    try:
        for turn in range(30):
            # another process moves the pointer: no request tells the server
            shelf.roll_back(versions[turn % 2])
            time.sleep(0.1)
    finally:
        is_over.set()
    for thread in threads:
        thread.join(30)
    assert len(answers) > 100
    assert {answer.status for answer in answers} == {200}
    assert {answer.json()["model_version"] for answer in answers} == set(versions)


def test_a_version_that_another_process_activates_is_served_within_a_second(live, shelf, features):
    shelf.activated()
    live.post("/api/v1/predict", {"features": features})
    new = shelf.activated(high=0.9)
    started = time.monotonic()
    assert live.post("/api/v1/predict", {"features": features}).json()["model_version"] == new
    assert time.monotonic() - started < 1


def test_a_removed_org_has_no_active_model_in_any_process_while_it_is_asked(live, shelf, features, started_threads):
    shelf.activated()
    kept, is_over, answers = shelf.activated("kept"), threading.Event(), []

    def ask() -> None:
        with urllib3.HTTPConnectionPool("127.0.0.1", live.port, timeout=30, retries=False) as http:
            while not is_over.is_set():
                answers.append(http.request("POST", "/api/v1/predict", json={"features": features}))

    threads = [started_threads(ask) for _ in range(4)]
    processes = live.processes()
    try:
        deadline = time.monotonic() + 60
        while len(answers) < 50 and time.monotonic() < deadline:
            time.sleep(0.01)
        before = len(answers)
        remove_org(shelf.registry, "default")
        begun = len(answers)
        while len(answers) < begun + 200 and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        is_over.set()
    for thread in threads:
        thread.join(30)
    assert {answer.status for answer in answers[:before]} == {200}
    assert {answer.status for answer in answers} <= {200, 404, 503}
    after = answers[begun + 4 :]  # one request of each thread may have begun before
    assert len(after) > 100
    assert {(answer.status, answer.json()["code"]) for answer in after} == {(404, "no_active_model")}
    assert live.processes() == processes
    assert live.post("/api/v1/predict", {"org_id": "kept", "features": features}).json()["model_version"] == kept
