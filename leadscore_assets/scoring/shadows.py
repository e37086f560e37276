"""Shadows: versions that score an org's leads beside the one that serves them, and whose scores nobody sees.

They are the org's newest held version and the version that was active before. What becomes of the leads shows later
whether the gate was right, and whether an older version would do better. A shadow that cannot be read or asks for other
features is left out: nothing depends on it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from leadscore.arrays import Floats, Indices
from leadscore.errors import Damaged, VersionNotFound, VersionRemoved
from leadscore.pooling import is_of_the_org
from leadscore.registry.old_versions import newest_held
from leadscore.registry.store import Registry
from leadscore.registry.version import LoadedVersion
from leadscore_assets.scoring.leads_to_score import Leads
from leadscore_assets.scoring.org_models import OrgModel


class Shadow(NamedTuple):
    """What a version says of leads, shape (leads,); an empty version and NaN where there is none."""

    version: str
    probabilities: Floats

    @classmethod
    def none(cls, leads: int) -> Shadow:
        """Return what stands for no shadow."""
        return cls("", np.full(leads, np.nan))


class Shadows(NamedTuple):
    """What the newest held version and the version that was active before say."""

    held: Shadow
    previous: Shadow


def shadows(registry: Registry, org_id: str, model: OrgModel, leads: Leads, places: Indices) -> Shadows:
    """Return what the org's shadows say of the leads at these places."""
    own = model.name if is_of_the_org(model.scope) else ""
    return Shadows(
        _shadow(registry, org_id, newest_held(registry, org_id, own), model, leads.now[places]),
        _shadow(registry, org_id, _previous(registry, org_id, own), model, leads.now[places]),
    )


def _previous(registry: Registry, org_id: str, active: str) -> str | None:
    if not active:
        return None
    try:
        pointer = registry.active(org_id)
    except Damaged:
        return None
    return pointer.previous if pointer else None


def _shadow(registry: Registry, org_id: str, version: str | None, model: OrgModel, features: Floats) -> Shadow:
    loaded = _loaded(registry, org_id, version) if version and len(features) else None
    if loaded is None or not _asks_alike(loaded, model.version):
        return Shadow.none(len(features))
    return Shadow(loaded.manifest.version, loaded.scorer.probabilities(features))


def _asks_alike(shadow: LoadedVersion, served: LoadedVersion) -> bool:
    """Return whether both versions answer the same question from the same features."""
    ours, theirs = shadow.manifest, served.manifest
    return (ours.contract.names, ours.window.conversion_window_days) == (
        theirs.contract.names,
        theirs.window.conversion_window_days,
    )


def _loaded(registry: Registry, org_id: str, version: str) -> LoadedVersion | None:
    try:
        return registry.load_for_scoring(org_id, version, registry.manifest_sha256(org_id, version))
    except (Damaged, VersionNotFound, VersionRemoved):
        return None
