"""The versions that this process holds in memory: verified, bounded by bytes, the least recently used leave first.

The pointer is looked at for every request, at the cost of one `stat`, so a version that was just activated is served
by the next request, or a second later from an object store. A version is loaded once however many requests wait for
it, and what a request holds stays valid when it leaves the cache. A version that cannot be verified never answers; for
a moment the failure is remembered, so that a flood of requests does not read the damaged files again and again.

Which model scores an org is decided by `leadscore.registry.active_model`. A pooled version that was moved to an org's
base value shares all arrays but the leaves' values with the others, and each array is counted once.

Processes that share a folder of mapped files map the same pages, and only the first of them reads and verifies a
version's arrays. A version that leaves one of them leaves the folder; a process that has mapped it keeps it.
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

from leadscore.errors import Damaged, LeadscoreError, RegistryUnavailable, VersionNotFound, VersionRemoved
from leadscore.pooling import POOLED
from leadscore.registry.active_model import (
    ActiveModel,
    active_model,
    move_to_base_value,
    no_active_model,
    present_base_value,
)
from leadscore.registry.storage import Stamp
from leadscore.registry.store import Pointer, Registry
from leadscore.registry.version import LoadedVersion
from serving.models.mapped_files import MappedFiles
from serving.models.nbytes import nbytes_by_array
from serving.telemetry.metrics import Metrics

FAILURE_SECONDS = 5.0
# loading takes several times a version's own memory for a moment
LOADS_AT_A_TIME = 2
MAX_POINTERS = 4_096

_log = logging.getLogger(__name__)


class _Key(NamedTuple):
    """What is loaded: an org's version, tied to its files by the manifest's hash, or moved to another base value."""

    owner: str
    version: str
    manifest_sha256: str
    base_value: float | None = None


@dataclass(frozen=True)
class _Failure:
    error: LeadscoreError
    until_seconds: float


class ModelCache:
    """The active versions of the orgs whose leads were scored lately.

    It holds at most `max_bytes`, or a single version when that alone is larger, and MAX_POINTERS small pointers. With
    `is_pooling` the pooled model serves orgs that have no active version.
    """

    def __init__(
        self,
        registry: Registry,
        max_bytes: int,
        metrics: Metrics,
        files: MappedFiles,
        clock: Callable[[], float] = time.monotonic,
        *,
        is_pooling: bool = False,
    ) -> None:
        self._registry, self._max_bytes, self._metrics, self._clock = registry, max_bytes, metrics, clock
        self._files = files
        self._is_pooling = is_pooling
        self._lock = threading.Lock()
        self._loads = threading.BoundedSemaphore(LOADS_AT_A_TIME)
        self._pointers: OrderedDict[str, tuple[Stamp, Pointer | None]] = OrderedDict()
        self._models: OrderedDict[_Key, tuple[LoadedVersion, dict[int, int]]] = OrderedDict()
        self._holders: Counter[int] = Counter()
        self._flights: dict[_Key, Future[LoadedVersion]] = {}
        self._failures: dict[_Key, _Failure] = {}
        self._bytes = self._hits = 0

    def __len__(self) -> int:
        return len(self._models)

    def active_model(self, org_id: str) -> ActiveModel:
        """Return the pointer to the version that scores the org's leads, and whose it is.

        Raises NoActiveModel, or Damaged when the org's own pointer is: another model never takes its place.
        """
        found = active_model(org_id, self._pointer, is_pooling=self._is_pooling)
        if found is None:
            raise no_active_model(is_pooled=False)
        return found

    def is_at_hand(self, org_id: str) -> bool:
        """Return whether `active` would answer without a request to another machine; it may raise all the same."""
        at_hand = self._registry.is_at_hand
        try:
            if not at_hand(org_id):
                return False
            is_pooled = self._is_pooling and self._pointer(org_id) is None
            if is_pooled and not (at_hand(POOLED) and at_hand(org_id, is_record=True)):
                return False
            owner, pointer = self.active_model(org_id)
        except LeadscoreError:
            return False
        return _Key(owner, pointer.version, pointer.manifest_sha256) in self._models

    def own_pointer(self, org_id: str) -> Pointer:
        """Return the pointer to the org's own active version. Raises NoActiveModel or Damaged."""
        pointer = self._pointer(org_id)
        if pointer is None:
            raise no_active_model(is_pooled=self._is_pooling and self._registry.pointer_stamp(POOLED) is not None)
        return pointer

    def active(self, org_id: str) -> LoadedVersion:
        """Return the version that scores the org's leads, verified. Raises NoActiveModel or Damaged."""
        owner, pointer = self.active_model(org_id)
        key = _Key(owner, pointer.version, pointer.manifest_sha256)
        version = self._in_memory(key) or self._loaded(key, lambda: self._read(key))
        base_value = present_base_value(version, org_id, self._registry) if version.base_values else None
        if base_value is None:
            return version
        moved_key = key._replace(base_value=base_value)
        return self._in_memory(moved_key) or self._loaded(moved_key, lambda: move_to_base_value(version, base_value))

    def warm_up(self, seconds: float) -> None:
        """Load active versions, those activated last first, until the time is over or half of the memory is taken.

        The pooled model comes before them, since it may score the leads of many orgs. A version that cannot be loaded
        now is an error for the request that asks for it.
        """
        if not seconds:
            return
        try:
            owners = [*([POOLED] if self._is_pooling else []), *self._registry.active_orgs()]
        except (OSError, RegistryUnavailable) as error:
            reason = error.strerror if isinstance(error, OSError) else error.message
            _log.warning("no version is loaded before the start: the model registry cannot be read (%s)", reason)
            return
        until_seconds = self._clock() + seconds
        for owner in owners:
            if self._clock() >= until_seconds or self._bytes >= self._max_bytes / 2:
                return
            self._load_early(owner)

    def take_hits(self) -> int:
        """Return how many look-ups found a loaded version since this was called last."""
        with self._lock:
            hits, self._hits = self._hits, 0
        return hits

    def _load_early(self, owner: str) -> None:
        try:
            if self._pointer(owner) is not None:
                self.active(owner)
        except LeadscoreError as error:
            _log.warning("a version could not be loaded before the start: %s", error.message, extra={"org_id": owner})
        except Exception:
            # whatever is wrong with one org's version must not keep the server from starting
            _log.exception("a version could not be loaded before the start", extra={"org_id": owner})

    def _pointer(self, owner: str) -> Pointer | None:
        """Return the pointer that is kept under the id, read again when it was swapped; None without one."""
        stamp = self._registry.stamp(self._registry.pointer_place(owner))  # as pointer_stamp, a call less
        known = self._pointers.get(owner)
        if known is not None and known[0] == stamp:
            with self._lock:
                if owner in self._pointers:  # another thread may have let it go just now
                    self._pointers.move_to_end(owner)
            return known[1]
        # the stamp is older than what is read here, so a swap in between is noticed by the next request
        pointer = None if stamp is None else self._registry.active(owner)
        with self._lock:
            if stamp is None:
                if self._pointers.pop(owner, None):
                    self._forget(owner)
                return None
            self._pointers[owner] = stamp, pointer
            if len(self._pointers) > MAX_POINTERS:
                self._pointers.popitem(last=False)
        return pointer

    def _in_memory(self, key: _Key) -> LoadedVersion | None:
        with self._lock:
            found = self._models.get(key)
            if found is None:
                return None
            self._models.move_to_end(key)
            self._hits += 1
        return found[0]

    def _loaded(self, key: _Key, load: Callable[[], LoadedVersion]) -> LoadedVersion:
        """Return what `load` gives, which is called once for all requests that wait."""
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
            version = load()
        except BaseException as error:
            with self._lock:
                self._remember(key, error)
                del self._flights[key]
            flight.set_exception(error)
        else:
            with self._lock:
                self._keep(key, version)
                del self._flights[key]
            flight.set_result(version)

    def _read(self, key: _Key) -> LoadedVersion:
        with self._loads, self._metrics.load_seconds.time():
            try:
                version = self._registry.load_for_scoring(key.owner, key.version, key.manifest_sha256, self._files.map)
            except (VersionNotFound, VersionRemoved) as error:
                raise Damaged(
                    f"the active version {key.version} no longer exists; roll back to another version or train again"
                ) from error
            # now, so that what is derived is counted too
            if version.base_values:
                version.scorer.mean_of_leaves()
            version.scorer.prepare()
        self._metrics.cache_loads.inc()
        _log.info("version loaded", extra={"org_id": key.owner, "version": key.version})
        return version

    def _remember(self, key: _Key, error: BaseException) -> None:
        code = error.code if isinstance(error, LeadscoreError) else type(error).__name__
        self._metrics.load_failures.labels(code).inc()
        if isinstance(error, LeadscoreError):
            now = self._clock()
            self._failures = {other: kept for other, kept in self._failures.items() if now < kept.until_seconds}
            self._failures[key] = _Failure(error, now + FAILURE_SECONDS)

    def _keep(self, key: _Key, version: LoadedVersion) -> None:
        arrays = nbytes_by_array(version.scorer)
        self._models[key] = (version, arrays)
        self._bytes += sum(nbytes for array, nbytes in arrays.items() if array not in self._holders)
        self._holders.update(arrays.keys())
        while self._bytes > self._max_bytes and len(self._models) > 1:
            self._let_go(next(iter(self._models)))
            self._metrics.cache_evictions.inc()
        self._show_size()

    def _forget(self, owner: str) -> None:
        """Let go of the versions of an org that was removed from the registry."""
        for key in [key for key in self._models if key.owner == owner]:
            self._let_go(key)
        self._show_size()

    def _let_go(self, key: _Key) -> None:
        """Remove a version; count what it gives back: the arrays that no other version holds."""
        version, arrays = self._models.pop(key)
        if version.sha256:
            self._files.forget(version.sha256)
        for array, nbytes in arrays.items():
            self._holders[array] -= 1
            if not self._holders[array]:
                del self._holders[array]
                self._bytes -= nbytes

    def _show_size(self) -> None:
        self._metrics.cache_bytes.set(self._bytes)
        self._metrics.cache_entries.set(len(self._models))
