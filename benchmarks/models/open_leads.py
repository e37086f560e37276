"""Can leads that are still open teach, too? `python -m benchmarks.models.open_leads FOLDER --cuts DATE …`; --simulated.

A training leaves out the leads that are open and younger than the conversion window. Those of the same age that have
closed stay in, so the newest leads of a training are those with quick outcomes. Whether that harms, and what mends it,
is measured as it would be used: models learn as of a cut what was known then, and are judged on the leads that are
created until the next cut, by their final outcomes.

*The right weights.* Let T be the age at which a lead's outcome is known, at most the conversion window, and A its age
at the cut. Its label is known when A >= T. At a given age that is certain or impossible, so no weight corrects the
leads of one age: the slow ones among them are never seen, and giving their quick siblings more weight makes it worse.
Where T does not depend on the time of creation, leads of all ages are a sample of the same T, and the share
G(t) = P(A >= t) is known: it is the share of the leads in the training window that are at least t old. A known lead
of closing age t stands for 1 / G(t) leads. A row at the landmark s exists where A >= s, so it stands for G(s) / G(t)
rows. The slow, older leads are raised, not the quick, young ones. With Kaplan and Meier's estimate in place of the
known share this is Efron's redistribution to the right (1967).

*What was found*, on real CRM data (six branches) and 16 simulated orgs. Gains over today's rule in ROC-AUC, in
thousandths, and in Brier score, in ten thousandths, with 95 % intervals over leads; plus is better:

| | real, 30-day window | real | simulated | real, 30 days, 200 leads | simulated, 300 leads |
|---|---|---|---|---|---|
| judged: cuts, leads | 24, 4,577 | 9, 1,921 | 48, 10,109 | 24, 4,577 | 48, 10,109 |
| today: ROC-AUC, Brier | 0.705, 0.1839 | 0.719, 0.1907 | 0.740, 0.1530 | 0.676, 0.1962 | 0.706, 0.1620 |
| 1 / G(t) | +1 ± 2, +3 ± 6 | -1 ± 3, -3 ± 7 | +1 ± 1, +3 ± 3 | -6 ± 4, -9 ± 7 | -4 ± 2, -4 ± 3 |
| G(s) / G(t) | 0 ± 2, +1 ± 5 | -2 ± 3, -7 ± 6 | +1 ± 1, 0 ± 3 | -7 ± 4, -11 ± 7 | -3 ± 2, -4 ± 3 |
| no young lead | -3 ± 6, 0 ± 15 | -83 ± 21, -216 ± 58 | -6 ± 4, -15 ± 8 | -24 ± 9, -26 ± 27 | -13 ± 6, -29 ± 10 |
| quick siblings raised | -2 ± 3, -12 ± 7 | 0 ± 3, -2 ± 6 | +1 ± 1, +2 ± 3 | -4 ± 4, -27 ± 9 | -2 ± 2, -1 ± 3 |
| young leads count half | +1 ± 3, +6 ± 5 | 0 ± 3, -3 ± 7 | +1 ± 2, +1 ± 3 | -5 ± 4, 0 ± 7 | -3 ± 2, -7 ± 4 |
| open rows guessed | +3 ± 3, +4 ± 8 | -1 ± 3, -1 ± 8 | +1 ± 2, -3 ± 3 | 0 ± 4, +1 ± 7 | -1 ± 2, -8 ± 4 |

The forests were random forests alone, as orgs got them before half of the trees were others.
The cuts were 2011-11-15, 12-01, 12-15, 2012-01-01, 01-15 and 02-01, and the last three for the window of 90 days.

*Why today's rule stays.* What gained surely in one measurement lost surely in another, and the right weights cost small
orgs 0.003 to 0.007 of ROC-AUC. They take away little bias, because there is little: most outcomes come within days, so
open young leads have an eighth to a sixth of the rows, and the mean probability moves by 0.004 at most; it is off by
0.005 to 0.05 for other reasons. They cost variance: the slowest leads count twice as much as the quickest. To leave out
the young leads costs most: they are the newest, and there are many.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.table import Table
from sklearn.tree import DecisionTreeClassifier

from benchmarks.models.harness.drawn_orgs import drawn_orgs
from benchmarks.models.harness.lead_rows import SEED, wide_console
from benchmarks.throwaway_crm import SIMULATED_AT, loaded_crm, simulated_crm
from leadscore.arrays import Flags, Floats
from leadscore.comparison import BASE_RATE, Difference, compare
from leadscore.evaluation import Holdout, has_both_outcomes
from leadscore.features import CONTRACT
from leadscore.records import Window, outcome_parameters, window_from
from leadscore.settings import Settings, parse_time
from leadscore_assets.source.database import connect
from leadscore_assets.source.extraction import extract
from leadscore_assets.source.orgs import orgs
from leadscore_assets.training.contract_check import check_rows
from leadscore_assets.training.selection import USUAL
from leadscore_assets.training.shapes import FEATURES_PER_SPLIT, FINE, SHAPES, TREES, bag
from leadscore_assets.training.shrinkage import shrunk_shares

EVERY_LEAD_DAYS = 400
FEWEST_JUDGED_LEADS = 20
ORGS, LEADS_A_YEAR = 16, 3_000
SIMULATED_CUTS = tuple(SIMULATED_AT - timedelta(days=days) for days in (182, 151, 120, 92))
TODAY = "today"
KNOWN_AT_CUT = """
SELECT lead_id, created_at, is_converted, known_at, excluded_because
FROM leadscore.lead_outcomes(
    %(as_of)s, %(training_window_days)s, %(conversion_window_days)s, %(conversion_statuses)s, %(lost_statuses)s,
    %(conversion_is_final)s, %(landmark_days)s, %(crm_time_zone)s
)
WHERE org_id = %(org_id)s AND (excluded_because IS NULL OR excluded_because = 'still_open')
"""

Texts = npt.NDArray[np.str_]
Model = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Rows:
    """Rows of leads at landmarks; `converted` is the final outcome. All arrays of shape (rows, …)."""

    features: Floats
    converted: Flags
    landmark_days: npt.NDArray[np.int64]
    lead_ids: Texts

    def where(self, chosen: Flags) -> Rows:
        """Return the chosen rows."""
        return Rows(**{name: values[chosen] for name, values in vars(self).items()})


class Known(NamedTuple):
    """What a cut knows of the rows that it has: shape (rows,), and the ages of the leads in its training window.

    `closing_age` is the age at which the outcome is known, at most the conversion window; it counts for labelled rows.
    """

    converted: Flags
    is_labelled: Flags
    is_young: Flags
    closing_age: Floats
    ages: Floats

    def share_as_old(self, days: Floats) -> Floats:
        """Return G, the share of the leads in the window that are at least so old."""
        younger = np.searchsorted(np.sort(self.ages), days - 1e-9)
        return np.maximum(1 - younger / len(self.ages), 1e-3)


class Judged(NamedTuple):
    """The newest leads of an org and cut, and what each way to learn gives them."""

    holdout: Holdout
    probabilities: dict[str, Floats]


def main() -> None:
    """Print a table: every way to learn against today's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="folder of CSV files, one per CRM table")
    parser.add_argument("--cuts", type=parse_time, nargs="+", help="with a folder: learn as of each date but the last")
    parser.add_argument("--end", type=parse_time, help="with a folder: the time of the final outcomes")
    parser.add_argument("--simulated", action="store_true", help="simulate orgs instead of reading a folder")
    parser.add_argument("--conversion-window-days", type=int, default=Settings().conversion_window_days)
    parser.add_argument("--leads", type=int, help="keep so many leads of each training window")
    arguments = parser.parse_args()
    if arguments.simulated == bool(arguments.folder and arguments.cuts and arguments.end):
        parser.error("name a folder with --cuts and --end, or ask for --simulated")
    crm = simulated_crm(drawn_orgs(ORGS, LEADS_A_YEAR), SEED) if arguments.simulated else loaded_crm(arguments.folder)
    cuts, end = (SIMULATED_CUTS, SIMULATED_AT) if arguments.simulated else (arguments.cuts, arguments.end)
    with crm as settings:
        window = msgspec.structs.replace(
            window_from(settings, end), conversion_window_days=arguments.conversion_window_days
        )
        wide_console().print(table_of(judged_orgs(settings, window, cuts, arguments.leads)))


