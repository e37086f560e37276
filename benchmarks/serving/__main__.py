"""A prediction with its exact reasons, over HTTP, against the goals: `make bench-serving`.

Compared with an empty answer and with scikit-learn and shap in Flask, both on our server, and with mlflow's and
BentoML's serving of the same estimator, whose answers carry no reasons. All have two processes, and all are up at
once. In a round each gets the load in turn, of 8 and of 32 kept connections over loopback; a ratio is the median of
the rounds' ratios, any other figure the median of the rounds. The load generator is a process on the same machine,
and its share of the processors is printed. Our batches are compared with scikit-learn and shap without a server, one
process to one and two to two.

The first table is of a forest trained on 1,500 records, the second, without goals, of one trained on 50,000.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.harness import services
from benchmarks.serving.harness.batches import batch_rows
from benchmarks.serving.harness.goal_table import Goal, Row, Stolen, load_average, print_rows
from benchmarks.serving.harness.load_generator import generator, own_limit
from benchmarks.serving.harness.many_orgs import org_rows, scrape_rows
from benchmarks.serving.harness.registries import Served, peer_requests, predict_requests, trained
from benchmarks.serving.harness.rounds import CONNECTIONS, Contender, Figures, Rates, measure_rates
from benchmarks.serving.harness.service_processes import Running, running

GOAL_RECORDS, LARGE_RECORDS = 1_500, 50_000
ORGS, LARGE_ORGS = 1_000, 200
BATCH_SECONDS = 3.0
ONE_PROCESS = "ours, one process"
RATE_GOALS = {"empty": Goal(0.6), "naive": Goal(40), "mlflow": Goal(40), "BentoML": Goal(30)}


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    seconds: float


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of load in a round, after the warm-up")
    parser.add_argument(
        "--records", type=int, nargs="*", default=[GOAL_RECORDS, LARGE_RECORDS], help="a table for each"
    )
    arguments = parser.parse_args()
    services.require_bench_venv()
    effort = Effort(arguments.rounds, arguments.seconds)
    for records in arguments.records:
        with tempfile.TemporaryDirectory(prefix="leadscore-") as folder:
            measure(records, Path(folder), effort)


def measure(records: int, folder: Path, effort: Effort) -> None:
    """Print the table of a forest trained on so many records."""
    served, stolen = trained(folder / "models", records), Stolen()
    print(
        f"\n{served.in_words()}\n{load_average()}; median of {effort.rounds} rounds of {effort.seconds:g} s", flush=True
    )
    is_large = records > GOAL_RECORDS
    rows, notes = served_rows(served, folder, effort)
    rows += org_rows(served, folder, LARGE_ORGS if is_large else ORGS)
    rows += [] if is_large else scrape_rows(served, folder)
    print_rows(rows, has_goals=not is_large)
    print("\n".join([*notes, load_average(), str(stolen)]), flush=True)


def served_rows(served: Served, folder: Path, effort: Effort) -> tuple[list[Row], list[str]]:
    """Return the lines for which all services are up at once, and notes on where the processors' time went."""
    started = [
        services.ours(served.models),
        services.ours(served.models, ONE_PROCESS, workers=1),
        services.empty(),
        services.naive(served.model_file),
        services.mlflow(served.model_file, folder),
        services.bentoml(served.model_file),
    ]
    with running(started, folder) as by_name, generator() as process:
        contenders = contenders_of(served, by_name)
        rates = measure_rates(contenders, process, rounds=effort.rounds, seconds=effort.seconds)
        servers = {1: by_name[ONE_PROCESS], services.WORKERS: by_name["ours"]}
        batches = batch_rows(served, servers, process, effort.rounds, BATCH_SECONDS)
    return [*rate_rows(rates), *latency_rows(rates), *batches], notes_of(rates)


def contenders_of(served: Served, by_name: dict[str, Running]) -> list[Contender]:
    """Return each service with the same leads, in the form that it takes."""
    leads = served.leads()
    plain = predict_requests(leads, "/predict")
    requests = {
        "ours": predict_requests(leads),
        "empty": plain,
        "naive": plain,
        "mlflow": peer_requests(leads, "/invocations"),
        "BentoML": peer_requests(leads, "/predict"),
    }
    return [Contender(by_name[name], given) for name, given in requests.items()]


def rate_rows(rates: Rates) -> list[Row]:
    """Return how many times as many requests ours answers as each of the others."""
    return [
        _row(
            f"predict / {name}, {count} connections, requests/s",
            rates["ours", count],
            rates[name, count],
            "per_second",
            goal,
        )
        for name, goal in RATE_GOALS.items()
        for count in CONNECTIONS
    ]


def latency_rows(rates: Rates) -> list[Row]:
    """Return how our slow answers compare with slow empty answers."""
    goals = {8: Goal(3, is_most=True)}
    return [
        _row(
            f"p99 of predict / empty, {count} connections, ms",
            rates["ours", count],
            rates["empty", count],
            "p99_ms",
            goals.get(count),
        )
        for count in CONNECTIONS
    ]


def _row(what: str, ours: Figures, other: Figures, figure: str, goal: Goal | None) -> Row:
    return Row(what, ours.median(figure), other.median(figure), goal, ours.ratio_to(other, figure))


def notes_of(rates: Rates) -> list[str]:
    """Return what a request takes of the processors, on the server's side and on the load generator's."""
    lines = [_cpu_note(name, rates[name, 8]) for name in ("ours", "empty", "naive")]
    counts = ", ".join(f"{name} {figures.count():,}" for (name, count), figures in rates.items() if count == 8)
    limit = own_limit(8)
    return [
        f"CPU time of a request at 8 connections, µs: {'; '.join(lines)}",
        f"requests measured at 8 connections: {counts}",
        f"the load generator makes {limit.per_second:,.0f} requests a second itself",
    ]


def _cpu_note(name: str, figures: Figures) -> str:
    server, generated = statistics.median(figures.server_us), figures.median("generator_us")
    return f"{name} {server:,.0f} + load {generated:,.0f}"


if __name__ == "__main__":
    main()
