"""How many requests a second services answer: all are up at once, and take turns, round after round."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from benchmarks.serving.harness.load_generator import Load, load
from benchmarks.serving.harness.service_processes import Running

CONNECTIONS = (8, 32)


@dataclass(frozen=True)
class Figures:
    """What the rounds showed of one service with so many connections."""

    loads: list[Load] = field(default_factory=list)
    server_us: list[float] = field(default_factory=list)  # CPU time of a request, all its processes

    def each(self, figure: str) -> list[float]:
        """Return a field of Load in each round."""
        return [getattr(one, figure) for one in self.loads]

    def median(self, figure: str) -> float:
        """Return the median of a field of Load over the rounds."""
        return statistics.median(self.each(figure))

    def ratio_to(self, other: Figures, figure: str) -> float:
        """Return the median, over the rounds, of this service's figure in units of the other's."""
        return statistics.median(a / b for a, b in zip(self.each(figure), other.each(figure), strict=True))

    def count(self) -> int:
        """Return how many requests all figures are made of."""
        return sum(one.count for one in self.loads)


@dataclass(frozen=True)
class Contender:
    """A running service and the requests that it is measured with."""

    running: Running
    requests: list[bytes]


Rates = dict[tuple[str, int], Figures]


def measure_rates(
    contenders: list[Contender],
    generator: ProcessPoolExecutor,
    *,
    rounds: int,
    seconds: float,
    connections: Sequence[int] = CONNECTIONS,
    warm_up_seconds: float = 1.0,
) -> Rates:
    """Return the figures by service's name and number of connections."""
    times = (seconds, warm_up_seconds)
    found = {(one.running.name, count): Figures() for one in contenders for count in connections}
    for number in range(rounds):
        for count in connections:
            for one in contenders:
                say(f"round {number + 1} of {rounds}: {one.running.name}, {count} connections")
                _measure(one, count, generator, times, found[one.running.name, count])
    return found


def _measure(
    one: Contender, connections: int, generator: ProcessPoolExecutor, times: tuple[float, float], figures: Figures
) -> None:
    cpu_seconds = one.running.cpu_seconds()
    found = generator.submit(load, one.running.port, one.requests, connections, *times).result()
    figures.loads.append(found)
    figures.server_us.append((one.running.cpu_seconds() - cpu_seconds) / found.all_count * 1e6)


def say(what: str) -> None:
    """Tell a person at the terminal what is being done; a table in a file stays free of it."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{what}\r")
        sys.stderr.flush()
