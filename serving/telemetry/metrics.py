"""The metrics that Prometheus scrapes. No label holds an org, a path or anything else that a caller chooses.

With PROMETHEUS_MULTIPROC_DIR set, each process writes its metrics to files in that folder, and any process answers for
all of them. Counters are summed, including those of processes that have ended.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

if TYPE_CHECKING:
    from serving.telemetry.events import Answered, Scored

MAX_VERSION_LABELS = 100
OTHER = "other"
# up to so many amounts are faster one by one
FEW = 8

_FAST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SHARES = tuple(step / 20 for step in range(1, 21))


@dataclass(frozen=True, eq=False)
class Series:
    """A gauge or counter that no process keeps, because all would say the same: its values, by the label's value.

    Without a label, it has one value, by "".
    """

    name: str
    help: str
    label: str
    values: Mapping[Any, float]
    is_counter: bool = False

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield it as Prometheus' client collects it."""
        kind = CounterMetricFamily if self.is_counter else GaugeMetricFamily
        family = kind(self.name, self.help, labels=[self.label] if self.label else [])
        for value, number in self.values.items():
            family.add_metric([value] if self.label else [], number)
        yield family


class Distribution(Histogram):
    """A histogram that takes many values at once by the library's private fields; a test compares it with `observe`."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Observe all amounts, with one write per bucket instead of two per amount."""
        if len(amounts) <= FEW:
            for amount in amounts:
                self.observe(amount)
            return
        self._sum.inc(sum(amounts))
        places, counts = np.unique(np.searchsorted(self._upper_bounds, amounts), return_counts=True)
        for place, count in zip(places.tolist(), counts.tolist(), strict=True):
            self._buckets[place].inc(count)


class Metrics:
    """The metrics of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counter = partial(Counter, registry=self.registry)
        self._gauge = partial(Gauge, registry=self.registry)
        self._seconds = partial(Distribution, registry=self.registry, buckets=_FAST_SECONDS)
        self._declare_scoring()
        self._declare_requests()
        self._declare_cache()
        self._lock = threading.Lock()
        self._of_version: dict[str, Counter] = {}
        self._of_request: dict[tuple[str, str, int], tuple[Counter, Distribution]] = {}

    def _declare_scoring(self) -> None:
        self._predictions = self._counter(
            "ml_predictions", "Leads scored, by version; from the 101st version on, `other`", ["model_version"]
        )
        self.prediction_latency_seconds = self._seconds(
            "ml_prediction_latency_seconds", "Seconds to score the leads of a request"
        )
        self.scores = Distribution(
            "leadscore_score", "Conversion probabilities of the scored leads", buckets=_SHARES, registry=self.registry
        )
        self.invalid_items = self._counter("leadscore_invalid_leads", "Leads of batches that could not be scored")
        self._remembered = self._counter(
            "leadscore_answered_scores",
            "Scores answered for a named lead, by whether they were written to the database or dropped",
            ["outcome"],
        )
        for outcome in ("written", "dropped"):
            self.count_remembered(outcome, 0)  # so that both are shown from the start

    def _declare_requests(self) -> None:
        self._requests = self._counter("leadscore_http_requests", "Requests answered", ["method", "route", "status"])
        self._request_seconds = self._seconds(
            "leadscore_http_request_duration_seconds", "Seconds to answer a request", ["route"]
        )
        self.requests_in_progress = self._gauge(
            "leadscore_http_requests_in_progress", "Requests in progress", multiprocess_mode="livesum"
        )
        self.dependency_up = self._gauge(
            "leadscore_dependency_up",
            "1 while the CRM's database or a part of Dagster is up, 0 while it is down, NaN while that is unknown",
            ["dependency"],
            multiprocess_mode="livemostrecent",
        )
        self.log_lines_dropped = self._counter(
            "leadscore_log_lines_dropped",
            "Log lines that were dropped because their reader stalled or they could not be written",
        )

    def _declare_cache(self) -> None:
        self.cache_hits = self._counter(
            "leadscore_model_cache_hits",
            "Look-ups that found a loaded version; an org that the pooled model serves needs two",
        )
        self.cache_loads = self._counter("leadscore_model_cache_loads", "Versions loaded")
        self.cache_evictions = self._counter(
            "leadscore_model_cache_evictions", "Loaded versions that were removed to free memory"
        )
        # processes map the same pages, so that a sum would count them twice
        most = partial(self._gauge, multiprocess_mode="livemax")
        self.cache_bytes = most("leadscore_model_cache_bytes", "Bytes of loaded versions, in the process that has most")
        self.cache_entries = most(
            "leadscore_model_cache_entries", "Number of loaded versions, in the process that has most"
        )
        self.load_seconds = self._seconds("leadscore_model_load_seconds", "Seconds to load and verify a version")
        self.load_failures = self._counter(
            "leadscore_model_load_failures", "Versions that could not be loaded and verified, by code", ["code"]
        )

    def count_scored(self, scored: Sequence[Scored]) -> None:
        """Count the leads of some requests, with their probabilities and scoring times."""
        leads: dict[str, int] = defaultdict(int)
        for one in scored:
            leads[one.version] += len(one.probabilities)
        for version, count in leads.items():
            (self._of_version.get(version) or self._label_version(version)).inc(count)
        self.scores.observe_all([probability for one in scored for probability in one.probabilities])
        self.prediction_latency_seconds.observe_all([one.duration_seconds for one in scored])

    def count_remembered(self, outcome: str, count: int) -> None:
        """Count answered scores that were `written` to the database, or `dropped`."""
        self._remembered.labels(outcome).inc(count)

    def count_answered(self, answered: Sequence[Answered]) -> None:
        """Count answered requests and their durations."""
        durations: dict[tuple[str, str, int], list[float]] = defaultdict(list)
        for one in answered:
            durations[one.method, one.route, one.status].append(one.duration_seconds)
        for key, seconds in durations.items():
            requests, distribution = self._of_request.get(key) or self._label_request(*key)
            requests.inc(len(seconds))
            distribution.observe_all(seconds)

    def text(self, shared: Sequence[Series] = ()) -> bytes:
        """Return the metrics in Prometheus' text format: those of all processes that share the folder, and `shared`."""
        return self._own_text() + _text_of(shared)

    def _own_text(self) -> bytes:
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if folder is None:
            return generate_latest(self.registry)
        _forget_gauges_of_the_dead(Path(folder))
        registry = CollectorRegistry()
        MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]  # it has no types
        return generate_latest(registry)

    def _label_request(self, method: str, route: str, status: int) -> tuple[Counter, Distribution]:
        found = (self._requests.labels(method, route, str(status)), self._request_seconds.labels(route))
        self._of_request[method, route, status] = found
        return found

    def _label_version(self, version: str) -> Counter:
        with self._lock:
            label = version if len(self._of_version) < MAX_VERSION_LABELS else OTHER
            child = self._predictions.labels(label)
            if label != OTHER:
                self._of_version[version] = child
        return child


def _text_of(shared: Sequence[Series]) -> bytes:
    registry = CollectorRegistry()
    for series in shared:
        registry.register(series)
    return generate_latest(registry)


def _forget_gauges_of_the_dead(folder: Path) -> None:
    """Remove the gauges of processes that have ended; their counters stay."""
    for pid in {path.stem.rpartition("_")[2] for path in folder.glob("gauge_live*.db")}:
        if not _is_alive(int(pid)):
            mark_process_dead(int(pid), str(folder))  # type: ignore[no-untyped-call]  # likewise


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