def judged_orgs(settings: Settings, window: Window, cuts: Sequence[datetime], most_leads: int | None) -> list[Judged]:
    """Return every org and cut of which something can be learned and judged."""
    with connect(settings) as connection:
        org_ids = orgs(connection)
    every = [part for org_id in org_ids for part in judged_cuts(settings, org_id, window, cuts, most_leads)]
    return [part for part in every if part]


def judged_cuts(
    settings: Settings, org_id: str, window: Window, cuts: Sequence[datetime], most_leads: int | None
) -> list[Judged | None]:
    """Learn at each cut but the last, and judge on the leads created until the next one."""
    final = msgspec.structs.replace(window, training_window_days=EVERY_LEAD_DAYS)
    features = check_rows(extract(settings, org_id, final), CONTRACT)
    leads = leads_of(settings, org_id, final)
    rows = Rows(
        features.matrix(),
        features.outcomes(),
        features.rows["landmark_days"].to_numpy(dtype=np.int64),
        features.rows["lead_id"].to_numpy(dtype=str),
    )
    rows = rows.where(rows.landmark_days < window.conversion_window_days)
    created = leads["created"].reindex(rows.lead_ids).to_numpy()
    judged = []
    for cut, until in pairwise(cuts):
        at_cut = msgspec.structs.replace(window, as_of=cut)
        known_leads = leads_of(settings, org_id, at_cut)
        if most_leads and most_leads < len(known_leads):
            known_leads = known_leads.sample(most_leads, random_state=1)
        has_come = created + rows.landmark_days <= days_of(cut)
        is_seen = np.isin(rows.lead_ids, known_leads.index.to_numpy(dtype=str)) & has_come
        is_newer = (created > days_of(cut)) & (created <= days_of(until))
        seen = rows.where(is_seen)
        judged.append(judge(seen, known_of(seen, known_leads, at_cut), rows.where(is_newer)))
    return judged


