"""Which leads are held out: a fixed fifth of all ids, chosen by a hash.

The hash makes the side a property of the lead: all its rows stand on it, in every training, so no version was ever
trained on a lead that it, or a later one, is judged on.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from leadscore.arrays import Flags, Floats, Indices
from leadscore.records import HOLDOUT_SHARE
from leadscore_assets.dataset import FeatureRows

__all__ = ["HOLDOUT_SHARE", "holdout_mask", "is_held_out", "training_rows"]

_HASH_BYTES = 8
_HOLDOUT_BELOW = int(HOLDOUT_SHARE * 256**_HASH_BYTES)


def is_held_out(lead_id: str) -> bool:
    """Return whether the lead belongs to the holdout."""
    digest = hashlib.sha256(lead_id.encode()).digest()[:_HASH_BYTES]
    return int.from_bytes(digest, "big") < _HOLDOUT_BELOW


def holdout_mask(lead_ids: pd.Series) -> Flags:
    """Return, shape (rows,), which rows belong to held-out leads."""
    sides = {lead_id: is_held_out(lead_id) for lead_id in lead_ids.unique()}
    return np.array([sides[lead_id] for lead_id in lead_ids], dtype=bool)


def training_rows(features: FeatureRows) -> tuple[Floats, Flags, Indices]:
    """Return the rows outside the holdout, shape (rows, features), their outcomes, and their leads counted from 0."""
    is_training = ~features.holdout_mask()
    leads: Indices = pd.factorize(features.rows["lead_id"][is_training])[0]
    return features.matrix()[is_training], features.outcomes()[is_training], leads
