"""What a lead's row depends on, as a hash: leads with equal fingerprints have equal scores and equal reasons.

A forest looks at a number only through the thresholds of its splits. So it cannot tell two values with the same rank
among the thresholds of a feature apart, and a lead whose ranks did not change need not be scored again. The values are
hashed, too, as finely as the reasons show them; only the age is not, which the reasons compute from the creation.
"""

from __future__ import annotations

import hashlib

import numpy as np

from leadscore.arrays import Floats
from leadscore_assets.scoring.leads_to_score import Leads
from leadscore_assets.scoring.org_models import OrgModel

DIGEST_BYTES = 16
UNKNOWN = -1e300  # lower than any value


def fingerprints(model: OrgModel, leads: Leads) -> list[bytes]:
    """Return the fingerprint of each lead: of its creation, and of its features now and, with a history, before."""
    has_history = leads.has_history[:, None]
    seen = [_ranks(model, leads.now), _ranks(model, leads.before) * has_history, shown(model, leads.now), has_history]
    rows = np.ascontiguousarray(np.concatenate(seen, axis=1, dtype=np.float64))
    key = hashlib.sha256(model.key.encode()).digest()
    return [
        hashlib.blake2b(created_at.encode() + row.tobytes(), key=key, digest_size=DIGEST_BYTES).digest()
        for created_at, row in zip(leads.created_at, rows, strict=True)
    ]


def _ranks(model: OrgModel, values: Floats) -> Floats:
    ranks = model.version.scorer.boxes.thresholds.ranks(values.astype(np.float32))
    return ranks.astype(np.float64)


def shown(model: OrgModel, values: Floats) -> Floats:
    """Return the values as finely as the reasons show them, 0 for the age; shape (leads, features)."""
    contract = model.version.manifest.contract
    digits = np.array([10.0 if feature.unit == "ratio" else 1.0 for feature in contract.features])
    rounded: Floats = np.nan_to_num(np.floor(values * digits + 0.5), nan=UNKNOWN)
    if contract.age_place is not None:
        rounded[:, contract.age_place] = 0.0
    return rounded
