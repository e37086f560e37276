"""The backtest: fitted to the oldest leads and judged on the newest. Reported, never gated on.

The holdout is a fifth of all leads, whatever their age, so it hides what changes with time; this shows some of it. It
is no rehearsal of use: the outcomes of the older leads are those known at the end, and a lead younger than the
conversion window is a record only if it has closed already. So the newest leads are others than those that are scored,
with another rate; how they are ranked can be compared, their rate and their Brier score cannot.

A straight line learns from the same older leads. `line_ahead` says what it means when it ranks the newest ones better.

The cost is that of growing TREES trees more, on at most MOST_LEADS leads. The line's is 12 ms for 1,500 leads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leadscore.arrays import Floats, evenly_spread
from leadscore.comparison import BASE_RATE, Baseline, Comparison, compare
from leadscore.evaluation import Holdout, roc_auc_of
from leadscore_assets.dataset import FeatureRows, feature_matrix
from leadscore_assets.report.slices import FEWEST_LEADS
from leadscore_assets.report.straight_line import line_probabilities
from leadscore_assets.training.selection import USUAL
from leadscore_assets.training.shapes import FINE, grow
from leadscore_assets.training.shrinkage import shrink

NEWEST_SHARE = 0.2
MOST_LEADS = 4_000
# enough to rank leads by; a version's cost more than all else of its report
TREES = 40
# in ROC-AUC; a line that is ahead by less is not compared further
LEAST_LEAD = 0.02


@dataclass(frozen=True)
class Backtest:
    """How good a forest fitted to the leads created before `first_day` (YYYY-MM-DD) is on those created since.

    `line_roc_auc` is how well a straight line fitted to the same leads ranks them. `line_comparison` compares it with
    the forest, and is None unless it is ahead by LEAST_LEAD.
    """

    first_day: str
    older_leads: int
    newer_leads: int
    newer_rows: int
    newer_conversion_rate: float
    comparison: Comparison
    line_roc_auc: float
    line_comparison: Comparison | None


def backtest(features: FeatureRows, parameters: Mapping[str, Any]) -> Backtest | None:
    """Return the backtest of a version's `parameters`.

    None where the older or the newer leads have one outcome only, or are fewer than FEWEST_LEADS.
    """
    rows = sampled(features.rows)
    first_day = _first_day(rows)
    is_newer = np.asarray(rows["created_on"] >= first_day, dtype=bool)
    converted = np.asarray(rows["converted"], dtype=bool)
    older, newer = rows[~is_newer], rows[is_newer]
    if not all(_is_enough(side) for side in (older, newer)):
        return None
    matrix = feature_matrix(rows, features.contract)
    probabilities = small_forest(older, matrix[~is_newer], matrix[is_newer], parameters)
    holdout = Holdout(
        lead_ids=newer["lead_id"].to_numpy(dtype=str),
        landmark_days=newer["landmark_days"].to_numpy(dtype=np.int64),
        converted=converted[is_newer],
    )
    base_rate = np.full(len(newer), converted[~is_newer].mean())
    line = line_probabilities(matrix[~is_newer], converted[~is_newer], matrix[is_newer])
    return Backtest(
        first_day=first_day,
        older_leads=int(older["lead_id"].nunique()),
        newer_leads=holdout.count_leads(),
        newer_rows=len(newer),
        newer_conversion_rate=float(holdout.converted.mean()),
        comparison=compare(probabilities, base_rate, holdout, against=BASE_RATE),
        line_roc_auc=_ranking(line, holdout),
        line_comparison=_compared_line(line, probabilities, holdout),
    )


def small_forest(learned: pd.DataFrame, rows: Floats, asked: Floats, parameters: Mapping[str, Any]) -> Floats:
    """Return what a forest of the org's own leads, by a version's `parameters`, says of `asked`, shape (rows,).

    It is fitted to `learned`, whose features are `rows`; both have the shape (rows, features). The pooled forest that a
    taught version stands on has seen the leads that are asked for, so here it has the usual parameters.
    """
    shape, shrinkage = (FINE, USUAL) if is_taught(parameters) else (parameters["shape"], float(parameters["shrinkage"]))
    leads, converted = pd.factorize(learned["lead_id"])[0], np.asarray(learned["converted"], dtype=bool)
    estimator = grow(rows.astype(np.float32), converted, leads, shape, TREES)
    shrink(estimator, shrinkage)
    # what the engine needs to explain scores would take as long again
    probabilities: Floats = estimator.predict_proba(asked.astype(np.float32))[:, 1]
    return probabilities


def is_taught(parameters: Mapping[str, Any]) -> bool:
    """Return whether a version of these parameters is a pooled one taught by the org's leads."""
    return "teaching_strength" in parameters


def _compared_line(line: Floats, forest: Floats, holdout: Holdout) -> Comparison | None:
    """Compare the line with the forest, by the probabilities for the newest rows, shape (rows,).

    A comparison takes more time than the line itself; a line that is not ahead is worth none.
    """
    if _ranking(line, holdout) - _ranking(forest, holdout) < LEAST_LEAD:
        return None
    return compare(line, forest, holdout, against=Baseline("own", "forest"))


def _ranking(probabilities: Floats, holdout: Holdout) -> float:
    return roc_auc_of(probabilities, holdout.converted) or 0.0  # it has both outcomes


def sampled(rows: pd.DataFrame) -> pd.DataFrame:
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
