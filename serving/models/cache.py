"""The versions that this process holds in memory: verified, bounded by bytes, the least recently used leave first.

The pointer is looked at for every request, at the cost of one `stat`, so a version that was just activated is served
by the next request. A version is loaded once however many requests wait for it, and what a request holds stays
valid when it leaves the cache. A version that cannot be verified is never answered with; for a moment the failure is
remembered, so that a flood of requests does not read the damaged files again and again.

An org without an active version of its own is served by the pooled model, if there is one, moved to the org's base
value. Such forests share all arrays but the leaves' values, and each array is weighed once.

Processes that serve from one folder of copies map the same pages, and only the first of them reads and verifies a
version's arrays. A version that leaves one of them leaves the folder; whoever has mapped it keeps it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from leadscore.errors import Damaged, LeadscoreError, NoActiveModel, VersionNotFound
from leadscore.pooling import POOLED, shift_to_base_value
from leadscore.registry.store import Pointer, Registry
from leadscore.registry.version import LoadedVersion
from serving.models.mapped_files import MappedFiles
from serving.models.nbytes import arrays_in
from serving.telemetry.metrics import Metrics

FAILURE_SECONDS = 5.0
# loading takes several times a version's own memory for a moment
LOADS_AT_A_TIME = 2
MAX_POINTERS = 4_096

_NO_MODEL = "the org has no active model; train it, and see why if nothing was activated"
_NO_MODEL_BUT_POOLED = (
    "the org has no active model of its own, and the pooled model scores its leads; train it, and see why if nothing"
    " was activated"
)

_log = logging.getLogger(__name__)

Stamp = tuple[int, int, int]


class _Key(NamedTuple):
    """What is loaded: an org's version, tied to its files by the manifest's hash, or moved to another base value."""

    org_id: str
    version: str
    manifest_sha256: str
    base_value: float | None = None


class _Known(NamedTuple):
    """A pointer as it was read, the stamp that it had then, and the key of its version."""

    stamp: Stamp
    pointer: Pointer
    key: _Key


@dataclass(frozen=True)
class _Failure:
    error: LeadscoreError
    until_seconds: float


class ModelCache:
    """The active versions of the orgs that were asked for lately.

    It holds at most `max_bytes`, or a single version when that alone is larger, and MAX_POINTERS small pointers. With
    `is_pooling` the pooled model serves orgs that have no active version.
    """

    def __init__(
        self,
        registry: Registry,
        max_bytes: int,
        metrics: Metrics,
        copies: MappedFiles,
        clock: Callable[[], float] = time.monotonic,
        *,
        is_pooling: bool = False,
    ) -> None:
        self._registry, self._max_bytes, self._metrics, self._clock = registry, max_bytes, metrics, clock
        self._copies = copies
        self._is_pooling = is_pooling
        self._lock = threading.Lock()
        self._loads = threading.BoundedSemaphore(LOADS_AT_A_TIME)
        self._pointers: OrderedDict[str, _Known] = OrderedDict()
        self._models: OrderedDict[_Key, tuple[LoadedVersion, dict[int, int]]] = OrderedDict()
        self._holders: Counter[int] = Counter()
        self._flights: dict[_Key, Future[LoadedVersion]] = {}
        self._failures: dict[_Key, _Failure] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._models)

    def pointer(self, org_id: str) -> Pointer:
        """Return the org's own pointer as it is now. Raises NoActiveModel or Damaged."""
        return self._known(org_id).pointer

    def serving(self, org_id: str) -> tuple[str, Pointer]:
        """Return whose model scores the org's leads, its own or POOLED, and that one's pointer.

        Raises NoActiveModel, or Damaged when the org's own pointer is: another model never takes its place.
        """
        known = self._serving(org_id)
        return known.key.org_id, known.pointer

    def active(self, org_id: str) -> LoadedVersion:
        """Return the version that scores the org's leads, verified. Raises NoActiveModel or Damaged."""
        key = self._serving(org_id).key
        model = self._in_memory(key) or self._loaded(key, lambda: self._read(key))
        if model.base_values is None or org_id not in model.base_values.orgs:
            return model
        base_value = model.base_values.orgs[org_id]
        moved_key = key._replace(base_value=base_value)
        return self._in_memory(moved_key) or self._loaded(moved_key, lambda: _moved(model, base_value))

    def warm_up(self, seconds: float) -> None:
        """Load active versions, those activated last first, until the time is over or half of the memory is taken.

        What cannot be loaded now is told whoever asks for it.
        """
        if not seconds:
            return
        try:
            org_ids = self._registry.active_orgs()
        except OSError as error:
            _log.warning("no version is loaded early: the model registry cannot be read (%s)", error.strerror)
            return
        until_seconds = self._clock() + seconds
        for org_id in org_ids:
            if self._clock() >= until_seconds or self._bytes >= self._max_bytes / 2:
                return
            if org_id != POOLED or self._is_pooling:
                self._load_early(org_id)

    def _load_early(self, org_id: str) -> None:
        try:
            self.active(org_id)
        except LeadscoreError as error:
            _log.warning("a version is not loaded early: %s", error.message, extra={"org_id": org_id})
        except Exception:
            # whatever is wrong with one org's version must not keep the server from starting
            _log.exception("a version is not loaded early", extra={"org_id": org_id})

    def _known(self, org_id: str) -> _Known:
        stamp = self._registry.pointer_stamp(org_id)
        if stamp is None:
            with self._lock:
                self._pointers.pop(org_id, None)
            raise NoActiveModel(_NO_MODEL_BUT_POOLED if org_id != POOLED and self._has_pooled_model() else _NO_MODEL)
        known = self._pointers.get(org_id)
        if known is None or known.stamp != stamp:
            # the stamp is older than what is read here, so a swap in between is noticed by the next request
            pointer = self._registry.require_active(org_id)
            known = _Known(stamp, pointer, _Key(org_id, pointer.version, pointer.manifest_sha256))
        with self._lock:
            self._pointers[org_id] = known
            self._pointers.move_to_end(org_id)
            if len(self._pointers) > MAX_POINTERS:
                self._pointers.popitem(last=False)
        return known

    def _serving(self, org_id: str) -> _Known:
        try:
            return self._known(org_id)
        except NoActiveModel:
            if not self._has_pooled_model():
                raise
            return self._known(POOLED)

    def _has_pooled_model(self) -> bool:
        return self._is_pooling and self._registry.pointer_stamp(POOLED) is not None

    def _in_memory(self, key: _Key) -> LoadedVersion | None:
        with self._lock:
            found = self._models.get(key)
            if found is None:
                return None
            self._models.move_to_end(key)
        self._metrics.count_hit()
        return found[0]

    def _loaded(self, key: _Key, load: Callable[[], LoadedVersion]) -> LoadedVersion:
        """Return what `load` gives, which is called once for all who wait."""
        with self._lock:
            if key in self._models:
                return self._models[key][0]
            self._raise_remembered(key)
            flight, is_first = self._flights.get(key), False
            if flight is None:
                flight, is_first = Future(), True
                self._flights[key] = flight
        if is_first:
            self._load(key, load, flight)
        return flight.result()

    def _raise_remembered(self, key: _Key) -> None:
        failure = self._failures.get(key)
        if failure and self._clock() < failure.until_seconds:
            raise failure.error.with_traceback(None)

    def _load(self, key: _Key, load: Callable[[], LoadedVersion], flight: Future[LoadedVersion]) -> None:
        try:
            model = load()
        except BaseException as error:
            with self._lock:
                self._remember(key, error)
                del self._flights[key]
            flight.set_exception(error)
        else:
            with self._lock:
                self._keep(key, model)
                del self._flights[key]
            flight.set_result(model)

    def _read(self, key: _Key) -> LoadedVersion:
        with self._loads, self._metrics.load_seconds.time():
            try:
                model = self._registry.load_for_scoring(key.org_id, key.version, key.manifest_sha256, self._copies.map)
            except VersionNotFound as error:
                raise Damaged(f"the active version {key.version} is gone; roll back or train again") from error
            # now, so that what is derived is weighed too
            if model.base_values:
                model.scorer.mean_of_leaves()
            model.scorer.prepare()
        self._metrics.cache_loads.inc()
        _log.info("version loaded", extra={"org_id": key.org_id, "version": key.version})
        return model

    def _remember(self, key: _Key, error: BaseException) -> None:
        code = error.code if isinstance(error, LeadscoreError) else type(error).__name__
        self._metrics.load_failures.labels(code).inc()
        if isinstance(error, LeadscoreError):
            now = self._clock()
            self._failures = {other: kept for other, kept in self._failures.items() if now < kept.until_seconds}
            self._failures[key] = _Failure(error, now + FAILURE_SECONDS)

    def _keep(self, key: _Key, model: LoadedVersion) -> None:
        arrays = arrays_in(model.scorer)
        self._models[key] = (model, arrays)
        self._bytes += sum(weight for array, weight in arrays.items() if array not in self._holders)
        self._holders.update(arrays.keys())
        while self._bytes > self._max_bytes and len(self._models) > 1:
            _, (evicted, freed) = self._models.popitem(last=False)
            self._release(freed)
            if evicted.sha256:
                self._copies.forget(evicted.sha256)
            self._metrics.cache_evictions.inc()
        self._metrics.cache_bytes.set(self._bytes)
        self._metrics.cache_entries.set(len(self._models))

    def _release(self, arrays: dict[int, int]) -> None:
        """Count what a version that left gives back: the arrays that no other version holds."""
        for array, weight in arrays.items():
            self._holders[array] -= 1
            if not self._holders[array]:
                del self._holders[array]
                self._bytes -= weight


def _moved(model: LoadedVersion, base_value: float) -> LoadedVersion:
    return msgspec.structs.replace(model, scorer=shift_to_base_value(model.scorer, base_value), sha256=None)
