"""An org that is trained every month for a year on simulated leads: its versions, their comparisons, and the truth.

Everything is computed when it is first asked for, once. Forests are the project's, with fewer trees and a fixed
shrinkage, for speed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from benchmarks.models.harness.changing_worlds import WORLDS, Rows, World, draw_month, joined
from leadscore.arrays import Flags, Floats
from leadscore.comparison import BASE_RATE, Baseline, Comparison, compare
from leadscore.evaluation import EvaluationReport, Metrics, evaluate
from leadscore.records import RecordCounts
from leadscore_assets.training.shapes import FINE, grow
from leadscore_assets.training.shrinkage import shrink

MONTHS = 13  # the first training, and a year
WINDOW_MONTHS = 6
TREES = 25
SHRINKAGE = 200.0  # what `fit` chooses on these leads, whatever their number
NEW_LEADS = 600


@dataclass(frozen=True, eq=False)
class Version:
    """A forest, and what it is judged on."""

    estimator: RandomForestClassifier
    holdout: Rows
    base_rate: float

    @classmethod
    def trained(cls, rows: Rows, is_held_out: Flags) -> Version:
        """Return the version trained on the rows that are not held out."""
        training = rows.where(~is_held_out)
        leads = np.unique(training.lead_ids, return_inverse=True)[1]
        estimator = grow(training.features.astype(np.float32), training.converted, leads, FINE, trees=TREES)
        shrink(estimator, SHRINKAGE)
        return cls(estimator, rows.where(is_held_out), float(training.converted.mean()))

    def probabilities(self, rows: Rows) -> Floats:
        """Return the version's probabilities, shape (rows,); scikit-learn's own way takes thrice the time."""
        table = rows.features.astype(np.float32)
        by_tree = [member.tree_.predict(table)[:, 1] for member in self.estimator.estimators_]
        return np.asarray(np.mean(by_tree, axis=0), np.float64)

    def report_on(self, rows: Rows) -> EvaluationReport:
        """Return the version's report on `rows` as its holdout. The records are taken for enough."""
        counts = RecordCounts(10_000, 2_500, len(rows.converted), {}, "")
        return evaluate("20260101000000", self.probabilities(rows), rows.holdout(), counts)


@dataclass(frozen=True)
class Truth:
    """What a version's ROC-AUC and Brier score are expected to be on new leads, whichever of them convert."""

    roc_auc: float
    brier_score: float

    @classmethod
    def of(cls, probabilities: Floats, chances: Floats) -> Truth:
        """Return it for the probabilities given to rows, and the rows' true chances to convert, shape (rows,)."""
        _, place = np.unique(probabilities, return_inverse=True)
        converted, others = np.bincount(place, chances), np.bincount(place, 1 - chances)
        won = (converted * (others.cumsum() - others / 2)).sum()
        squares = chances * (1 - probabilities) ** 2 + (1 - chances) * probabilities**2
        return cls(float(won / (converted.sum() * others.sum())), float(squares.mean()))


class Org:
    """An org in a world. `versions` were held to the holdout by hash, `own_split` each to a random fifth of its own."""

    def __init__(self, world: World, leads: int, repeat: int) -> None:
        self.seed = [repeat, leads, WORLDS.index(world)]
        rng = np.random.default_rng(self.seed)
        months = [draw_month(rng, world, month, leads // WINDOW_MONTHS) for month in range(1 - WINDOW_MONTHS, MONTHS)]
        self.new_leads = [draw_month(rng, world, month + 1, NEW_LEADS) for month in range(MONTHS)]
        self.rows: list[Rows] = []
        self.versions: list[Version] = []
        for month in range(MONTHS):
            rows = joined(months[0 if world.window_grows else month : month + WINDOW_MONTHS])
            self.rows.append(rows.with_wrong_outcomes(rng, world.wrong_outcomes.get(month, 0.0)))
            self.versions.append(Version.trained(self.rows[month], self.rows[month].is_held_out))
        self.own_split: Callable[[int], Version] = cache(self._own_split)
        self.report: Callable[[int], EvaluationReport] = cache(self._report)
        self.compared: Callable[[int, int | None], Comparison | None] = cache(self._compared)
        self.own_metrics: Callable[[int], Metrics] = cache(self._own_metrics)
        self.truth: Callable[[int, int], Truth] = cache(self._truth)
        self.own_truth: Callable[[int, int], Truth] = cache(self._own_truth)

    def _own_split(self, month: int) -> Version:
        rng = np.random.default_rng([*self.seed, month])
        return Version.trained(self.rows[month], self.rows[month].random_fifth(rng))

    def _report(self, month: int) -> EvaluationReport:
        return self.versions[month].report_on(self.versions[month].holdout)

    def _compared(self, candidate: int, champion: int | None) -> Comparison | None:
        """Compare two months' versions on the candidate's holdout, or one with the base rate; None for one class."""
        version = self.versions[candidate]
        rows = version.holdout
        if not rows.converted.any() or rows.converted.all():
            return None
        ours = version.probabilities(rows)
        if champion is None:
            return compare(ours, np.full(len(ours), version.base_rate), rows.holdout(), against=BASE_RATE)
        when_judged = self.compared(champion, None)
        return compare(
            ours,
            self.versions[champion].probabilities(rows),
            rows.holdout(),
            against=Baseline("own", f"of month {champion}"),
            shared_window=max(0.0, 1 - (candidate - champion) / WINDOW_MONTHS),
            baseline_when_judged=when_judged.roc_auc.candidate if when_judged else None,
        )

    def base_rate_truth(self, month: int) -> Truth:
        """Return how good the base rate of a month's training is on the leads of the month after."""
        chances = self.new_leads[month].probability
        return Truth.of(np.full(len(chances), self.versions[month].base_rate), chances)

    def _own_metrics(self, month: int) -> Metrics:
        version = self.own_split(month)
        return version.report_on(version.holdout).metrics

    def _truth(self, version: int, month: int) -> Truth:
        """Return how good a version is on the leads of the month after `month`."""
        rows = self.new_leads[month]
        return Truth.of(self.versions[version].probabilities(rows), rows.probability)

    def _own_truth(self, version: int, month: int) -> Truth:
        rows = self.new_leads[month]
        return Truth.of(self.own_split(version).probabilities(rows), rows.probability)
