"""How good is a small org's model? `python -m benchmarks.models.small_orgs FOLDER --as-of DATE`, or `--simulated`.

Leads of an org are drawn, 100, 200 … of them, several times over. Four fifths of a draw, the training side, teach the
org's models; all are judged on the org's leads that were not drawn:

- *former own*: the random forest, shrunk by 40 rows, that an org got before;
- *own*: the forest of the org's own leads, as an org gets it without a pool;
- *pooled*: the pooled forest of the other orgs' training sides and this one, moved to the org's base rate;
- *taught*: the same, taught by the org's training side, as an org gets it with a pool;
- *blend*: the mean of own and taught;
- LightGBM with 8 leaves, CatBoost and logistic regression on the org's training side, and the base rate.

A table per size. `gain` columns are means over orgs, each org counting once, against *former own* and against *pooled*,
positive where the model of the line is better; the interval is that of 95 % of resamples of orgs, and of their draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from rich.table import Table

from benchmarks.models.harness.drawn_orgs import drawn_orgs
from benchmarks.models.harness.lead_rows import LeadRows, add_arguments, joined, read_leads, wide_console
from benchmarks.models.harness.rival_models import (
    Scorer,
    base_rate,
    catboost,
    lightgbm,
    logistic_regression,
    ours,
    require_rivals,
    shrunk_random_forest,
)
from leadscore.arrays import Floats
from leadscore.evaluation import brier_score_of, roc_auc_of
from leadscore.forest import Forest
from leadscore_assets.training.estimator import flatten
from leadscore_assets.training.fit import fit
from leadscore_assets.training.shapes import COARSE
from leadscore_assets.training.split import HOLDOUT_SHARE, is_held_out
from leadscore_assets.training.teaching import Lesson
from leadscore_assets.training.teaching_strength import teaching_of

SIZES = (100, 200, 400, 600, 1_000, 2_000)
DRAWS = 4
FEWEST_JUDGED_LEADS = 100
SIMULATED_ORGS, SIMULATED_LEADS = 12, 5_200
FORMER, OWN, POOLED, TAUGHT, BLEND = "former own", "own", "pooled", "taught", "blend"
RIVALS: dict[str, Callable[[LeadRows], Scorer]] = {
    FORMER: shrunk_random_forest,
    OWN: ours,
    "LightGBM, 8 leaves": lightgbm(num_leaves=8, learning_rate=0.05),
    "CatBoost": catboost,
    "logistic regression": logistic_regression,
    "base rate": base_rate,
}
RESAMPLES = 2_000

# of a draw: each model's ROC-AUC and Brier score
Figures = dict[str, tuple[float, float]]


def main() -> None:
    """Print a table per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--draws", type=int, default=DRAWS, help="how often leads are drawn for each size and org")
    parser.add_argument("--pooled-leads", type=int, help="of each other org, at most so many leads are in the pool")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="how many leads are drawn")
    arguments = parser.parse_args()
    require_rivals()
    parts = read_leads(parser, arguments, drawn_orgs(SIMULATED_ORGS, SIMULATED_LEADS))
    console = wide_console()
    for size in arguments.sizes:
        pools = [
            (org, [pooled_part(part, arguments.pooled_leads) for part in parts if part is not org]) for org in parts
        ]
        results = {
            org.org_id: found for org, others in pools if (found := draws_of(org, others, size, arguments.draws))
        }
        if results:
            console.print(size_table(size, results))


def draws_of(org: LeadRows, others: Sequence[LeadRows], size: int, draws: int) -> list[Figures]:
    """Return the figures of each draw; none where the org has too few leads, or one outcome."""
    if not org.has_both_outcomes or size + FEWEST_JUDGED_LEADS > org.records:
        return []
    random, leads = np.random.default_rng([1, size]), np.unique(org.lead_ids)
    drawn = [random.choice(leads, size, replace=False) for _ in range(draws)]
    figures = [judged(org, each, others) for each in drawn]
    return [each for each in figures if each]


def pooled_part(part: LeadRows, most_leads: int | None) -> LeadRows:
    """Return the rows that another org gives to the pool: of its training side, and of so many leads at most."""
    leads = [lead for lead in np.unique(part.lead_ids) if not is_held_out(lead)]
    return part.of_leads(np.array(leads[:most_leads], dtype=str))


