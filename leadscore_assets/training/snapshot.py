"""The snapshot: the rows on which a version was trained and judged, stored with it without personal data.

Leads are numbered in the order of their rows; ids, names and texts stay in the CRM. What a training needs is all
there: the side of the split, the day of creation, the age, the outcome, the features, and of pooled rows the org. The
hash of its bytes is the records' fingerprint, so that equal fingerprints mean equal rows; and a training can be
repeated from it when the CRM has moved on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leadscore.arrays import Indices, Texts
from leadscore.features import Contract
from leadscore.registry.safetensors import COMPRESSED, encode_arrays
from leadscore_assets.dataset import ORG_COLUMN

SNAPSHOT_FILE = "records.safetensors" + COMPRESSED
SNAPSHOT_FILES = (SNAPSHOT_FILE, "records.safetensors")  # the latter up to format 6
_ORG_NUMBER, _ORG_IDS = "org_number", "org_ids"
EPOCH = np.datetime64("1970-01-01", "D")
_FEATURE = "feature:"

Arrays = dict[str, npt.NDArray[Any]]


def snapshot_bytes(rows: pd.DataFrame, contract: Contract) -> bytes:
    """Return the snapshot of checked rows, in the layout of `safetensors`; the same rows give the same bytes."""
    features: Arrays = {_FEATURE + name: rows[name].to_numpy(dtype=np.float64) for name in contract.names}
    created = rows["created_on"].to_numpy(dtype=str).astype("datetime64[D]") - EPOCH
    return encode_arrays(
        features
        | {
            "lead_number": lead_numbers(rows).astype(np.int32),
            "created_on_day": created.astype(np.int32),
            "landmark_days": rows["landmark_days"].to_numpy(dtype=np.int32),
            "converted": rows["converted"].to_numpy(dtype=bool),
            "is_held_out": rows["is_held_out"].to_numpy(dtype=bool),
        }
        | (_org_arrays(rows[ORG_COLUMN]) if ORG_COLUMN in rows else {})
    )


def _org_arrays(org_ids: pd.Series) -> Arrays:
    """Return whose each row is, as a number, and the ids that the numbers stand for: ASCII codes, a line each."""
    numbers, distinct = pd.factorize(org_ids, sort=True)
    codes = np.frombuffer("\n".join(distinct).encode("ascii"), dtype=np.uint8)
    return {_ORG_NUMBER: numbers.astype(np.int32), _ORG_IDS: codes.astype(np.int16)}


def lead_numbers(rows: pd.DataFrame) -> Indices:
    """Return each row's lead as a number, counted from 0 in the order of the rows, shape (rows,)."""
    numbers: Indices = pd.factorize(rows["lead_id"])[0]
    return numbers


def rows_from(arrays: Mapping[str, npt.NDArray[Any]]) -> pd.DataFrame:
    """Return the rows that a snapshot holds; a lead's id is its number."""
    features = {name.removeprefix(_FEATURE): array for name, array in arrays.items() if name.startswith(_FEATURE)}
    whose = {ORG_COLUMN: _org_ids(arrays)} if _ORG_NUMBER in arrays else {}
    created = EPOCH + arrays["created_on_day"].astype("timedelta64[D]")
    return pd.DataFrame(
        {
            "lead_id": arrays["lead_number"].astype(str),
            "created_on": created.astype(str),
            "landmark_days": arrays["landmark_days"].astype(np.int64),
            "converted": arrays["converted"].astype(np.int64),
            "is_held_out": arrays["is_held_out"].astype(np.int64),
        }
        | features
        | whose
    )


def _org_ids(arrays: Mapping[str, npt.NDArray[Any]]) -> Texts:
    distinct = np.array(arrays[_ORG_IDS].astype(np.uint8).tobytes().decode("ascii").split("\n"))
    org_ids: Texts = distinct[arrays[_ORG_NUMBER]]
    return org_ids
