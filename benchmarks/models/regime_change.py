"""What a forest loses when the world changes, what would keep it, and how rarely the report's warning is false.

`python -m benchmarks.models.regime_change FOLDER --as-of DATE`, or `--simulated`.

A forest and a straight line learn from the older four fifths of an org's leads, and rank the newest fifth, as the
report's backtest does. The worlds: as it is; prices and message counts that rise by 5 or 20 % a month; and one in which
the newest fifth has values beyond all that was seen before, in all features but the age. Relative features stand each
value beside the org's own past: price and response time divided by the median of the leads that were created in the 90
days before, counts by the mean of the leads that reached the same age in the 90 days before.

*What was found*, on real CRM data (six branches, as of 2012-03-15) and 16 simulated orgs at three times. Gains over our
forest in ROC-AUC, with 95 % intervals over the newest leads; "ahead" counts where the line is surely ahead by 0.02, and
"warned" where the report says so:

| world | orgs | forest | relative features | line | ahead | warned |
|---|---|---|---|---|---|---|
| as it is | real | 0.734 | +0.002 ± 0.008 | -0.012 ± 0.016 | 0 of 6 | 0 |
| | simulated | 0.753 | +0.009 ± 0.004 | +0.010 ± 0.006 | 3 of 48 | 0 |
| | simulated, 300 leads | 0.715 | +0.007 ± 0.009 | +0.035 ± 0.015 | 5 of 48 | 2 |
| 5 % a month | real | 0.725 | -0.001 ± 0.008 | -0.019 ± 0.016 | 0 of 6 | 0 |
| | simulated | 0.753 | +0.006 ± 0.004 | +0.010 ± 0.006 | 3 of 48 | 0 |
| 20 % a month | real | 0.700 | +0.031 ± 0.013 | +0.007 ± 0.017 | 0 of 6 | 0 |
| | simulated | 0.746 | +0.015 ± 0.004 | +0.014 ± 0.006 | 6 of 48 | 2 |
| beyond | real | 0.487 | +0.012 ± 0.018 | +0.219 ± 0.033 | 4 of 6 | 4 |
| | simulated | 0.546 | +0.024 ± 0.011 | +0.118 ± 0.013 | 35 of 48 | 33 |
| | simulated, 300 leads | 0.541 | +0.034 ± 0.021 | +0.114 ± 0.028 | 15 of 48 | 8 |

The forests were random forests alone, as orgs got them before half of the trees were others.

*Relative features are not added.* Where prices and messages rise by 5 % a month the forest loses little (0.009 on real
data), and they give nothing back; only at 20 % a month they hold what it loses. A sudden change they hardly notice: the
90 days before are still the old ones. As the world is they gain 0.002 on real data, and a feature changes what every
client must send.

*The warning.* The line is the better model of simulated leads, whose log-odds are nearly a line: of 672 trainings on
150, 300, 700 or all leads in which nothing changes, it was surely ahead in 67. The report warns in 6 of them, and would
warn in 13 or more if it asked for 1.96 standard errors in place of 2.33. Of 60 newest leads it can say little.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.table import Table

from benchmarks.models.harness.drawn_orgs import drawn_orgs
from benchmarks.models.harness.lead_rows import SEED, add_arguments, wide_console
from benchmarks.throwaway_crm import SIMULATED_AT, features_of, loaded_crm, simulated_crm
from leadscore.arrays import Flags, Floats, Indices
from leadscore.comparison import Baseline, Difference, compare
from leadscore.evaluation import Holdout, has_both_outcomes
from leadscore_assets.dataset import FeatureRows, feature_matrix
from leadscore_assets.report.backtest import LEAST_LEAD, NEWEST_SHARE, TREES, backtest
from leadscore_assets.report.line_ahead import SURELY, line_ahead
from leadscore_assets.report.slices import HeldOut
from leadscore_assets.report.straight_line import line_probabilities
from leadscore_assets.source.database import connect
from leadscore_assets.source.orgs import orgs
from leadscore_assets.training.judge import holdout_of
from leadscore_assets.training.selection import USUAL
from leadscore_assets.training.shapes import FINE, grow
from leadscore_assets.training.shrinkage import shrink

ORGS, LEADS_A_YEAR = 16, 3_000
SIMULATED_MONTHS = 3
SIZES = (300, None)
MONTH_DAYS, PAST_DAYS = 30.4, 90
FEWEST_TO_COMPARE_WITH = 10
PARAMETERS: dict[str, Any] = {"shape": FINE, "shrinkage": USUAL}
COUNTS = ["inbound_messages_count", "outbound_messages_count", "appointments_count"]
MEDIANS = ["property_price", "response_time_minutes"]
BEYOND = {**dict.fromkeys(COUNTS, (1, 5)), "lead_source_score": (1, 100), "engagement_rate": (1, 5)}
BEYOND |= {"response_time_minutes": (10, 0), "property_price": (3, 0)}

Change = Callable[[pd.DataFrame], pd.DataFrame]


class Ranked(NamedTuple):
    """One org: relative features and the line against the forest, and what the report would do."""

    leads: int
    relative: Difference
    line: Difference
    is_line_surely_ahead: bool
    is_warned: bool


def main() -> None:
    """Print a table: a line per world and size of org."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.simulated == bool(arguments.folder and arguments.as_of):
        parser.error("name a folder with --as-of, or ask for --simulated")
    wide_console().print(world_table(read(arguments), SIZES if arguments.simulated else (None,)))


