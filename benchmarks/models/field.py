"""Our forest against the field: `python -m benchmarks.models.field FOLDER --as-of DATE`, or `--simulated`.

Every model is fitted five times on four fifths of the same leads, and judged on the fifth that is left, chosen by a
hash of the lead; so each lead is judged once. Figures are the mean ± standard deviation over the five; fit time is
CPU seconds. The last two columns say by how much ours is better, with the 95 % interval of the paired bootstrap over
all leads: an interval that holds 0 is within noise. For ROC-AUC a row there counts by its rank among those that the
same fit scored, since two fits differ in their level. The last table of a run joins all orgs into one.
"""

from __future__ import annotations

import argparse

import numpy as np
from rich.table import Table

from benchmarks.models.harness.lead_rows import FOLDS, LeadRows, add_arguments, read_leads, wide_console, with_all
from benchmarks.models.harness.rival_models import MODELS, OURS, OutOfFold, out_of_fold, require_rivals
from leadscore.arrays import Floats
from leadscore.comparison import Baseline, Difference, compare
from leadscore.evaluation import (
    average_precision_of,
    brier_score_of,
    expected_calibration_error_of,
    log_loss_of,
    roc_auc_of,
)

FIGURES = {
    "ROC-AUC": roc_auc_of,
    "avg. precision": average_precision_of,
    "Brier": brier_score_of,
    "log loss": log_loss_of,
    "ECE": expected_calibration_error_of,
}


def main() -> None:
    """Print a table per org."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    arguments = parser.parse_args()
    require_rivals()
    console = wide_console()
    for leads in with_all(read_leads(parser, arguments)):
        console.print(field_table(leads))


def field_table(leads: LeadRows) -> Table:
    """Return how all models do on one org."""
    counts = f"{leads.records:,} records, {len(leads.rows):,} rows, {leads.converted.mean():.1%} converted"
    gains = ("ROC-AUC gained by ours", "Brier gained by ours")
    table = Table("model", *FIGURES, "fit s", *gains, title=f"{leads.org_id}: {counts}")
    results = {name: out_of_fold(model, leads) for name, model in MODELS.items()}
    for name, result in results.items():
        against = [] if name == OURS else gained(results[OURS], result, leads)
        table.add_row(name, *spreads(result, leads), f"{result.fit_seconds:.2f}", *against)
    return table


def spreads(result: OutOfFold, leads: LeadRows) -> list[str]:
    """Return each figure's mean ± standard deviation over the folds that have both outcomes."""
    parts = [leads.converted[result.folds == fold] for fold in range(FOLDS)]
    usable = [fold for fold, converted in enumerate(parts) if converted.any() and not converted.all()]
    cells = []
    for figure in FIGURES.values():
        values = np.array([figure(result.probabilities[result.folds == fold], parts[fold]) for fold in usable])
        cells.append(f"{values.mean():.3f} ±{values.std():.3f}")
    return cells


def gained(our: OutOfFold, other: OutOfFold, leads: LeadRows) -> list[str]:
    """Return by how much ours is better in ROC-AUC and Brier score, with intervals."""
    ranked = compare(ranks(our), ranks(other), leads.holdout(), against=Baseline("own", "another"))
    scored = compare(our.probabilities, other.probabilities, leads.holdout(), against=Baseline("own", "another"))
    return [in_words(ranked.roc_auc), in_words(scored.brier_score)]


def ranks(result: OutOfFold) -> Floats:
    """Return the share of the same fold's rows that each row stands above, ties counted half, shape (rows,)."""
    shares = np.empty(len(result.folds))
    for fold in range(FOLDS):
        given = result.probabilities[result.folds == fold]
        in_order = np.sort(given)
        sides = [np.searchsorted(in_order, given, side=side) for side in ("left", "right")]
        shares[result.folds == fold] = np.sum(sides, axis=0) / 2 / max(1, len(given))
    return shares


def in_words(difference: Difference) -> str:
    """Return the gain with its interval, marked when it is not within noise."""
    gain = difference.gain
    verdict = " better" if gain.low > 0 else " worse" if gain.high < 0 else ""
    return f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]{verdict}"


if __name__ == "__main__":
    main()
