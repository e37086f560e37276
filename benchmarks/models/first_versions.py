"""What the gate does with an org's first version while the pooled model serves it, and what would have been right.

`python -m benchmarks.models.first_versions FOLDER --as-of DATE`, or `--simulated`. Leads of an org are drawn, 100, 200
… of them, several times over. Four fifths of a draw are the training side, the others the holdout on which the gate
compares a candidate with the pooled model; the org's leads that were not drawn say which is truly better. The
candidates are the former own forest by the gate's rule for large own versions, which was its only rule, the own forest
and the taught one by the gate as it is, and the taught one activated always.

*worse* counts the activations after which the Brier score is truly higher, *much worse* those by more than 0.001;
*missed* counts the held candidates that would have been better by more than 0.001. *gain* is the mean Brier score and
ROC-AUC that the org gains over the pooled model, counting held candidates as 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rich.table import Table

from benchmarks.models.harness.drawn_orgs import drawn_orgs
from benchmarks.models.harness.lead_rows import LeadRows, add_arguments, read_leads, wide_console
from benchmarks.models.harness.rival_models import ours, shrunk_random_forest
from benchmarks.models.small_orgs import (
    FEWEST_JUDGED_LEADS,
    SIMULATED_LEADS,
    SIMULATED_ORGS,
    SIZES,
    of_the_pool,
    pooled_part,
)
from leadscore.arrays import Floats
from leadscore.comparison import Baseline, compare
from leadscore.evaluation import brier_score_of, evaluate, roc_auc_of
from leadscore.gate import decide, policy_from
from leadscore.records import RecordCounts
from leadscore.settings import Settings
from leadscore_assets.training.split import HOLDOUT_SHARE

DRAWS = 8
MUCH = 0.001
POLICY = policy_from(Settings())
MANY_RECORDS = 1_000_000


class Trial(NamedTuple):
    """Whether a candidate was activated, and by how much it is truly better in Brier score and ROC-AUC."""

    is_activated: bool
    brier_gain: float
    roc_auc_gain: float


class Drawn(NamedTuple):
    """The rows of a draw's sides: to train on, held out, and the leads that were not drawn."""

    train: LeadRows
    held_out: LeadRows
    others: LeadRows


def main() -> None:
    """Print a table per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--draws", type=int, default=DRAWS, help="how often leads are drawn for each size and org")
    parser.add_argument("--pooled-leads", type=int, help="of each other org, at most so many leads are in the pool")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="how many leads are drawn")
    arguments = parser.parse_args()
    parts = read_leads(parser, arguments, drawn_orgs(SIMULATED_ORGS, SIMULATED_LEADS))
    console = wide_console()
    for size in arguments.sizes:
        trials: dict[str, list[Trial]] = {}
        for org in (part for part in parts if part.has_both_outcomes and size + FEWEST_JUDGED_LEADS <= part.records):
            pool = [pooled_part(part, arguments.pooled_leads) for part in parts if part is not org]
            for drawn in draws_of(org, size, arguments.draws):
                for name, trial in tried(drawn, pool, size).items():
                    trials.setdefault(name, []).append(trial)
        if trials:
            console.print(size_table(size, trials))


def draws_of(org: LeadRows, size: int, draws: int) -> list[Drawn]:
    """Return the draws in which both the training side and the holdout have both outcomes."""
    random, leads = np.random.default_rng([2, size]), np.unique(org.lead_ids)
    sides = round(size * (1 - HOLDOUT_SHARE))
    drawn = [_drawn(org, random.choice(leads, size, replace=False), sides) for _ in range(draws)]
    return [each for each in drawn if each.train.has_both_outcomes and each.held_out.has_both_outcomes]


def _drawn(org: LeadRows, leads: npt.NDArray[np.str_], sides: int) -> Drawn:
    others = org.where(~np.isin(org.lead_ids, leads))
    return Drawn(org.of_leads(leads[:sides]), org.of_leads(leads[sides:]), others)


def tried(drawn: Drawn, pool: Sequence[LeadRows], size: int) -> dict[str, Trial]:
    """Return what became of each candidate."""
    rows = np.concatenate([drawn.held_out.rows, drawn.others.rows])
    pooled, taught = of_the_pool(drawn.train, pool, rows)
    former, own = (model(drawn.train)(rows) for model in (shrunk_random_forest, ours))
    return {
        "former own, former rule": _trial(drawn, former, pooled, by_gate(MANY_RECORDS)),
        "own": _trial(drawn, own, pooled, by_gate(size)),
        "taught": _trial(drawn, taught, pooled, by_gate(size, is_taught=True)),
        "taught, always": _trial(drawn, taught, pooled, lambda *_: True),
    }


def by_gate(records: int, *, is_taught: bool = False) -> Callable[[Floats, Floats, LeadRows], bool]:
    """Return whether the gate activates a candidate of so many records, by what both models say of the holdout."""

    def is_activated(candidate: Floats, pooled: Floats, held_out: LeadRows) -> bool:
        holdout = held_out.holdout()
        comparison = compare(candidate, pooled, holdout, against=Baseline("pooled", "1"), is_taught=is_taught)
        report = evaluate("1", candidate, holdout, RecordCounts(records, records // 2, records, {}, ""))
        return decide(report, comparison, None, POLICY).verdict == "activate"

    return is_activated


def _trial(
    drawn: Drawn, candidate: Floats, pooled: Floats, activates: Callable[[Floats, Floats, LeadRows], bool]
) -> Trial:
    held_out, converted = len(drawn.held_out.rows), drawn.others.converted
    is_activated = activates(candidate[:held_out], pooled[:held_out], drawn.held_out)
    ours, theirs = candidate[held_out:], pooled[held_out:]
    return Trial(
        is_activated,
        brier_score_of(theirs, converted) - brier_score_of(ours, converted),
        (roc_auc_of(ours, converted) or 0.5) - (roc_auc_of(theirs, converted) or 0.5),
    )


def size_table(size: int, trials: dict[str, list[Trial]]) -> Table:
    """Return what the gate did with each kind of candidate."""
    columns = ("candidate", "activated", "worse", "much worse", "missed", "Brier gain", "ROC-AUC gain")
    table = Table(*columns, title=f"{size:,} records: {max(map(len, trials.values()))} trials")
    for name, tries in trials.items():
        gains = [trial.brier_gain for trial in tries if trial.is_activated]
        missed = sum(trial.brier_gain > MUCH and not trial.is_activated for trial in tries)
        table.add_row(
            name,
            f"{len(gains)} of {len(tries)}",
            f"{sum(gain < 0 for gain in gains)}",
            f"{sum(gain < -MUCH for gain in gains)}",
            f"{missed} of {sum(trial.brier_gain > MUCH for trial in tries)}",
            f"{sum(gains) / len(tries):+.4f}",
            f"{sum(trial.roc_auc_gain for trial in tries if trial.is_activated) / len(tries):+.4f}",
        )
    return table


if __name__ == "__main__":
    main()