def read(arguments: argparse.Namespace) -> list[FeatureRows]:
    """Return the rows of each org; of each simulated one at several times."""
    simulated = simulated_crm(drawn_orgs(ORGS, LEADS_A_YEAR), SEED)
    times = [SIMULATED_AT - timedelta(days=MONTH_DAYS * month) for month in range(SIMULATED_MONTHS)]
    with simulated if arguments.simulated else loaded_crm(arguments.folder) as settings:
        with connect(settings) as connection:
            org_ids = orgs(connection)
        return [
            features_of(settings, org_id, as_of)
            for org_id in org_ids
            for as_of in (times if arguments.simulated else [arguments.as_of])
        ]


def world_table(every: Sequence[FeatureRows], sizes: Sequence[int | None]) -> Table:
    """Return how the models rank the newest leads in each world, and how often the report would warn."""
    columns = ("forest: ROC-AUC", "relative features: gain", "line: gain", "line surely ahead", "warned")
    table = Table("world", "leads", "orgs and times", *columns)
    for name, change in WORLDS.items():
        for size in sizes:
            ranked = [found for features in every if (found := ranked_in(change, features, size))]
            table.add_row(name, "all" if size is None else str(size), str(len(ranked)), *cells(ranked))
    return table


def cells(ranked: Sequence[Ranked]) -> list[str]:
    """Return means over the orgs, by their leads, with intervals over leads; and shares of the orgs."""
    weights = np.array([part.leads for part in ranked])
    forest = np.average([part.relative.baseline.value for part in ranked], weights=weights)
    gains = [gain_in_words([getattr(part, name) for part in ranked], weights) for name in ("relative", "line")]
    shares = [np.array([getattr(part, name) for part in ranked]) for name in ("is_line_surely_ahead", "is_warned")]
    return [f"{forest:.3f}", *gains, *(f"{share.mean():.1%} ({share.sum()})" for share in shares)]


def gain_in_words(parts: Sequence[Difference], weights: Floats) -> str:
    """Return the mean gain with its interval."""
    half = np.array([(part.gain.high - part.gain.low) / 2 for part in parts])
    gain = np.average([part.gain.value for part in parts], weights=weights)
    return f"{gain:+.3f} ± {np.sqrt(((weights * half) ** 2).sum()) / weights.sum():.3f}"


def ranked_in(change: Change, features: FeatureRows, size: int | None) -> Ranked | None:
    """Let an org of at most `size` leads live in a world; None where there is nothing to rank."""
    features = in_world(features, change, size)
    test = backtest(features, PARAMETERS) if has_both_outcomes(features.outcomes()) else None
    if test is None or not has_both_outcomes(holdout_of(features).converted):
        return None
    is_newer = np.asarray(features.rows["created_on"] >= test.first_day, dtype=bool)
    matrix, stands = features.matrix(), feature_matrix(beside_the_past(features.rows), features.contract)
    converted, newer = features.outcomes()[~is_newer], features.rows[is_newer]
    leads = pd.factorize(features.rows["lead_id"])[0][~is_newer]
    holdout = Holdout(
        newer["lead_id"].to_numpy(dtype=str), newer["landmark_days"].to_numpy(), features.outcomes()[is_newer]
    )
    absolute, relative = (forest(rows[~is_newer], converted, leads)(rows[is_newer]) for rows in (matrix, stands))
    line = line_probabilities(matrix[~is_newer], converted, matrix[is_newer])
    against = Baseline("own", "forest")
    by_line = compare(line, absolute, holdout, against=against).roc_auc
    is_ahead = by_line.gain.value >= LEAST_LEAD and by_line.probability_better >= SURELY
    return Ranked(
        test.newer_leads,
        compare(relative, absolute, holdout, against=against).roc_auc,
        by_line,
        is_line_surely_ahead=is_ahead,
        is_warned=is_ahead and line_ahead(test, features, held_out(features), PARAMETERS) is not None,
    )


