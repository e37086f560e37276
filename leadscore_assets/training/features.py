"""Checking and typing extracted rows against the feature contract: bad rows are set aside and counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from leadscore.artifact import sha256_of
from leadscore.features import Contract
from leadscore.records import RecordCounts, Window
from leadscore_assets.source.extraction import ConversionRecords
from leadscore_assets.training.snapshot import snapshot_bytes
from leadscore_assets.training.split import holdout_mask


@dataclass(frozen=True)
class FeatureRows:
    """Rows that fit `contract`.

    `rows` has lead_id, created_on (YYYY-MM-DD), landmark_days, converted, is_held_out (0 or 1) and one float64 column
    per feature.
    """

    KEYS: ClassVar = ("lead_id", "created_on", "landmark_days", "converted", "is_held_out")

    rows: pd.DataFrame
    counts: RecordCounts
    window: Window
    contract: Contract

    def matrix(self) -> npt.NDArray[np.float64]:
        """Return the feature vectors, shape (rows, features), NaN for unknown."""
        return feature_matrix(self.rows, self.contract)

    def holdout_mask(self) -> npt.NDArray[np.bool_]:
        """Return which rows belong to held-out leads, shape (rows,)."""
        return np.asarray(self.rows["is_held_out"], dtype=bool)

    def outcomes(self) -> npt.NDArray[np.bool_]:
        """Return whether each row's lead converted, shape (rows,)."""
        return np.asarray(self.rows["converted"], dtype=bool)


def feature_matrix(rows: pd.DataFrame, contract: Contract) -> npt.NDArray[np.float64]:
    """Return the contract's columns of `rows`, shape (rows, features), in the contract's order."""
    return np.asarray(rows[list(contract.names)], dtype=np.float64)


def check_rows(records: ConversionRecords, contract: Contract) -> FeatureRows:
    """Return the rows that keep the contract, with the others counted by reason and the records counted again."""
    rows = records.rows
    columns = {name: rows[name].to_numpy(dtype=np.float64) for name in contract.names}
    reasons = contract.bad_rows(columns)
    is_bad = np.zeros(len(rows), dtype=bool)
    for broken in reasons.values():
        is_bad |= broken
    good = rows[~is_bad].reset_index(drop=True)
    good.insert(4, "is_held_out", holdout_mask(good["lead_id"]).astype(np.int64))
    leads = good.drop_duplicates("lead_id")
    return FeatureRows(
        rows=good,
        window=records.window,
        contract=contract,
        counts=msgspec.structs.replace(
            records.counts,
            records=len(leads),
            converted_records=int(leads["converted"].sum()),
            rows=len(good),
            set_aside=records.counts.set_aside | {reason: int(broken.sum()) for reason, broken in reasons.items()},
            fingerprint=sha256_of(snapshot_bytes(good, contract)),
        ),
    )
