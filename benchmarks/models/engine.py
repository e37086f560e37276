"""The compiled engine with numpy, scikit-learn and shap, on the same rows: `python -m benchmarks.models.engine`.

Each forest is grown as a training grows a fine one, on made-up rows with some unknown values. All ways take turns in
one process, and the median of their times counts: of a row scored, of a row explained (the contributions), and of rows
in a batch.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import shap
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import RandomForestClassifier

from leadscore.arrays import Flags, Floats
from leadscore.engine import scorer as scorer_module
from leadscore.engine.scorer import Scorer
from leadscore.features import CONTRACT
from leadscore_assets.training.estimator import flatten
from leadscore_assets.training.shapes import FINE, grow

TRAINING_ROWS = (1_500, 10_000, 50_000)
BATCH_ROWS = 1_000
MANY_ROWS = 10_000
FEW_ROWS = 20  # of a batch that shap explains
ROUNDS = 7
MICROSECONDS = 1e6

Call = Callable[[], object]


def made_up(rows: int) -> tuple[Floats, Flags]:
    """Return rows with continuous and whole features, some unknown, and an outcome that depends on two of them."""
    random = np.random.default_rng(1)
    table = random.normal(size=(rows, len(CONTRACT.features)))
    table[:, 5:] = np.round(table[:, 5:] * 2)
    converted = table[:, 0] + table[:, 6] / 2 + random.normal(size=rows) > 0
    table[random.random(table.shape) < 0.02] = np.nan
    return table, converted


def without_kernels(call: Call) -> Call:
    """Return `call` as it is where nothing can be compiled."""
    names = vars(scorer_module)
    compiled = names["kernels"]

    def run() -> object:
        names["kernels"] = lambda: None
        try:
            return call()
        finally:
            names["kernels"] = compiled

    return run


def ways(scorer: Scorer, estimator: RandomForestClassifier, rows: Floats) -> dict[str, dict[str, tuple[Call, int]]]:
    """Return, per question and way, what to call and how many rows that answers."""
    one, batch, few, many = rows[:1], rows[:BATCH_ROWS], rows[:FEW_ROWS], np.resize(rows, (MANY_ROWS, rows.shape[1]))
    row = one[0].tolist()
    explainer = shap.TreeExplainer(estimator, feature_perturbation="tree_path_dependent")
    return {
        "a row scored": {
            "compiled": (lambda: scorer.verdicts(one), 1),
            "numpy": (without_kernels(lambda: scorer.verdicts(one)), 1),
            "other": (lambda: estimator.predict_proba(one), 1),
        },
        "a row explained": {
            "compiled": (lambda: scorer.contributions(one), 1),
            "numpy": (without_kernels(lambda: scorer.contributions(one)), 1),
            "other": (lambda: explainer.shap_values(one, check_additivity=False), 1),
        },
        "a row scored and explained": {
            "compiled": (lambda: scorer.explain(row), 1),
            "numpy": (without_kernels(lambda: scorer.explain(row)), 1),
            "other": (lambda: (estimator.predict_proba(one), explainer.shap_values(one, check_additivity=False)), 1),
        },
        "of 10,000 scored": {
            "compiled": (lambda: scorer.verdicts(many), MANY_ROWS),
            "numpy": (without_kernels(lambda: scorer.verdicts(many)), MANY_ROWS),
            "other": (lambda: estimator.predict_proba(many), MANY_ROWS),
        },
        "of 1,000 scored": {
            "compiled": (lambda: scorer.verdicts(batch), BATCH_ROWS),
            "numpy": (without_kernels(lambda: scorer.verdicts(batch)), BATCH_ROWS),
            "other": (lambda: estimator.predict_proba(batch), BATCH_ROWS),
        },
        "of 1,000 explained": {
            "compiled": (lambda: scorer.contributions(batch), BATCH_ROWS),
            "numpy": (without_kernels(lambda: scorer.contributions(few)), FEW_ROWS),
            "other": (lambda: explainer.shap_values(few, check_additivity=False), FEW_ROWS),
        },
    }


def microseconds_a_row(calls: dict[str, tuple[Call, int]]) -> dict[str, float]:
    """Return each way's median time per row; the ways take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, (call, rows) in calls.items():
            started = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - started) / rows * MICROSECONDS)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    """Print the table; times are microseconds a row."""
    table = Table("training rows", "leaves", "what", "compiled", "numpy", "scikit-learn, shap", "ratio to these")
    for count in TRAINING_ROWS:
        rows, converted = made_up(count)
        estimator = grow(rows.astype(np.float32), converted, np.arange(count), FINE)
        scorer = flatten(estimator).scorer
        for what, calls in ways(scorer, estimator, rows).items():
            found = microseconds_a_row(calls)
            times = [f"{found[name]:,.3g}" for name in ("compiled", "numpy", "other")]
            ratio = f"{found['other'] / found['compiled']:.1f}"
            table.add_row(f"{count:,}", f"{np.count_nonzero(scorer.nodes.is_leaf) - 1:,}", what, *times, ratio)
    Console().print(table)


if __name__ == "__main__":
    main()
