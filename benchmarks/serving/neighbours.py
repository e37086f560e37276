"""What other clients notice of one that sends the worst: `python -m benchmarks.serving.neighbours [FOLDER ...]`.

Our server runs here and, for each FOLDER, with the code of that checkout; all have the default limits of this one. Two
figures each:

- the slow answers (p99) of predict, 8 connections, alone; beside a client that sends the largest body of each shape
  that costs much, one after another; and beside one that sends honest batches of 1,000 leads in the same way;
- an honest batch of 1,000 leads, alone and while 200 connections have sent a part of a large body and stall.

All of them share this machine's processors with the server. In a round each gets its turn; a figure is the median of
the rounds, of the stalled senders the slowest batch.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from benchmarks.checkouts import HERE, checkout
from benchmarks.serving.harness.goal_table import Goal, Row, load_average, print_rows
from benchmarks.serving.harness.load_generator import HEAD_END, LOOPBACK, Failed, generator, load
from benchmarks.serving.harness.registries import BATCH, Served, batch_request, predict_requests, trained
from benchmarks.serving.harness.service_processes import Running, Service, running
from benchmarks.serving.harness.services import ours
from benchmarks.serving.harness.worst_shapes import LEADS, worst_shapes
from leadscore.settings import PROJECT_ROOT, Settings

CONNECTIONS = 8
STALLED = 200
STALLED_BYTES = 1_000_000  # what each sends before it stalls
BATCHES = 5
MOST_SECONDS = 120
WARM_UP_SECONDS = 1.0
SETTLING_SECONDS = 0.2  # after which a server that still takes bytes has taken some
P99_GOAL, BATCH_GOAL = Goal(3, is_most=True), Goal(1_000, is_most=True)

ALONE, WORST, HONEST = "alone", "beside the worst shapes", "beside honest batches"


@dataclass
class Noticed:
    """What the other clients of one server noticed, in milliseconds, round by round."""

    p99_ms: dict[str, list[float]] = field(default_factory=lambda: {ALONE: [], WORST: [], HONEST: []})
    batch_ms: list[float] = field(default_factory=list)
    stalled_batch_ms: list[float] = field(default_factory=list)


def main() -> None:
    """Print a table for each checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=checkout, nargs="*", help="other checkouts to measure in the same way")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds of load in a round, after the warm-up")
    parser.add_argument("--records", type=int, default=1_500, help="train the forest on so many records")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leadscore-") as name:
        served = trained(Path(name) / "models", arguments.records)
        print(f"{served.in_words()}; {load_average()}", flush=True)
        for folder in (PROJECT_ROOT, *arguments.folders):
            noticed = measured(served, folder, arguments.rounds, arguments.seconds)
            print(f"\n{HERE if folder == PROJECT_ROOT else folder}")
            print_rows(rows_of(noticed), has_goals=True)
        print(load_average())


def measured(served: Served, folder: Path, rounds: int, seconds: float) -> Noticed:
    """Return what the other clients of a server with the code in `folder` notice."""
    noticed = Noticed()
    with running([service_of(served, folder)], served.models.parent) as by_name, generator() as process:
        [server] = by_name.values()
        for _ in range(rounds):
            measure_predictions(served, server, process, seconds, noticed)
            measure_batches(served, server, noticed)
    return noticed


def service_of(served: Served, folder: Path) -> Service:
    """Return our server with its default limits."""
    service, usual = ours(served.models, folder=folder), Settings()
    limits = {"MAX_BATCH_SIZE": str(usual.max_batch_size), "MAX_BODY_BYTES": str(usual.max_body_bytes)}
    return replace(service, environment={**service.environment, **limits})


def measure_predictions(
    served: Served, server: Running, process: ProcessPoolExecutor, seconds: float, noticed: Noticed
) -> None:
    """Add the slow answers of predict, alone and beside each of the others."""
    requests = predict_requests(served.leads())
    with generator() as other:
        other.submit(worst_count).result()
        for name, others in {ALONE: [], WORST: None, HONEST: [batch_of(served)]}.items():
            until_seconds = time.monotonic() + seconds + WARM_UP_SECONDS
            sending = other.submit(send_in_turn, server.port, others, until_seconds)
            found = process.submit(load, server.port, requests, CONNECTIONS, seconds, WARM_UP_SECONDS).result()
            noticed.p99_ms[name].append(found.p99_ms)
            sending.result()


