"""The backtest: fitted to the oldest leads and judged on the newest. Reported, never gated on.

The holdout is a fifth of all leads, whatever their age, so it hides what changes with time; this shows some of it. It
is no rehearsal of use: the outcomes of the older leads are those known at the end, and a lead younger than the
conversion window is a record only if it has closed already. So the newest leads are others than those that are scored,
with another rate; how they are ranked can be compared, their rate and their Brier score cannot.

The cost is that of growing half a forest more, on at most MOST_LEADS leads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leadscore.arrays import evenly_spread
from leadscore.comparison import BASE_RATE, Comparison, compare
from leadscore.evaluation import Holdout
from leadscore_assets.dataset import FeatureRows, feature_matrix
from leadscore_assets.report.slices import FEWEST_LEADS
from leadscore_assets.training.shapes import grow
from leadscore_assets.training.shrinkage import shrink

NEWEST_SHARE = 0.2
MOST_LEADS = 4_000
# half as many as a version's
TREES = 50


@dataclass(frozen=True)
class Backtest:
    """How good a forest fitted to the leads created before `first_day` (YYYY-MM-DD) is on those created since."""

    first_day: str
    older_leads: int
    newer_leads: int
    newer_rows: int
    newer_conversion_rate: float
    comparison: Comparison


def backtest(features: FeatureRows, parameters: Mapping[str, Any]) -> Backtest | None:
    """Return the backtest of a version's `parameters`.

    None where the older or the newer leads have one outcome only, or are fewer than FEWEST_LEADS.
    """
    rows = _sampled(features.rows)
    first_day = _first_day(rows)
    is_newer = np.asarray(rows["created_on"] >= first_day, dtype=bool)
    converted = np.asarray(rows["converted"], dtype=bool)
    older, newer = rows[~is_newer], rows[is_newer]
    if not all(_is_enough(side) for side in (older, newer)):
        return None
    matrix = feature_matrix(rows, features.contract)
    leads = pd.factorize(older["lead_id"])[0]
    estimator = grow(matrix[~is_newer].astype(np.float32), converted[~is_newer], leads, parameters["shape"], TREES)
    shrink(estimator, parameters["shrinkage"])
    # what the engine needs to explain scores would take as long again
    probabilities = estimator.predict_proba(matrix[is_newer].astype(np.float32))[:, 1]
    holdout = Holdout(
        lead_ids=newer["lead_id"].to_numpy(dtype=str),
        landmark_days=newer["landmark_days"].to_numpy(dtype=np.int64),
        converted=converted[is_newer],
    )
    base_rate = np.full(len(newer), converted[~is_newer].mean())
    return Backtest(
        first_day=first_day,
        older_leads=int(older["lead_id"].nunique()),
        newer_leads=holdout.count_leads(),
        newer_rows=len(newer),
        newer_conversion_rate=float(holdout.converted.mean()),
        comparison=compare(probabilities, base_rate, holdout, against=BASE_RATE),
    )


def _sampled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return all rows of up to MOST_LEADS leads, evenly spread over their creation."""
    leads = rows.drop_duplicates("lead_id").sort_values("created_on", kind="stable")["lead_id"].to_numpy()
    if len(leads) <= MOST_LEADS:
        return rows
    return rows[rows["lead_id"].isin(leads[evenly_spread(len(leads), MOST_LEADS)])]


def _first_day(rows: pd.DataFrame) -> str:
    """Return the day from which the newest leads are counted; all leads of a day stand on the same side."""
    days = np.sort(rows.drop_duplicates("lead_id")["created_on"].to_numpy(dtype=str))
    return str(days[int(len(days) * (1 - NEWEST_SHARE))])


def _is_enough(rows: pd.DataFrame) -> bool:
    return bool(rows["converted"].nunique() > 1 and rows["lead_id"].nunique() >= FEWEST_LEADS)