def leads_of(settings: Settings, org_id: str, window: Window) -> pd.DataFrame:
    """Return the window's leads by their ids: created, known (days since 1970), converted and is_labelled."""
    with connect(settings) as connection:
        found: list[Any] = connection.execute(KNOWN_AT_CUT, outcome_parameters(window) | {"org_id": org_id}).fetchall()
    rows = [
        (str(lead), days_of(created), days_of(known), bool(won), why is None)
        for lead, created, won, known, why in found
    ]
    return pd.DataFrame(rows, columns=["lead", "created", "known", "converted", "is_labelled"]).set_index("lead")


def days_of(moment: datetime) -> float:
    """Return a time in UTC, with or without a zone, as days since 1970."""
    return (moment.replace(tzinfo=None) - datetime(1970, 1, 1)) / timedelta(days=1)


def known_of(rows: Rows, leads: pd.DataFrame, window: Window) -> Known:
    """Return what is known of the rows, all of which are of `leads`, at the end of the window."""
    days, of_rows = window.conversion_window_days, leads.loc[rows.lead_ids]
    ages = days_of(window.as_of) - leads["created"].to_numpy()
    return Known(
        converted=of_rows["converted"].to_numpy(dtype=bool),
        is_labelled=of_rows["is_labelled"].to_numpy(dtype=bool),
        is_young=days_of(window.as_of) - of_rows["created"].to_numpy() < days,
        closing_age=np.minimum((of_rows["known"] - of_rows["created"]).to_numpy(), days),
        ages=ages,
    )


def judge(seen: Rows, known: Known, newer: Rows) -> Judged | None:
    """Fit every way to learn; None where the rows to learn from or to judge on have one outcome or are too few."""
    is_mature = known.is_labelled & ~known.is_young
    sides = (known.converted[known.is_labelled], known.converted[is_mature], newer.converted)
    if len(np.unique(newer.lead_ids)) < FEWEST_JUDGED_LEADS or not all(map(has_both_outcomes, sides)):
        return None
    models = {
        name: weighted_forest(seen, known.converted, weights) for name, weights in weights_of(seen, known).items()
    }
    models["open rows guessed"] = guessing_forest(seen, known, models[TODAY])
    holdout = Holdout(newer.lead_ids, newer.landmark_days, newer.converted)
    return Judged(holdout, {name: model(newer.features) for name, model in models.items()})


def weights_of(seen: Rows, known: Known) -> dict[str, Floats]:
    """Return the rows' weights by each rule, shape (rows,): 0 for rows without a label."""
    labelled = known.is_labelled.astype(float)
    by_lead = labelled / known.share_as_old(known.closing_age)
    return {
        TODAY: labelled,
        "1 / G(t)": by_lead,
        "G(s) / G(t)": by_lead * known.share_as_old(seen.landmark_days.astype(float)),
        "no young lead": labelled * ~known.is_young,
        "quick siblings raised": labelled * np.where(known.is_young, 1 / labelled_share(seen, known), 1.0),
        "young leads count half": labelled * np.where(known.is_young, 0.5, 1.0),
    }


