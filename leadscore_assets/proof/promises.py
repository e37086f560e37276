"""What the versions that scored leads had promised: their holdouts' figures, and the question that they answer."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from leadscore.errors import Damaged, VersionNotFound
from leadscore.pooling import POOLED, Scope, scope_of
from leadscore.records import Window
from leadscore.registry.store import Registry


class Promise(NamedTuple):
    """The figures of a version's holdout over all rows, and the gate's verdict; None where it was not judged."""

    brier_score: float | None = None
    roc_auc: float | None = None
    verdict: str | None = None


UNKNOWN = Promise()


class Promises:
    """Reads the registry for what versions promised; the pooled model's windows are read once for all orgs."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._pooled_window_days = lru_cache(maxsize=64)(self._window_days)

    def asks_otherwise(self, org_id: str, version: str, scope: str, window: Window) -> bool:
        """Return whether the version asks for another conversion window; one that cannot be read does not."""
        days = self._pooled_window_days(POOLED, version) if scope == "pooled" else self._window_days(org_id, version)
        return days not in (None, window.conversion_window_days)

    def active(self, org_id: str) -> str | None:
        """Return the org's own version that serves it now, None when none does or that cannot be read."""
        try:
            pointer = self._registry.active(org_id)
        except Damaged:
            return None
        return pointer.version if pointer else None

    def of(self, org_id: str, version: str, scope: str) -> Promise:
        """Return what an own version promised; of the pooled one nothing, since its figures are all orgs'."""
        if scope == "pooled":
            return UNKNOWN
        try:
            judgement = self._registry.judgement(org_id, version)
        except (Damaged, VersionNotFound):
            return UNKNOWN
        if judgement is None:
            return UNKNOWN
        metrics = judgement.report.metrics
        return Promise(metrics.brier_score, metrics.roc_auc, judgement.decision.verdict)

    def scope(self, org_id: str, version: str) -> Scope:
        """Return what a version of the org is: own or taught; own where that cannot be read."""
        try:
            return scope_of(org_id, self._registry.manifest(org_id, version).stands_on)
        except (Damaged, VersionNotFound):
            return "own"

    def _window_days(self, owner: str, version: str) -> int | None:
        try:
            return self._registry.manifest(owner, version).window.conversion_window_days
        except (Damaged, VersionNotFound):
            return None