def judged(org: LeadRows, drawn: npt.NDArray[np.str_], others: Sequence[LeadRows]) -> Figures:
    """Return each model's figures on the leads that were not drawn; none where those drawn have one outcome."""
    train = org.of_leads(drawn[: round(len(drawn) * (1 - HOLDOUT_SHARE))])
    test = org.where(~np.isin(org.lead_ids, drawn))
    if not train.has_both_outcomes:
        return {}
    given = {name: model(train)(test.rows) for name, model in RIVALS.items()}
    given[POOLED], given[TAUGHT] = of_the_pool(train, others, test.rows)
    given[BLEND] = (given[OWN] + given[TAUGHT]) / 2
    return {
        name: (roc_auc_of(said, test.converted) or 0.5, brier_score_of(said, test.converted))
        for name, said in given.items()
    }


def of_the_pool(train: LeadRows, others: Sequence[LeadRows], rows: Floats) -> tuple[Floats, Floats]:
    """Return what the pooled model says of `rows`, as it serves the org, and what it says once it is taught."""
    pool, strength = pool_of([*others, train])
    lesson, ends = Lesson.of(pool, train.rows, train.converted, train.numbers()), pool.ends(rows)
    return lesson.at_rate[ends].mean(axis=1), lesson.taught(strength).value[ends].mean(axis=1)


def pool_of(parts: Sequence[LeadRows]) -> tuple[Forest, float]:
    """Return the pooled forest of these orgs, and how strongly it is to be taught."""
    pool = joined(list(parts))
    forest = flatten(fit(pool.rows, pool.converted, pool.numbers(), COARSE).estimator)
    org_ids = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
    return forest, teaching_of(forest, pool.rows, pool.converted, pool.numbers(), org_ids).strength


def size_table(size: int, results: dict[str, list[Figures]]) -> Table:
    """Return how good the models are, and how they compare, over all orgs."""
    draws = sum(len(figures) for figures in results.values())
    table = Table("model", "ROC-AUC", "Brier", title=f"{size:,} records: {len(results)} orgs, {draws} draws")
    for against in (FORMER, POOLED):
        table.add_column(f"ROC-AUC gain over {against}")
        table.add_column("Brier gain")
    models = [FORMER, OWN, POOLED, TAUGHT, BLEND, *(name for name in RIVALS if name not in (FORMER, OWN))]
    for model in models:
        means = _by_org(results, model).mean(axis=0)
        gains = [cell for against in (FORMER, POOLED) for cell in _gains(results, model, against)]
        table.add_row(model, f"{means[0]:.3f}", f"{means[1]:.4f}", *gains)
    return table


def _by_org(results: dict[str, list[Figures]], model: str) -> Floats:
    """Return the model's mean figures in each org, shape (orgs, 2)."""
    return np.array([np.mean([figures[model] for figures in drawn], axis=0) for drawn in results.values()])


def _gains(results: dict[str, list[Figures]], model: str, against: str) -> list[str]:
    """Return the gain in ROC-AUC and in the Brier score, with the interval; empty where both are the same."""
    if model == against:
        return ["", ""]
    by_org = [
        np.array([np.subtract(figures[model], figures[against]) for figures in drawn]) * (1, -1)
        for drawn in results.values()
    ]
    value = np.mean([gains.mean(axis=0) for gains in by_org], axis=0)
    low, high = np.percentile(_resampled(by_org), (2.5, 97.5), axis=0)
    return [f"{gain:+.4f} [{least:+.4f}, {most:+.4f}]" for gain, least, most in zip(value, low, high, strict=True)]


def _resampled(by_org: Sequence[Floats]) -> Floats:
    """Return the mean gains of RESAMPLES resamples of orgs, and of the draws of each, shape (resamples, 2)."""
    random, count = np.random.default_rng(1), len(by_org)
    means = np.empty((RESAMPLES, 2))
    for number in range(RESAMPLES):
        chosen = [by_org[org] for org in random.integers(0, count, count)]
        means[number] = np.mean([gains[random.integers(0, len(gains), len(gains))].mean(axis=0) for gains in chosen], 0)
    return means


if __name__ == "__main__":
    main()