def labelled_share(seen: Rows, known: Known) -> Floats:
    """Return which share of the young rows of each row's landmark have a label, shape (rows,)."""
    table = pd.DataFrame({"age": seen.landmark_days, "labelled": known.is_labelled.astype(float)})
    shares = table[known.is_young].groupby("age")["labelled"].mean()
    labelled: Floats = table["age"].map(shares).fillna(1.0).clip(lower=0.02).to_numpy(dtype=np.float64)
    return labelled


def guessing_forest(seen: Rows, known: Known, model: Model) -> Model:
    """Fit to all rows; an open one counts once for either outcome, by what `model` gives its lead's newest row."""
    opened = seen.where(~known.is_labelled)
    newest = pd.Series(model(opened.features), index=opened.lead_ids).groupby(level=0).last()
    chance = newest.reindex(opened.lead_ids).to_numpy(dtype=np.float64)
    labelled = seen.where(known.is_labelled)
    parts = (labelled, opened, opened)
    rows = Rows(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(opened)})
    won = np.repeat([True, False], len(chance))
    weights = np.concatenate([np.ones(len(labelled.converted)), chance, 1 - chance])
    return weighted_forest(rows, np.concatenate([known.converted[known.is_labelled], won]), weights)


def weighted_forest(rows: Rows, converted: Flags, weights: Floats) -> Model:
    """Fit a forest of the usual shape and shrinking, as a training does, to the rows whose weight is not 0."""
    learned = rows.where(weights > 0)
    table, outcomes = learned.features.astype(np.float32), converted[weights > 0].astype(np.int8)
    leads = np.unique(learned.lead_ids, return_inverse=True)[1]
    scaled = weights[weights > 0] / weights[weights > 0].mean()
    trees = [
        DecisionTreeClassifier(**SHAPES[FINE], max_features=FEATURES_PER_SPLIT[FINE], random_state=number)
        .fit(table, outcomes, sample_weight=bag(number, leads) * scaled)
        .tree_
        for number in range(TREES)
    ]
    shares = shrunk_shares(trees, np.array([USUAL]))

    def model(asked: Floats) -> Floats:
        of_trees = [share[tree.apply(asked.astype(np.float32)), 0] for tree, share in zip(trees, shares, strict=True)]
        return np.asarray(np.mean(of_trees, axis=0))

    return model


def table_of(judged: Sequence[Judged]) -> Table:
    """Return the gains over today's rule; a cut counts by its leads."""
    leads = np.array([part.holdout.count_leads() for part in judged])
    title = f"{len(judged)} orgs and cuts, {leads.sum():,} judged leads; gains with 95 % intervals over leads"
    table = Table("learns from", "ROC-AUC", "gain", "Brier", "gain", "log loss gain", "mean p - rate", title=title)
    for name in judged[0].probabilities:
        parts = [compare(p.probabilities[name], p.probabilities[TODAY], p.holdout, against=BASE_RATE) for p in judged]
        auc, brier, loss = (
            [getattr(part, metric) for part in parts] for metric in ("roc_auc", "brier_score", "log_loss")
        )
        excess = np.array([p.probabilities[name].mean() - p.holdout.converted.mean() for p in judged])
        table.add_row(
            name,
            *cells(auc, leads, 3),
            *cells(brier, leads, 4),
            cells(loss, leads, 4)[1],
            f"{np.average(excess, weights=leads):+.4f}",
        )
    return table


def cells(parts: Sequence[Difference], leads: npt.NDArray[np.int64], digits: int) -> tuple[str, str]:
    """Return the mean figure, and the mean gain with its interval; the parts share no lead."""
    figure = np.average([part.candidate.value for part in parts], weights=leads)
    gain = np.average([part.gain.value for part in parts], weights=leads)
    half = np.array([(part.gain.high - part.gain.low) / 2 for part in parts])
    return (
        f"{figure:.{digits}f}",
        f"{gain:+.{digits}f} ± {np.sqrt(((leads * half) ** 2).sum()) / leads.sum():.{digits}f}",
    )


if __name__ == "__main__":
    main()
