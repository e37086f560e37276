"""The model that scores an org's leads now, as the HTTP server serves it: loaded, and moved to the org's base rate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from leadscore.pooling import POOLED, Scope, is_of_the_org
from leadscore.registry.active_model import ActiveModel, active_model, move_to_base_value, present_base_value
from leadscore.registry.store import Registry
from leadscore.registry.version import LoadedVersion


@dataclass(frozen=True)
class OrgModel:
    """A version as it scores one org's leads; models with the same `key` score alike."""

    version: LoadedVersion
    scope: Scope
    key: str

    @property
    def name(self) -> str:
        """The version's id."""
        return self.version.manifest.version

    @property
    def data_version(self) -> str:
        """The data version of `active_model` that stands for it: its id, `pooled:<id>` for the pooled model."""
        return self.name if is_of_the_org(self.scope) else f"pooled:{self.name}"

    @property
    def base_rate(self) -> float:
        """The share of the org's leads that convert: of its own records or, by the pooled model, its base value."""
        own = self.version.manifest.counts.base_rate if is_of_the_org(self.scope) else None
        return self.version.scorer.base_value if own is None else own


class OrgModels:
    """Finds and loads the models of orgs, one after the other; the pooled model is loaded once."""

    def __init__(self, registry: Registry, *, is_pooling: bool) -> None:
        self.registry, self._is_pooling = registry, is_pooling
        self._load_pooled = lru_cache(maxsize=1)(self._load)

    def active(self, org_id: str) -> ActiveModel | None:
        """Return which model scores the org's leads, None when none does. Raises Damaged."""
        return active_model(org_id, self.registry.active, is_pooling=self._is_pooling)

    def of(self, org_id: str) -> OrgModel | None:
        """Return the model that scores the org's leads, None when none does. Raises Damaged or VersionNotFound."""
        model = self.active(org_id)
        if model is None:
            return None
        pointer = model.pointer
        load = self._load_pooled if model.owner == POOLED else self._load
        version = load(model.owner, pointer.version, pointer.manifest_sha256)
        base_value = present_base_value(version, org_id, self.registry)
        served = version if base_value is None else move_to_base_value(version, base_value)
        return OrgModel(
            served, model.scope, f"{model.owner}/{pointer.version}/{pointer.manifest_sha256}/{base_value!r}"
        )

    def _load(self, owner: str, version: str, manifest_sha256: str) -> LoadedVersion:
        return self.registry.load_for_scoring(owner, version, manifest_sha256)
