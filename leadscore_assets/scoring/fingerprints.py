"""What a lead's row depends on, as a hash: leads with equal fingerprints have equal scores and equal reasons.

A forest looks at a number only through the thresholds of its splits. So it cannot tell two values with the same rank
among the thresholds of a feature apart, and a lead whose ranks did not change need not be scored again. Counts, flags
and whether a number is known are hashed, too, because the reasons show them as they are.
"""

from __future__ import annotations

import hashlib

import numpy as np

from leadscore.arrays import Flags, Floats
from leadscore_assets.scoring.org_models import OrgModel

DIGEST_BYTES = 16


def fingerprints(model: OrgModel, now: Floats, before: Floats, has_history: Flags) -> list[bytes]:
    """Return the fingerprint of each lead.

    `now` and `before`, shape (leads, features), are its features at the two moments that its score and its trend
    depend on. Without a history, shape (leads,), the second does not count.
    """
    seen = [_ranks(model, now), _ranks(model, before) * has_history[:, None], _facts(model, now), has_history[:, None]]
    rows = np.ascontiguousarray(np.concatenate(seen, axis=1, dtype=np.float64))
    key = hashlib.sha256(model.key.encode()).digest()
    return [hashlib.blake2b(row.tobytes(), key=key, digest_size=DIGEST_BYTES).digest() for row in rows]


def _ranks(model: OrgModel, values: Floats) -> Floats:
    ranks = model.version.scorer.boxes.thresholds.ranks(values.astype(np.float32))
    return ranks.astype(np.float64)


def _facts(model: OrgModel, values: Floats) -> Floats:
    """Return counts and flags as they are, and of numbers whether they are unknown; shape (leads, features)."""
    is_number = np.array([feature.kind == "number" for feature in model.version.manifest.contract.features])
    facts: Floats = np.where(is_number, np.isnan(values), np.nan_to_num(values, nan=-1.0))
    return facts
