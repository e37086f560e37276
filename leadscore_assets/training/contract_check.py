"""Checking and typing extracted rows against the feature contract: bad rows are set aside and counted."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np

from leadscore.features import Contract
from leadscore.registry.durable_files import sha256_of
from leadscore_assets.dataset import ConversionRecords, FeatureRows, count_leads
from leadscore_assets.training.snapshot import snapshot_bytes
from leadscore_assets.training.split import holdout_mask


def check_rows(records: ConversionRecords, contract: Contract) -> FeatureRows:
    """Return the rows that keep the contract, with the others counted by reason and the records counted again."""
    rows = records.rows
    columns = {name: rows[name].to_numpy(dtype=np.float64) for name in contract.names}
    reasons = contract.bad_rows(columns)
    is_bad = np.zeros(len(rows), dtype=bool)
    for broken in reasons.values():
        is_bad |= broken
    good = rows[~is_bad].reset_index(drop=True)
    good.insert(len(records.KEYS), "is_held_out", holdout_mask(good["lead_id"]).astype(np.int64))
    counts = msgspec.structs.replace(
        records.counts,
        set_aside={reason: int(broken.sum()) for reason, broken in reasons.items()},
        set_aside_rows=int(is_bad.sum()),
        lost_records=records.counts.records - good["lead_id"].nunique(),
    )
    return counted(FeatureRows(rows=good, counts=counts, window=records.window, contract=contract))


def counted(features: FeatureRows) -> FeatureRows:
    """Return the same rows, counted again and with their fingerprint: rows of leads may have been erased since."""
    leads, converted_leads = count_leads(features.rows)
    counts = msgspec.structs.replace(
        features.counts,
        records=leads,
        converted_records=converted_leads,
        rows=len(features.rows),
        fingerprint=sha256_of(snapshot_bytes(features.rows, features.contract)),
    )
    return replace(features, counts=counts)