def in_world(features: FeatureRows, change: Change, size: int | None) -> FeatureRows:
    """Return the rows of at most `size` leads, as they are in a world."""
    rows = features.rows
    leads = rows["lead_id"].drop_duplicates()
    if size is not None and size < len(leads):
        rows = rows[rows["lead_id"].isin(leads.sample(size, random_state=SEED))]
    return replace(features, rows=change(rows.reset_index(drop=True)))


def held_out(features: FeatureRows) -> HeldOut:
    """Return the holdout with the probabilities of a forest that is fitted to the others."""
    is_held_out, matrix = features.holdout_mask(), features.matrix()
    converted, leads = features.outcomes()[~is_held_out], pd.factorize(features.rows["lead_id"])[0][~is_held_out]
    probabilities = forest(matrix[~is_held_out], converted, leads)(matrix[is_held_out])
    months = features.rows["created_on"].str[:7].to_numpy(dtype=str)[is_held_out]
    return HeldOut(holdout_of(features), months, probabilities, None, float(converted.mean()))


def forest(rows: Floats, converted: Flags, leads: Indices) -> Callable[[Floats], Floats]:
    """Grow the backtest's forest."""
    numbers = np.unique(leads, return_inverse=True)[1]
    estimator = grow(rows.astype(np.float32), converted, numbers, FINE, TREES)
    shrink(estimator, USUAL)
    return lambda asked: estimator.predict_proba(asked.astype(np.float32))[:, 1]


def beside_the_past(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with each value beside the org's past; what has too little past, beside all of the rows'."""
    created = pd.to_datetime(rows["created_on"])
    relative = {}
    for name in MEDIANS:
        # a lead's newest row knows its first answer
        of_leads = pd.Series(rows[name].to_numpy(), index=created)[~rows.duplicated("lead_id", keep="last").to_numpy()]
        relative[name] = rows[name] / usual_before(of_leads, created, "median").clip(lower=1e-9)
    for name in COUNTS:
        parts = []
        for age, part in rows.groupby("landmark_days"):
            reached = created[part.index] + pd.Timedelta(days=age)
            usual = usual_before(pd.Series(part[name].to_numpy(), index=reached), reached, "mean")
            parts.append(part[name] / usual.clip(lower=0.05))
        relative[name] = pd.concat(parts)
    return rows.assign(**relative)


def usual_before(values: pd.Series, days: pd.Series, which: str) -> pd.Series:
    """Return for each of `days` the median or mean of the values of the PAST_DAYS before it; `values` have days."""
    past = values.sort_index().rolling(f"{PAST_DAYS}D", closed="left", min_periods=FEWEST_TO_COMPARE_WITH)
    found = getattr(past, which)().groupby(level=0).first()
    usual = pd.Series(found.reindex(days).to_numpy(), index=days.index)
    return usual.fillna(getattr(values, which)())


def as_it_is(rows: pd.DataFrame) -> pd.DataFrame:
    """Change nothing."""
    return rows


def rising(share_a_month: float) -> Change:
    """Return a world in which prices and messages rise by a share every month."""

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        created = pd.to_datetime(rows["created_on"])
        factor = (1 + share_a_month) ** ((created - created.min()).dt.days / MONTH_DAYS)
        random = np.random.default_rng(SEED)
        counts = {name: np.floor(rows[name] * factor + random.random(len(rows))) for name in COUNTS[:2]}
        return rows.assign(property_price=rows["property_price"] * factor, **counts)

    return change


def beyond(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the newest fifth beyond all that was seen before."""
    days = rows.drop_duplicates("lead_id")["created_on"].sort_values().to_numpy()
    is_newest = rows["created_on"] >= days[int(len(days) * (1 - NEWEST_SHARE))]
    moved = {name: rows[name].where(~is_newest, rows[name] * by + more) for name, (by, more) in BEYOND.items()}
    return rows.assign(**moved)


WORLDS: dict[str, Change] = {
    "as it is": as_it_is,
    "5 % a month": rising(0.05),
    "20 % a month": rising(0.2),
    "beyond": beyond,
}


if __name__ == "__main__":
    main()
