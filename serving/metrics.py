"""What Prometheus scrapes. No label holds an org, a path or anything else that a caller chooses."""

from __future__ import annotations

import threading
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MAX_VERSION_LABELS = 100
OTHER = "other"

_FAST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SHARES = tuple(step / 20 for step in range(1, 21))


class Metrics:
    """The metrics of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        seconds = partial(Histogram, registry=self.registry, buckets=_FAST_SECONDS)
        self._predictions = counter("ml_predictions", "Leads scored; `other`: beyond 100 versions", ["model_version"])
        self.prediction_latency_seconds = seconds("ml_prediction_latency_seconds", "Time to score a request's leads")
        self.model_training = counter(
            "ml_model_training", "Trainings asked for here that ended, by outcome", ["status"]
        )
        self.scores = Histogram("leadscore_score", "Probabilities answered", buckets=_SHARES, registry=self.registry)
        self.invalid_items = counter("leadscore_invalid_leads", "Leads of batches that could not be scored")
        self.requests = counter("leadscore_http_requests", "Requests answered", ["method", "route", "status"])
        self.request_seconds = seconds("leadscore_http_request_duration_seconds", "Time to answer", ["route"])
        self.requests_in_progress = gauge("leadscore_http_requests_in_progress", "Requests under way")
        self.dependency_up = gauge(
            "leadscore_dependency_up", "1 when the CRM's database or Dagster answered when last asked", ["dependency"]
        )
        self.cache_hits = counter(
            "leadscore_model_cache_hits", "Look-ups that found a loaded version; an org of the pool takes two"
        )
        self.cache_evictions = counter("leadscore_model_cache_evictions", "Loaded versions that made room")
        self.cache_bytes = gauge("leadscore_model_cache_bytes", "Memory of the loaded versions")
        self.cache_entries = gauge("leadscore_model_cache_entries", "Loaded versions")
        self.load_seconds = seconds("leadscore_model_load_seconds", "Time to load and verify a version")
        self.load_failures = counter("leadscore_model_load_failures", "Versions that could not be loaded", ["code"])
        self._lock = threading.Lock()
        self._labelled_versions: set[str] = set()

    def count_predictions(self, version: str, count: int) -> None:
        """Add `count` leads scored by `version`."""
        with self._lock:
            if len(self._labelled_versions) < MAX_VERSION_LABELS:
                self._labelled_versions.add(version)
            label = version if version in self._labelled_versions else OTHER
        self._predictions.labels(label).inc(count)

    def text(self) -> bytes:
        """Return the exposition."""
        return generate_latest(self.registry)