@cache
def worst_requests() -> list[tuple[str, bytes]]:
    """Return the path and the body of each shape; they are made once in each process that sends them."""
    return [(shape.path, shape.body) for shape in worst_shapes(Settings().max_body_bytes)]


def worst_count() -> int:
    """Make them, and return how many there are."""
    return len(worst_requests())


def batch_of(served: Served) -> tuple[str, bytes]:
    """Return the path and the body of an honest batch."""
    return BATCH, batch_request(served.leads(LEADS)).partition(HEAD_END)[2]


def send_in_turn(port: int, requests: Sequence[tuple[str, bytes]] | None, until_seconds: float) -> None:
    """Send one request after another, over and over, the worst unless given; wait for each answer, whatever it is."""
    for path, body in itertools.cycle(worst_requests() if requests is None else requests):
        if time.monotonic() > until_seconds:
            return
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=MOST_SECONDS)
        # a body that is refused by its length may be cut off
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            connection.getresponse().read()


def measure_batches(served: Served, server: Running, noticed: Noticed) -> None:
    """Add the time of honest batches, alone and while others stall."""
    path, body = batch_of(served)
    noticed.batch_ms += [batch_ms(server.port, path, body) for _ in range(BATCHES)]
    with stalled_senders(server.port):
        noticed.stalled_batch_ms += [batch_ms(server.port, path, body) for _ in range(BATCHES)]


def batch_ms(port: int, path: str, body: bytes) -> float:
    """Return how long a batch takes on a connection of its own. Raises Failed when it is not scored."""
    started = time.perf_counter()
    with contextlib.closing(http.client.HTTPConnection(LOOPBACK, port, timeout=MOST_SECONDS)) as connection:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
    if answer.status != 200:
        raise Failed(f"port {port} answered {answer.status} to an honest batch")
    return (time.perf_counter() - started) * 1e3


@contextlib.contextmanager
def stalled_senders(port: int) -> Iterator[None]:
    """Keep connections that have sent a part of the largest body, as far as the server takes it, and send no more."""
    head = f"POST {BATCH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    part = f"{head}{Settings().max_body_bytes}\r\n\r\n".encode() + b" " * STALLED_BYTES
    with contextlib.ExitStack() as stack:
        unsent = {}
        for _ in range(STALLED):
            connection = stack.enter_context(socket.create_connection((LOOPBACK, port), timeout=MOST_SECONDS))
            connection.setblocking(False)
            unsent[connection] = memoryview(part)
        while sum(sent_some(connection, unsent) for connection in unsent):
            time.sleep(SETTLING_SECONDS)
        yield


def sent_some(connection: socket.socket, unsent: dict[socket.socket, memoryview]) -> bool:
    """Send what the other side takes, and return whether it took any."""
    before = len(unsent[connection])
    with contextlib.suppress(OSError):
        while unsent[connection]:
            unsent[connection] = unsent[connection][connection.send(unsent[connection]) :]
    return len(unsent[connection]) < before


def rows_of(noticed: Noticed) -> list[Row]:
    """Return the table's lines."""
    p99_ms = {name: statistics.median(figures) for name, figures in noticed.p99_ms.items()}
    return [
        Row("p99 of predict beside the worst shapes / alone, ms", p99_ms[WORST], p99_ms[ALONE], P99_GOAL),
        Row("p99 of predict beside honest batches / alone, ms", p99_ms[HONEST], p99_ms[ALONE]),
        Row("a batch, alone, ms", statistics.median(noticed.batch_ms)),
        Row(f"the slowest batch beside {STALLED} stalled senders, ms", max(noticed.stalled_batch_ms), None, BATCH_GOAL),
    ]


if __name__ == "__main__":
    main()
