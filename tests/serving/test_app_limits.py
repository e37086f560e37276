"""The largest body of each shape that the default limits allow costs little, and judges no more leads than allowed."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving.harness.worst_shapes import BATCH, LEADS, PREDICT, SMALL_BYTES, Shape, worst_shapes
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from serving.api import request_parsing
from serving.server.bodies import BODY_SECONDS
from tests.serving.conftest import Live, Shelf

CPU_SECONDS = 2.0
MEMORY_BYTES = 64_000_000
STALLED = 200
JUDGED = re.compile(r"^(?:ml_predictions_total|leadscore_invalid_leads_total)(?:\{.*\})? (\S+)$", re.MULTILINE)
SHAPES = worst_shapes()


@pytest.fixture
def served(lasting: Live) -> Live:
    """Give a server with an active version, which has scored a batch."""
    lasting.models.mkdir(exist_ok=True)
    registry = Registry(lasting.models)
    if registry.active("default") is None:
        Shelf(registry).activated()
    assert lasting.post(BATCH, {"batch": [{}]}).status == 422
    return lasting


def judged(live: Live) -> float:
    return sum(map(float, JUDGED.findall(live.http.request("GET", "/metrics").data.decode())))


def cpu_seconds(live: Live) -> float:
    stats = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in live.processes())
    return sum(int(ticks) for stat in stats for ticks in stat[11:13]) / os.sysconf("SC_CLK_TCK")


def most_bytes(live: Live) -> int:
    """Return the most memory that each process held at a time, summed."""
    statuses = (Path(f"/proc/{pid}/status").read_text() for pid in live.processes())
    return sum(int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 for status in statuses)


def test_the_shapes_are_made_for_the_limits() -> None:
    assert (Settings().max_batch_size, request_parsing.SMALL_BODY_BYTES) == (LEADS, SMALL_BYTES)
    assert 0.99 < max(len(shape.body) for shape in SHAPES) / Settings().max_body_bytes <= 1
    assert {shape.path for shape in SHAPES} >= {PREDICT, BATCH}


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
def test_the_largest_body_of_a_shape_takes_little_time_and_memory_and_judges_no_lead_too_many(
    served: Live, shape: Shape
) -> None:
    cpu_before, bytes_before, judged_before = cpu_seconds(served), most_bytes(served), judged(served)

    answer = served.http.request("POST", shape.path, body=shape.body, headers={"Content-Type": "application/json"})

    assert answer.status == shape.status, answer.data[:500]
    assert cpu_seconds(served) - cpu_before <= CPU_SECONDS
    assert most_bytes(served) - bytes_before <= MEMORY_BYTES
    assert judged(served) - judged_before <= LEADS


def test_senders_that_stall_within_a_large_body_do_not_delay_a_batch(served: Live, features: dict[str, Any]) -> None:
    head = (
        f"POST {BATCH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
    )
    with contextlib.ExitStack() as stack:
        for _ in range(STALLED):
            stalled = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=10))
            stalled.sendall(head.encode() + b" " * 10_000)
        started = time.monotonic()
        assert served.post(BATCH, {"batch": [features] * LEADS}).status == 200
        assert time.monotonic() - started < BODY_SECONDS / 2


@pytest.mark.parametrize("path", [PREDICT, "/api/v1/model/rollback", "/api/v1/model/train"])
def test_only_a_batch_may_be_larger_than_64_kib(served: Live, path: str) -> None:
    for size, status in ((SMALL_BYTES, 400), (SMALL_BYTES + 1, 413)):
        answer = served.http.request("POST", path, body=b" " * size, headers={"Content-Type": "application/json"})
        assert answer.status == status
