"""The pooled version that an org's training begins with: which one it is, and when there is none.

An org with OWN_FROM_RECORDS records or more learns from its own leads alone: up to some 3,000 the taught forest was
better than the org's own on all data measured, from 4,000 the own one is on most (`benchmarks.models.small_orgs`). So
does an org whose leads are so unlike the others' that the taught forest surely says less than the org's base rate.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import msgspec
import numpy as np

from leadscore.errors import Damaged, NotKept, UnsupportedFormat, VersionNotFound, VersionRemoved
from leadscore.forest import Forest
from leadscore.pooling import POOLED, StandsOn
from leadscore.registry.safetensors import decode_arrays
from leadscore.registry.store import Registry
from leadscore.registry.version import FOREST_FILE, POOLED_VALUES_FILE, Manifest
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.training.split import training_rows
from leadscore_assets.training.teaching import Lesson, gain_over_base_rate
from leadscore_assets.training.teaching_strength import USUAL

OWN_FROM_RECORDS = 4_000
# in standard errors
SURE = 2.0
VALUES = "value"
# the parameters of the pooled version that say how its trees were grown
_OF_THE_TREES = ("n_estimators", "max_depth", "min_samples_split", "min_samples_leaf", "random_state", "shape")


class Teacher(NamedTuple):
    """A pooled version: its name, its forest, how many rows its word is worth, and how its trees were grown."""

    stands_on: StandsOn
    forest: Forest
    strength: float
    parameters: dict[str, object]


def teacher_for(registry: Registry, org_id: str, features: FeatureRows, log: logging.Logger) -> Teacher | None:
    """Return the pooled version that the org's training begins with; None, with the reason in the log, for none.

    A pooled version that cannot be read is no fault of the org, which then learns from its own leads alone. Raises
    UnsupportedFormat when a newer release wrote it.
    """
    if org_id == POOLED:
        return None
    if features.counts.records >= OWN_FROM_RECORDS:
        log.info("%d records are enough for a forest of the org's own", features.counts.records)
        return None
    try:
        return _active(registry, features, log)
    except UnsupportedFormat:
        raise
    except (Damaged, NotKept, VersionNotFound, VersionRemoved) as error:
        log.warning("the pooled model cannot be read, so the org learns from its own leads alone: %s", error.message)
        return None


def _active(registry: Registry, features: FeatureRows, log: logging.Logger) -> Teacher | None:
    pointer = registry.active(POOLED)
    if pointer is None:
        log.info("the pooled model has no active version, so the org learns from its own leads alone")
        return None
    manifest = registry.manifest(POOLED, pointer.version, pointer.manifest_sha256)
    if not _asks_alike(manifest, features):
        log.warning(
            "the pooled version %s was trained with other features, other outcomes or another SQL of the records, so"
            " the org learns from its own leads alone; train the pooled model",
            manifest.version,
        )
        return None
    since = registry.org_record(POOLED).lead_ids_since
    if since is not None and manifest.window.as_of < since:
        log.warning(
            "leads may have got other ids since the pooled version %s was trained, so that it may know leads that are"
            " held out now; the org learns from its own leads alone; train the pooled model",
            manifest.version,
        )
        return None
    teacher = _from_version(registry, manifest, pointer.manifest_sha256)
    gain, error = gain_over_base_rate(Lesson.of(teacher.forest, *training_rows(features)), teacher.strength)
    if gain < -SURE * error:
        log.warning(
            "taught by the org's leads, the pooled version %s says less of others of them than the base rate (Brier"
            " score worse by %.4f), so the org learns from its own leads alone",
            manifest.version,
            -gain,
        )
        return None
    return teacher


def _from_version(registry: Registry, manifest: Manifest, manifest_sha256: str) -> Teacher:
    arrays = decode_arrays(registry.file(POOLED, manifest.version, FOREST_FILE), FOREST_FILE)
    forest = Forest.from_arrays(arrays, len(manifest.contract.features))
    strength = float(manifest.parameters.get("teaching", {}).get("strength", USUAL))
    return Teacher(StandsOn(manifest.version, manifest_sha256), forest, strength, _of_the_trees(manifest))


def _of_the_trees(manifest: Manifest) -> dict[str, object]:
    return {name: manifest.parameters[name] for name in _OF_THE_TREES if name in manifest.parameters}


def _asks_alike(manifest: Manifest, features: FeatureRows) -> bool:
    """Return whether the pooled version answers the org's question, from the same features of the same records.

    Another SQL may give leads other ids, and so another side of the split.
    """
    window = msgspec.structs.replace(manifest.window, training_window_days=features.window.training_window_days)
    ours = (manifest.contract_fingerprint, manifest.counts.sql_sha256)
    return window.asks_as(features.window) and ours == (features.contract.fingerprint, features.counts.sql_sha256)


def kept_teacher(registry: Registry, org_id: str, manifest: Manifest) -> Teacher | None:
    """Return the teacher of a version from the copy that the version keeps; None where it was not taught.

    The pooled version itself may be gone. Raises Damaged or NotKept.
    """
    if manifest.stands_on is None:
        return None
    arrays = decode_arrays(registry.file(org_id, manifest.version, FOREST_FILE), FOREST_FILE)
    values = decode_arrays(registry.file(org_id, manifest.version, POOLED_VALUES_FILE), POOLED_VALUES_FILE)
    if values.keys() != {VALUES}:
        raise Damaged(f"{POOLED_VALUES_FILE} does not hold the pooled forest's values; train again")
    pooled = arrays | {VALUES: values[VALUES].astype(np.float64)}
    forest = Forest.from_arrays(pooled, len(manifest.contract.features))
    strength = float(manifest.parameters["teaching_strength"])
    return Teacher(manifest.stands_on, forest, strength, _of_the_trees(manifest))
