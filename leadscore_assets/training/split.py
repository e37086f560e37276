"""Which leads are held out: a fixed fifth of all ids, chosen by a hash.

The hash makes the side a property of the lead: all its rows stand on it, in every training, so no version was ever
trained on a lead that it, or a later one, is judged on.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from leadscore.arrays import Flags
from leadscore.records import HOLDOUT_SHARE

__all__ = ["HOLDOUT_SHARE", "holdout_mask", "is_held_out"]

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
