"""Made-up leads whose outcomes depend on two features, as a training and a report see them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from leadscore.features import CONTRACT
from leadscore.records import RecordCounts, Window
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.training.split import holdout_mask

AGES = (0, 3, 14)
FIRST_DAY = date(2026, 1, 1)
WINDOW = Window(datetime(2026, 6, 1, tzinfo=UTC), 183, 90, ("WON",), AGES)


def made_features(leads: int = 400, *, days: int = 120, seed: int = 1, prefix: str = "lead") -> FeatureRows:
    """Make leads, one after the other over `days`, with a row per age; appointments and source tell who converts."""
    random = np.random.default_rng(seed)
    count = leads * len(AGES)
    lead = np.repeat(np.arange(leads), len(AGES))
    source = np.repeat(random.choice([10.0, 40.0, 70.0], leads), len(AGES))
    columns = {name: np.zeros(count) for name in CONTRACT.names}
    columns["lead_source_score"] = source
    columns["response_time_minutes"] = np.where(random.random(count) < 0.2, np.nan, random.gamma(2, 60, count).round(1))
    columns["inbound_messages_count"] = random.poisson(2, count).astype(float)
    columns["appointments_count"] = np.minimum(random.poisson(0.8, leads), 3).astype(float)[lead]
    columns["property_price"] = random.normal(250_000, 40_000, count).round()
    columns["days_since_creation"] = np.tile(np.array(AGES, dtype=float), leads)
    columns["market_activity_score"] = np.full(count, 50.0)
    chance = 1 / (1 + np.exp(2.2 - 1.2 * columns["appointments_count"][:: len(AGES)] - source[:: len(AGES)] / 70))
    converted = (random.random(leads) < chance).astype(np.int64)[lead]
    created = [(FIRST_DAY + timedelta(days=int(number * days / leads))).isoformat() for number in lead.tolist()]
    keys = {
        "lead_id": [f"{prefix}-{number:06d}" for number in lead.tolist()],
        "created_on": created,
        "landmark_days": np.tile(AGES, leads),
        "converted": converted,
    }
    return checked(pd.DataFrame(keys | columns))


def checked(rows: pd.DataFrame) -> FeatureRows:
    """Return the rows with their side of the split, and counted."""
    rows = rows.reset_index(drop=True)
    if "is_held_out" not in rows:
        rows.insert(4, "is_held_out", holdout_mask(rows["lead_id"]).astype(np.int64))
    leads = rows.drop_duplicates("lead_id")
    counts = RecordCounts(
        records=len(leads),
        converted_records=int(leads["converted"].sum()),
        rows=len(rows),
        excluded={"still_open": 17, "outcome_time_unknown": 2},
        sql_sha256="c0ffee",
        set_aside={"property_price below 0": 5},
        fingerprint=f"rows of {len(rows)}",
        set_aside_rows=5,
    )
    return FeatureRows(rows, counts, WINDOW, CONTRACT)
