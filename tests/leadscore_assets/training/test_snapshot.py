"""The snapshot of the rows: everything that a training needs, nothing that names anybody."""

from __future__ import annotations

import numpy as np
import pandas as pd

from leadscore.features import CONTRACT
from leadscore.registry.safetensors import compressed, decode_arrays
from leadscore_assets.training.snapshot import SNAPSHOT_FILE, rows_from, snapshot_bytes


def _rows(lead_ids: tuple[str, ...] = ("ann@example.com", "ann@example.com", "7")) -> pd.DataFrame:
    keys = {
        "lead_id": list(lead_ids),
        "created_on": ["2026-01-02", "2026-01-02", "1969-12-31"],
        "landmark_days": [0, 7, 0],
        "converted": [1, 1, 0],
        "is_held_out": [0, 0, 1],
    }
    features = {name: [0.5, np.nan, float(place)] for place, name in enumerate(CONTRACT.names)}
    return pd.DataFrame(keys | features)


def _read(content: bytes) -> pd.DataFrame:
    return rows_from(decode_arrays(compressed(content), SNAPSHOT_FILE))


def test_rows_read_back_with_numbers_for_leads() -> None:
    """Sides, days, ages, outcomes and features are as they were, unknown values and days before 1970 too."""
    rows = _rows()
    read = _read(snapshot_bytes(rows, CONTRACT))
    assert list(read["lead_id"]) == ["0", "0", "1"]
    names = [name for name in rows.columns if name != "lead_id"]
    pd.testing.assert_frame_equal(read[names], rows[names], check_dtype=False)


def test_no_lead_is_named_in_it() -> None:
    content = snapshot_bytes(_rows(), CONTRACT)
    assert b"ann" not in content
    assert content == snapshot_bytes(_rows(("b", "b", "a")), CONTRACT)


def test_what_was_read_back_gives_the_same_bytes() -> None:
    content = snapshot_bytes(_rows(), CONTRACT)
    assert snapshot_bytes(_read(content), CONTRACT) == content


def test_any_other_value_gives_other_bytes() -> None:
    content = snapshot_bytes(_rows(), CONTRACT)
    for name in _rows().columns[1:]:
        changed = _rows()
        changed.loc[1, name] = "2026-01-03" if name == "created_on" else 3.0 if name in CONTRACT.names else 0
        if name == "is_held_out":
            changed.loc[1, name] = 1
        assert snapshot_bytes(changed, CONTRACT) != content, name


def test_no_rows_give_a_snapshot_too() -> None:
    assert len(_read(snapshot_bytes(_rows().iloc[:0], CONTRACT))) == 0
