"""What Prometheus scrapes. No label holds an org, a path or anything else that a caller chooses."""

from __future__ import annotations

import threading

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MAX_VERSION_LABELS = 100
OTHER = "other"

_FAST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SHARES = tuple(step / 20 for step in range(1, 21))


class Metrics:
    """The metrics of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self._predictions = Counter(
            "ml_predictions",
            "Leads scored, by version; versions beyond the first 100 are `other`",
            ["model_version"],
            registry=own,
        )
        self.prediction_latency_seconds = Histogram(
            "ml_prediction_latency_seconds",
            "Time to score the leads of one request",
            buckets=_FAST_SECONDS,
            registry=own,
        )
        self.model_training = Counter(
            "ml_model_training",
            "Trainings asked for here whose end was reported, by outcome",
            ["status"],
            registry=own,
        )
        self.scores = Histogram("leadscore_score", "Probabilities answered", buckets=_SHARES, registry=own)
        self.invalid_items = Counter("leadscore_invalid_leads", "Leads refused because of their features", registry=own)
        self.requests = Counter(
            "leadscore_http_requests", "Requests answered", ["method", "route", "status"], registry=own
        )
        self.request_seconds = Histogram(
            "leadscore_http_request_duration_seconds",
            "Time to answer a request",
            ["route"],
            buckets=_FAST_SECONDS,
            registry=own,
        )
        self.requests_in_progress = Gauge("leadscore_http_requests_in_progress", "Requests under way", registry=own)
        self.cache_hits = Counter("leadscore_model_cache_hits", "Requests answered by a loaded version", registry=own)
        self.cache_evictions = Counter("leadscore_model_cache_evictions", "Versions that made room", registry=own)
        self.cache_bytes = Gauge("leadscore_model_cache_bytes", "Memory of the loaded versions", registry=own)
        self.cache_entries = Gauge("leadscore_model_cache_entries", "Loaded versions", registry=own)
        self.load_seconds = Histogram("leadscore_model_load_seconds", "Time to load and verify", registry=own)
        self.load_failures = Counter(
            "leadscore_model_load_failures", "Versions that could not be loaded and verified", ["code"], registry=own
        )
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
