"""How good is a small org's model? `python -m benchmarks.models.small_orgs FOLDER --as-of DATE`, or `--simulated`.

Leads of an org are drawn, 100, 200 … of them, several times over. Four fifths of a draw, the training side, train the
org's own model: the plain forest, and ours. The pooled model is ours, fitted on the other orgs, and moved to the rate
of the same training side, as it is served. All of them, and the base rate, are judged on all leads that were not
drawn. The last columns say in which share of the draws the own model had the better figure; where it passes 0.5, an
org is better off with a model of its own.
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt
from rich.table import Table

from benchmarks.models.harness.lead_rows import LeadRows, add_arguments, joined, read_leads, wide_console
from benchmarks.models.harness.rival_models import Scorer, base_rate, ours, plain_forest
from leadscore.engine.scorer import Scorer as ForestScorer
from leadscore.evaluation import brier_score_of, roc_auc_of
from leadscore.pooling import base_value_of_org, shift_to_base_value
from leadscore_assets.training.fit import fit, flatten
from leadscore_assets.training.split import HOLDOUT_SHARE

SIZES = (100, 200, 500, 1_000, 2_000)
DRAWS = 10
FEWEST_JUDGED_LEADS = 100
BASE, PLAIN, OWN, POOLED = "base rate", "plain", "own", "pooled"

Figures = npt.NDArray[np.float64]


def main() -> None:
    """Print a table per org."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("--draws", type=int, default=DRAWS, help="how often leads are drawn for each size")
    arguments = parser.parse_args()
    console = wide_console()
    parts = read_leads(parser, arguments)
    for org in parts:
        if org.has_both_outcomes and _sizes(org):
            others = joined([part for part in parts if part.org_id != org.org_id])
            console.print(size_table(org, others, arguments.draws))


def size_table(org: LeadRows, others: LeadRows, draws: int) -> Table:
    """Return how good the models are for each size that the org's leads allow."""
    pooled = flatten(fit(others.rows, others.converted, others.numbers()).estimator).scorer
    columns = [f"{name} {kind}" for name in ("ROC-AUC", "Brier") for kind in (PLAIN, OWN, POOLED)]
    columns.insert(3, f"Brier {BASE}")
    ahead = ("own beats pooled: ROC-AUC", "Brier", "own beats base rate: Brier")
    table = Table("records", *columns, *ahead, title=org.org_id)
    random = np.random.default_rng(1)
    for size in _sizes(org):
        results = [
            judged(org, random.choice(np.unique(org.lead_ids), size, replace=False), pooled) for _ in range(draws)
        ]
        table.add_row(f"{size:,}", *cells(results))
    return table


def judged(org: LeadRows, drawn: npt.NDArray[np.str_], pooled: ForestScorer) -> dict[str, tuple[float, float]]:
    """Return each model's ROC-AUC and Brier score on the leads that were not drawn."""
    train = org.of_leads(drawn[: round(len(drawn) * (1 - HOLDOUT_SHARE))])
    test = org.where(~np.isin(org.lead_ids, drawn))
    scorers = {BASE: base_rate(train), POOLED: _moved(pooled, train)}
    # an org whose draw has one class has no model of its own; it is given the base rate
    scorers |= {PLAIN: plain_forest(train), OWN: ours(train)} if train.has_both_outcomes else {}
    given = {name: scorers.get(name, scorers[BASE])(test.rows) for name in (BASE, PLAIN, OWN, POOLED)}
    return {
        name: (roc_auc_of(probabilities, test.converted) or 0.5, brier_score_of(probabilities, test.converted))
        for name, probabilities in given.items()
    }


def cells(results: list[dict[str, tuple[float, float]]]) -> list[str]:
    """Return the means over the draws, and how often the own model was ahead."""
    auc, brier = ({name: np.array([r[name][place] for r in results]) for name in results[0]} for place in (0, 1))
    means = [auc[PLAIN], auc[OWN], auc[POOLED], brier[BASE], brier[PLAIN], brier[OWN], brier[POOLED]]
    shares = [auc[OWN] > auc[POOLED], brier[OWN] < brier[POOLED], brier[OWN] < brier[BASE]]
    return [f"{values.mean():.3f}" for values in means] + [f"{share.mean():.1f}" for share in shares]


def _moved(pooled: ForestScorer, train: LeadRows) -> Scorer:
    base_value = base_value_of_org(pooled, train.rows, float(train.converted.mean()), train.records)
    return shift_to_base_value(pooled, base_value).probabilities


def _sizes(org: LeadRows) -> list[int]:
    return [size for size in SIZES if size + FEWEST_JUDGED_LEADS <= org.records]


if __name__ == "__main__":
    main()
