"""Leads a second in batches: ours over HTTP, and scikit-learn and shap without a server, in as many processes."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.shared.goals import Goal, Row
from benchmarks.shared.load import load
from benchmarks.shared.processes import Running
from benchmarks.shared.rates import say
from benchmarks.shared.served import Served, batch_request
from leadscore.forest import Floats

REASONED_LEADS, SCORED_LEADS = 1_000, 10_000
SHAP_LEADS = 100  # of the batch, since shap takes a time per lead that hardly depends on their number
# more connections than processes, so that each process surely gets one
CONNECTIONS_OF_PROCESSES = {1: 1, 2: 8}


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
    served: Served, server: Running, generator: ProcessPoolExecutor, rounds: int, seconds: float
) -> list[Row]:
    """Return a line per kind of batch and number of processes; both sides take turns."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        return [
            _row(batch, processes, served.model_file, server, (generator, pool), rounds=rounds, seconds=seconds)
            for batch in batches_of(served)
            for processes in CONNECTIONS_OF_PROCESSES
        ]


def _row(
    batch: Batch,
    processes: int,
    model_file: Path,
    server: Running,
    pools: tuple[ProcessPoolExecutor, ProcessPoolExecutor],
    *,
    rounds: int,
    seconds: float,
) -> Row:
    generator, pool = pools
    ours, other = [], []
    connections = CONNECTIONS_OF_PROCESSES[processes]
    name = "shap" if batch.other is explain else "predict_proba"
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}: batch of {batch.what}")
        found = generator.submit(load, server.port, [batch.request], connections, seconds, seconds).result()
        # so few answers come that the last, unfinished ones would count; each connection always waits for one
        ours.append(connections / found.mean_ms * 1e3 * batch.leads)
        other.append(_leads_per_second(pool, processes, batch, model_file))
    ratio = statistics.median(a / b for a, b in zip(ours, other, strict=True))
    what = f"batch, {batch.what} / {name}, {processes} to {processes}"
    return Row(what, statistics.median(ours), statistics.median(other), batch.goal, ratio)


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
