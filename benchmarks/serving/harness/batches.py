"""Leads a second in batches: ours over HTTP, and scikit-learn and shap without a server, in as many processes.

Over eight connections a server always has a batch to work on. Over one, it waits while an answer is sent and read, and
the next batch comes, which those without a server never do.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.serving.harness.goal_table import Goal, Row
from benchmarks.serving.harness.load_generator import load
from benchmarks.serving.harness.registries import Served, batch_request
from benchmarks.serving.harness.rounds import say
from benchmarks.serving.harness.service_processes import Running
from leadscore.arrays import Floats

REASONED_LEADS, SCORED_LEADS = 1_000, 10_000
SHAP_LEADS = 100  # of the batch, since shap takes a time per lead that hardly depends on their number
CONNECTIONS = 8


@dataclass(frozen=True)
class Batch:
    """A kind of batch: the request for it, how many leads it has, and what answers the same without a server."""

    what: str
    request: bytes
    leads: int
    other: Callable[[Path, Floats], None]
    other_rows: Floats
    goal: Goal


def batches_of(served: Served) -> list[Batch]:
    """Return both kinds of batches."""
    reasoned, scored = served.leads(REASONED_LEADS), served.leads(SCORED_LEADS)
    few = served.leads(SHAP_LEADS)
    return [
        Batch(
            f"{REASONED_LEADS:,} with reasons, leads/s", batch_request(reasoned), REASONED_LEADS, explain, few, Goal(30)
        ),
        Batch(
            f"{SCORED_LEADS:,} without, leads/s",
            batch_request(scored, "?contributions=false"),
            SCORED_LEADS,
            score,
            scored,
            Goal(2),
        ),
    ]


def batch_rows(
    served: Served, servers: Mapping[int, Running], generator: ProcessPoolExecutor, rounds: int, seconds: float
) -> list[Row]:
    """Return the lines per kind of batch and number of processes, which `servers` have; all take turns."""
    with ProcessPoolExecutor(max(servers), mp_context=multiprocessing.get_context("spawn")) as pool:
        turns = _Turns(served.model_file, generator, pool, rounds, seconds)
        return [
            row
            for batch in batches_of(served)
            for processes, server in servers.items()
            for row in turns.rows(batch, processes, server)
        ]


@dataclass(frozen=True)
class _Turns:
    """Who makes the load, who does the same without a server, how often in turns, and for how long."""

    model_file: Path
    generator: ProcessPoolExecutor
    pool: ProcessPoolExecutor
    rounds: int
    seconds: float

    def rows(self, batch: Batch, processes: int, server: Running) -> list[Row]:
        """Return the line of a kind of batch, and for one process another for a single connection."""
        counts = (CONNECTIONS, 1) if processes == 1 else (CONNECTIONS,)
        ours: dict[int, list[float]] = {count: [] for count in counts}
        other = []
        for number in range(self.rounds):
            say(f"round {number + 1} of {self.rounds}: batch of {batch.what}, {processes} to {processes}")
            for count in counts:
                ours[count].append(self._ours(batch, server, count))
            other.append(_leads_per_second(self.pool, processes, batch, self.model_file))
        name = "shap" if batch.other is explain else "predict_proba"
        what = {CONNECTIONS: f"batch, {batch.what} / {name}, {processes} to {processes}", 1: "    over one connection"}
        return [
            Row(
                what[count],
                statistics.median(ours[count]),
                statistics.median(other),
                batch.goal if count == CONNECTIONS else None,
                statistics.median(a / b for a, b in zip(ours[count], other, strict=True)),
            )
            for count in counts
        ]

    def _ours(self, batch: Batch, server: Running, connections: int) -> float:
        arguments = (server.port, [batch.request], connections, self.seconds, self.seconds)
        found = self.generator.submit(load, *arguments).result()
        # so few answers come that the last, unfinished ones would count; each connection always waits for one
        return connections / found.mean_ms * 1e3 * batch.leads


def _leads_per_second(pool: ProcessPoolExecutor, processes: int, batch: Batch, model_file: Path) -> float:
    wait([pool.submit(batch.other, model_file, batch.other_rows[:1]) for _ in range(4)])
    started = time.perf_counter()
    for done in [pool.submit(batch.other, model_file, batch.other_rows) for _ in range(processes)]:
        done.result()
    return processes * len(batch.other_rows) / (time.perf_counter() - started)


def explain(model_file: Path, rows: Floats) -> None:
    """Have shap explain all rows in one call."""
    _explainer(model_file).shap_values(rows, check_additivity=False)


def score(model_file: Path, rows: Floats) -> None:
    """Have scikit-learn score all rows in one call."""
    _estimator(model_file).predict_proba(rows)


@cache
def _estimator(model_file: Path) -> Any:
    import joblib  # noqa: PLC0415  # only the processes that work with it need it

    return joblib.load(model_file)


@cache
def _explainer(model_file: Path) -> Any:
    import shap  # noqa: PLC0415  # likewise

    return shap.TreeExplainer(_estimator(model_file), feature_perturbation="tree_path_dependent")
