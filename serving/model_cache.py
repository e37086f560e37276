"""The versions that this process holds in memory: verified, bounded by bytes, the least recently used leave first.

The pointer is looked at for every request, at the cost of one `stat`, so a version that was just activated is served
by the next request. A version is loaded once however many requests wait for it, and what a request holds stays
valid when it leaves the cache. A version that cannot be verified is never answered with; for a moment the failure is
remembered, so that a flood of requests does not read the damaged files again and again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from leadscore.artifact import Artifact
from leadscore.errors import Damaged, LeadscoreError, NoActiveModel, VersionNotFound
from leadscore.registry import Pointer, Registry
from serving.metrics import Metrics

FAILURE_SECONDS = 5.0
# loading takes several times a version's own memory for a moment
LOADS_AT_A_TIME = 2
MAX_POINTERS = 4_096

_log = logging.getLogger(__name__)

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class _Key:
    """What is loaded: an org's version, tied to its files by the manifest's hash."""

    org_id: str
    version: str
    manifest_sha256: str


@dataclass(frozen=True)
class _Failure:
    error: LeadscoreError
    until_seconds: float


class ModelCache:
    """The active versions of the orgs that were asked for lately.

    It holds at most `max_bytes`, or a single version when that alone is larger, and MAX_POINTERS small pointers.
    """

    def __init__(
        self, registry: Registry, max_bytes: int, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry, self._max_bytes, self._metrics, self._clock = registry, max_bytes, metrics, clock
        self._lock = threading.Lock()
        self._loads = threading.BoundedSemaphore(LOADS_AT_A_TIME)
        self._pointers: OrderedDict[str, tuple[Stamp, Pointer]] = OrderedDict()
        self._models: OrderedDict[_Key, tuple[Artifact, int]] = OrderedDict()
        self._flights: dict[_Key, Future[Artifact]] = {}
        self._failures: dict[_Key, _Failure] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._models)

    def pointer(self, org_id: str) -> Pointer:
        """Return the org's pointer as it is now. Raises NoActiveModel or Damaged."""
        stamp = self._registry.pointer_stamp(org_id)
        if stamp is None:
            with self._lock:
                self._pointers.pop(org_id, None)
            raise NoActiveModel("the org has no active model; train it, and see why if nothing was activated")
        known = self._pointers.get(org_id)
        if known is None or known[0] != stamp:
            # the stamp is older than what is read here, so a swap in between is noticed by the next request
            known = (stamp, self._registry.require_active(org_id))
        with self._lock:
            self._pointers[org_id] = known
            self._pointers.move_to_end(org_id)
            if len(self._pointers) > MAX_POINTERS:
                self._pointers.popitem(last=False)
        return known[1]

    def active(self, org_id: str) -> Artifact:
        """Return the org's active version, verified. Raises NoActiveModel or Damaged."""
        pointer = self.pointer(org_id)
        key = _Key(org_id, pointer.version, pointer.manifest_sha256)
        with self._lock:
            if key in self._models:
                self._models.move_to_end(key)
                self._metrics.cache_hits.inc()
                return self._models[key][0]
            self._raise_remembered(key)
            flight, is_first = self._flights.get(key), False
            if flight is None:
                flight, is_first = Future(), True
                self._flights[key] = flight
        if is_first:
            self._load(key, flight)
        return flight.result()

    def _raise_remembered(self, key: _Key) -> None:
        failure = self._failures.get(key)
        if failure and self._clock() < failure.until_seconds:
            raise failure.error.with_traceback(None)

    def _load(self, key: _Key, flight: Future[Artifact]) -> None:
        try:
            artifact = self._read(key)
        except BaseException as error:
            with self._lock:
                self._remember(key, error)
                del self._flights[key]
            flight.set_exception(error)
        else:
            with self._lock:
                self._keep(key, artifact)
                del self._flights[key]
            flight.set_result(artifact)

    def _read(self, key: _Key) -> Artifact:
        with self._loads, self._metrics.load_seconds.time():
            try:
                artifact = self._registry.load(key.org_id, key.version, key.manifest_sha256)
            except VersionNotFound as error:
                raise Damaged(f"the active version {key.version} is gone; roll back or train again") from error
            # derives what the first score would otherwise wait for, so that it is weighed too
            artifact.forest.base_value  # noqa: B018 (the property keeps what it computes)
            artifact.forest.probabilities(np.zeros((1, len(artifact.manifest.contract.features))))
        _log.info("version loaded", extra={"org_id": key.org_id, "version": key.version})
        return artifact

    def _remember(self, key: _Key, error: BaseException) -> None:
        code = error.code if isinstance(error, LeadscoreError) else type(error).__name__
        self._metrics.load_failures.labels(code).inc()
        if isinstance(error, LeadscoreError):
            now = self._clock()
            self._failures = {other: kept for other, kept in self._failures.items() if now < kept.until_seconds}
            self._failures[key] = _Failure(error, now + FAILURE_SECONDS)

    def _keep(self, key: _Key, artifact: Artifact) -> None:
        weight = weight_bytes(artifact.forest)
        self._models[key] = (artifact, weight)
        self._bytes += weight
        while self._bytes > self._max_bytes and len(self._models) > 1:
            _, (_, freed) = self._models.popitem(last=False)
            self._bytes -= freed
            self._metrics.cache_evictions.inc()
        self._metrics.cache_bytes.set(self._bytes)
        self._metrics.cache_entries.set(len(self._models))


def weight_bytes(value: Any) -> int:
    """Return the bytes of all arrays that `value` holds: in fields, in what it derived and kept, in tuples."""
    arrays: dict[int, int] = {}
    _weigh(value, arrays)
    return sum(arrays.values())


def _weigh(value: Any, arrays: dict[int, int]) -> None:
    if isinstance(value, np.ndarray):
        arrays[id(value)] = value.nbytes
    elif isinstance(value, (tuple, list)):
        for part in value:
            _weigh(part, arrays)
    elif is_dataclass(value) and not isinstance(value, type):
        parts = vars(value) if hasattr(value, "__dict__") else {f.name: getattr(value, f.name) for f in fields(value)}
        for part in parts.values():
            _weigh(part, arrays)
