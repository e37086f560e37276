"""The recorder: nothing is lost or counted twice, however many threads note and write."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from serving.telemetry.events import Answered
from serving.telemetry.metrics import Metrics
from serving.telemetry.recorder import Recorder

EACH = 500


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let threads take turns as often as they can, so that what can go wrong between them does."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def answered() -> Answered:
    return Answered("GET", "/x", 200, 0.001, {"request_id": "r"})


def counted(metrics: Metrics) -> float | None:
    labels = {"method": "GET", "route": "/x", "status": "200"}
    return metrics.registry.get_sample_value("leadscore_http_requests_total", labels)


def test_what_is_deferred_is_written_when_it_is_asked_for():
    metrics = Metrics()
    recorder = Recorder(metrics)
    recorder.is_deferred = True
    recorder.begin()
    recorder.end(answered())
    assert counted(metrics) is None
    recorder.write()
    recorder.write()
    assert counted(metrics) == 1


def test_threads_that_note_and_write_at_once_lose_nothing(started_threads, hasty_threads):
    metrics = Metrics()
    recorder = Recorder(metrics)
    failures: list[Exception] = []

    def note_and_write() -> None:
        try:
            for _ in range(EACH):
                recorder.begin()
                recorder.end(answered())
                recorder.write()
        except Exception as error:
            failures.append(error)

    threads: list[threading.Thread] = [started_threads(note_and_write) for _ in range(6)]
    for thread in threads:
        thread.join(30)
    recorder.write()
    assert failures == []
    assert counted(metrics) == 6 * EACH
    assert metrics.registry.get_sample_value("leadscore_http_requests_in_progress") == 0
