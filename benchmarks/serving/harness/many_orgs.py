"""What many orgs cost: the first request of each, the memory of all of them, and a scrape with many versions."""

from __future__ import annotations

import http.client
import mmap
import re
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serving.harness.goal_table import Goal, Row
from benchmarks.serving.harness.load_generator import LOOPBACK, Failed, percentile
from benchmarks.serving.harness.registries import (
    PREDICT,
    Served,
    body,
    engine_file_bytes,
    with_many_orgs,
    with_many_versions,
)
from benchmarks.serving.harness.service_processes import Running, running
from benchmarks.serving.harness.services import WORKERS, empty, ours

TIMED_ORGS = 300
WARM_REQUESTS = 3
MOST_CONNECTIONS = 24
VERSIONS = 10_000
SCRAPES = 30
MEGABYTE = 1e6
LOADS = re.compile(r"^leadscore_model_load_seconds_count(?:\{\})? (\S+)$", re.MULTILINE)


class Caller:
    """One connection to a service, which one of its processes answers."""

    def __init__(self, service: Running) -> None:
        self.service = service
        self._connection = http.client.HTTPConnection(LOOPBACK, service.port, timeout=60)

    def post(self, path: str, content: bytes) -> float:
        """Send a request and return the seconds until the answer is whole. Raises Failed on any but a 200."""
        return self._call("POST", path, content)[0]

    def get(self, path: str) -> tuple[float, bytes]:
        """Return the seconds until the answer was whole, and the answer. Raises Failed on any but a 200."""
        return self._call("GET", path, None)

    def _call(self, method: str, path: str, content: bytes | None) -> tuple[float, bytes]:
        started = time.perf_counter()
        self._connection.request(method, path, content, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        text = answer.read()
        seconds = time.perf_counter() - started
        if answer.status != 200:
            raise Failed(f"{self.service.name} answered {answer.status} to {method} {path}: {text[:500]!r}")
        return seconds, text


def org_rows(served: Served, folder: Path, count: int) -> list[Row]:
    """Return the lines about first requests and about memory, of `count` orgs whose versions are like `served`."""
    models = folder / "many-orgs"
    org_ids = with_many_orgs(models, served, count)
    [row] = served.leads(1)
    bodies = [body(row, org_id) for org_id in org_ids]
    with running([ours(models, "ours with many orgs"), empty()], folder) as services:
        our, plain = services.values()
        use_memory(TIMED_ORGS * engine_file_bytes(models, org_ids[0]))
        rows = first_request_rows(our, bodies[:TIMED_ORGS])
        calls = ask_everywhere(our, bodies)
        ask(plain, "/predict", bodies, calls)
        return [*rows, _memory_row(our, plain, count, len(org_ids) * engine_file_bytes(models, org_ids[0]))]


def use_memory(byte_count: int) -> None:
    """Write to so many bytes, and give them back.

    A virtual machine gets each page from its host when it is first used, which takes some µs, on some machines longer
    than all else that loading a version takes. A server that has run for a while has used its memory.
    """
    with mmap.mmap(-1, 2 * byte_count) as memory:
        for page in range(0, len(memory), mmap.PAGESIZE):
            memory[page] = 1


def first_request_rows(our: Running, bodies: Sequence[bytes]) -> list[Row]:
    """Return by how much an org's first request is slower than its next ones, of a process that has not its model."""
    caller, added_ms = Caller(our), []
    for content in bodies:
        first, *warm = (caller.post(PREDICT, content) for _ in range(1 + WARM_REQUESTS))
        added_ms.append((first - statistics.median(warm)) * 1e3)
    goal = Goal(5, is_most=True, unit=" ms")
    return [
        Row("first request of an org not in memory: added ms, median", statistics.median(added_ms), None, goal),
        Row(f"    99th percentile of {len(bodies)} orgs", percentile(added_ms, 0.99), None, goal),
    ]


def ask(service: Running, path: str, bodies: Sequence[bytes], connections: int) -> None:
    """Send every request over each of so many connections."""
    for _ in range(connections):
        caller = Caller(service)
        for content in bodies:
            caller.post(path, content)


def ask_everywhere(our: Running, bodies: Sequence[bytes]) -> int:
    """Send every request to every process, and return over how many connections: who answers one is chance."""
    for number in range(1, MOST_CONNECTIONS + 1):
        ask(our, PREDICT, bodies, 1)
        if loads(our) >= WORKERS * len(bodies):
            return number
    raise Failed(f"after {MOST_CONNECTIONS} connections, {loads(our)} versions were loaded by {WORKERS} processes")


def loads(our: Running) -> int:
    """Return how many versions all processes have loaded."""
    text = Caller(our).get("/metrics")[1].decode()
    found = LOADS.search(text)
    if found is None:
        raise Failed("/metrics does not tell how many versions were loaded")
    return int(float(found[1]))


def _memory_row(our: Running, plain: Running, count: int, file_bytes: int) -> Row:
    above = our.pss_bytes() - plain.pss_bytes()
    what = f"memory of {count:,} orgs in {WORKERS} processes / files, MB"
    return Row(what, above / MEGABYTE, file_bytes / MEGABYTE, Goal(2, is_most=True))


def scrape_rows(served: Served, folder: Path) -> list[Row]:
    """Return how long a scrape takes once many versions were served."""
    models = folder / "many-versions"
    org_ids = with_many_versions(models, served, VERSIONS)
    [row] = served.leads(1)
    with running([ours(models, "ours with many versions")], folder) as services:
        [our] = services.values()
        callers = [Caller(our) for _ in range(8)]
        for number, org_id in enumerate(org_ids):
            callers[number % len(callers)].post(PREDICT, body(row, org_id))
        found = [Caller(our).get("/metrics") for _ in range(SCRAPES)]
    times_ms = [seconds * 1e3 for seconds, _ in found]
    goal = Goal(50, is_most=True, unit=" ms")
    what = f"scrape with {VERSIONS:,} versions served: ms, median"
    return [Row(what, statistics.median(times_ms), None, goal), Row("    slowest of 30", max(times_ms), None, goal)]
