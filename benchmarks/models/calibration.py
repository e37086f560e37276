"""Do probabilities mean what they say? `python -m benchmarks.models.calibration FOLDER --as-of DATE`, or `--simulated`.

Compares the plain forest with ours on leads that the model was not fitted on (five folds of whole leads): the mean
probability against the share that converted in ten bins, and the expected calibration error (ECE) of all rows, per
landmark age, and per source. A few rows have an ECE by luck alone; the column "luck" is what a perfectly calibrated
model with our probabilities would show on as many rows, if they were independent.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from rich.table import Table

from benchmarks.models.harness.lead_rows import LeadRows, add_arguments, read_leads, wide_console, with_all
from benchmarks.models.harness.rival_models import OURS, PLAIN, ours, out_of_fold, plain_forest
from leadscore.arrays import Flags, Floats
from leadscore.evaluation import calibration_of, expected_calibration_error_of

FEWEST_ROWS = 100
DRAWS = 200


def main() -> None:
    """Print two tables per org."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    console = wide_console()
    for leads in with_all(read_leads(parser, parser.parse_args())):
        plain, our = (out_of_fold(model, leads).probabilities for model in (plain_forest, ours))
        console.print(reliability(leads, plain, our), errors(leads, plain, our))


def reliability(leads: LeadRows, plain: Floats, our: Floats) -> Table:
    """Return the reliability curves: each bin's rows, mean probability and share that converted."""
    table = Table(
        "bin", f"{PLAIN}: rows", "mean", "converted", f"{OURS}: rows", "mean", "converted", title=leads.org_id
    )
    curves = [{step.lower: step for step in calibration_of(given, leads.converted)} for given in (plain, our)]
    for lower in sorted(curves[0].keys() | curves[1].keys()):
        cells = []
        for curve in curves:
            step = curve.get(lower)
            cells += (
                [f"{step.rows:,}", f"{step.mean_probability:.3f}", f"{step.conversion_rate:.3f}"] if step else [""] * 3
            )
        table.add_row(f"{lower:.1f} to {lower + 0.1:.1f}", *cells)
    return table


def errors(leads: LeadRows, plain: Floats, our: Floats) -> Table:
    """Return the calibration error of all rows, and of those of each age and source that has enough of them."""
    table = Table(
        "rows of", "rows", "converted", "mean, ours", f"ECE {PLAIN}", f"ECE {OURS}", "luck", title=leads.org_id
    )
    for name, mask in groups(leads):
        converted = leads.converted[mask]
        table.add_row(
            name,
            f"{mask.sum():,}",
            f"{converted.mean():.3f}",
            f"{our[mask].mean():.3f}",
            f"{expected_calibration_error_of(plain[mask], converted):.3f}",
            f"{expected_calibration_error_of(our[mask], converted):.3f}",
            f"{luck(our[mask]):.3f}",
        )
    return table


def groups(leads: LeadRows) -> Iterator[tuple[str, Flags]]:
    """Yield all rows, then those of each age and each source, by name; small groups are left out."""
    yield "all", np.ones(len(leads.rows), dtype=bool)
    for kind, values in (("age, days", leads.landmark_days), ("source score", leads.sources)):
        for value in np.unique(values):
            mask = values == value
            if mask.sum() >= FEWEST_ROWS:
                yield f"{kind}: {value:g}", mask


def luck(probabilities: Floats) -> float:
    """Return the mean calibration error of outcomes that are drawn with exactly these probabilities."""
    random = np.random.default_rng(1)
    drawn = (random.random(len(probabilities)) < probabilities for _ in range(DRAWS))
    return float(np.mean([expected_calibration_error_of(probabilities, outcomes) for outcomes in drawn]))


if __name__ == "__main__":
    main()
