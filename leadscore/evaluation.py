"""The quality of a version on leads that it was not trained on: one frozen report per version and holdout.

Rows are weighted equally; a lead gives one row for each landmark age at which it was open. Definitions are
scikit-learn's, with which the tests compare every number.
"""

from __future__ import annotations

import msgspec
import numpy as np

from leadscore.arrays import Flags, Floats, Indices, Ints, Texts
from leadscore.records import RecordCounts
from leadscore.scoring import DECISION_THRESHOLD

CALIBRATION_BINS = 10
LIFT_STEPS = 10
TOP_SHARE = 0.2
MOST_POINTS = 100


class ConfusionMatrix(msgspec.Struct, frozen=True):
    """Rows by outcome and by prediction at the decision threshold of 0.5."""

    true_negatives: int
    false_positives: int
    false_negatives: int
    true_positives: int


class Metrics(msgspec.Struct, frozen=True):
    """The figures of a version. ROC-AUC and average precision are None when the holdout has one class only.

    `expected_calibration_error` is the mean distance between probability and share converted over the calibration's
    bins, weighted by their rows; format 1 did not store it.
    """

    precision: float
    recall: float
    f1_score: float
    roc_auc: float | None
    accuracy: float
    brier_score: float
    log_loss: float
    average_precision: float | None
    confusion_matrix: ConfusionMatrix
    expected_calibration_error: float | None = None


class CalibrationBin(msgspec.Struct, frozen=True):
    """Rows whose probability lies in [lower, upper): how many, the mean probability, the share that converted."""

    lower: float
    upper: float
    rows: int
    mean_probability: float
    conversion_rate: float


class LiftStep(msgspec.Struct, frozen=True):
    """Contacting the best `contacted` share of rows reaches the `reached` share of the conversions."""

    contacted: float
    reached: float
    lift: float


class AgeQuality(msgspec.Struct, frozen=True):
    """The quality at one landmark age (days since creation)."""

    landmark_days: int
    rows: int
    conversion_rate: float
    roc_auc: float | None
    brier_score: float


class LeadQuality(msgspec.Struct, frozen=True):
    """The quality with each lead counted once, by its score at its youngest age: how new leads are ranked.

    The `top_leads` that score best are a TOP_SHARE of the `leads`, and hold `top_conversions` of the `conversions`.
    """

    leads: int
    conversions: int
    top_leads: int
    top_conversions: int
    roc_auc: float | None
    brier_score: float

    @property
    def top_reached(self) -> float | None:
        """The share of conversions that the best leads hold; None without conversions."""
        return self.top_conversions / self.conversions if self.conversions else None


class RocPoint(msgspec.Struct, frozen=True):
    """One point of the ROC curve."""

    false_positive_rate: float
    true_positive_rate: float


class PrecisionRecallPoint(msgspec.Struct, frozen=True):
    """One point of the precision-recall curve."""

    recall: float
    precision: float


class EvaluationReport(msgspec.Struct, frozen=True):
    """A version's quality on a holdout. `records` counts all the leads that the holdout was taken from.

    All but `by_lead` counts rows; `by_lead` is None where an earlier release judged the version.
    """

    version: str
    records: int
    converted_records: int
    holdout_records: int
    holdout_converted_records: int
    holdout_rows: int
    metrics: Metrics
    calibration: tuple[CalibrationBin, ...]
    lift: tuple[LiftStep, ...]
    by_age: tuple[AgeQuality, ...]
    roc_curve: tuple[RocPoint, ...]
    precision_recall_curve: tuple[PrecisionRecallPoint, ...] = ()
    by_lead: LeadQuality | None = None

    @property
    def base_rate(self) -> float:
        """The share of all records that converted."""
        return self.converted_records / self.records if self.records else 0.0


class Holdout(msgspec.Struct, frozen=True):
    """The rows that a version is judged on: lead, age in days, outcome; arrays of shape (rows,)."""

    lead_ids: Texts
    landmark_days: Ints
    converted: Flags

    def count_leads(self, *, converted_only: bool = False) -> int:
        """Return how many different leads there are, or how many of them converted."""
        return len(np.unique(self.lead_ids[self.converted] if converted_only else self.lead_ids))

    def is_youngest(self) -> Flags:
        """Return which rows are their lead's at its youngest age, shape (rows,)."""
        by_age = np.argsort(self.landmark_days, kind="stable")
        first = np.unique(self.lead_ids[by_age], return_index=True)[1]
        is_youngest = np.zeros(len(by_age), dtype=bool)
        is_youngest[by_age[first]] = True
        return is_youngest


def evaluate(version: str, probabilities: Floats, holdout: Holdout, counts: RecordCounts) -> EvaluationReport:
    """Return the report of a version that gave `probabilities`, shape (rows,), to the holdout's rows."""
    return EvaluationReport(
        version=version,
        records=counts.records,
        converted_records=counts.converted_records,
        holdout_records=holdout.count_leads(),
        holdout_converted_records=holdout.count_leads(converted_only=True),
        holdout_rows=len(probabilities),
        metrics=metrics_of(probabilities, holdout.converted),
        calibration=calibration_of(probabilities, holdout.converted),
        lift=lift_of(probabilities, holdout.converted),
        by_age=_by_age(probabilities, holdout),
        roc_curve=roc_curve_of(probabilities, holdout.converted),
        precision_recall_curve=precision_recall_curve_of(probabilities, holdout.converted),
        by_lead=lead_quality_of(probabilities, holdout),
    )


def metrics_of(probabilities: Floats, converted: Flags) -> Metrics:
    """Return the figures for `probabilities` and outcomes, both of shape (rows,)."""
    predicted = probabilities >= DECISION_THRESHOLD
    matrix = ConfusionMatrix(
        true_negatives=int((~predicted & ~converted).sum()),
        false_positives=int((predicted & ~converted).sum()),
        false_negatives=int((~predicted & converted).sum()),
        true_positives=int((predicted & converted).sum()),
    )
    precision = _ratio(matrix.true_positives, matrix.true_positives + matrix.false_positives)
    recall = _ratio(matrix.true_positives, matrix.true_positives + matrix.false_negatives)
    return Metrics(
        precision=precision,
        recall=recall,
        f1_score=_ratio(2 * precision * recall, precision + recall),
        roc_auc=roc_auc_of(probabilities, converted),
        accuracy=_ratio(matrix.true_positives + matrix.true_negatives, len(converted)),
        brier_score=brier_score_of(probabilities, converted),
        log_loss=log_loss_of(probabilities, converted),
        average_precision=average_precision_of(probabilities, converted),
        confusion_matrix=matrix,
        expected_calibration_error=expected_calibration_error_of(probabilities, converted),
    )


def has_both_outcomes(converted: Flags) -> bool:
    """Return whether some rows converted and others did not; without both, ranking has no measure."""
    return bool(converted.any() and not converted.all())


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else 0.0


def brier_score_of(probabilities: Floats, converted: Flags) -> float:
    """Return the mean squared difference between probability and outcome; 0 without rows."""
    return float(np.mean((probabilities - converted) ** 2)) if len(converted) else 0.0


def log_losses(probabilities: Floats, converted: Flags) -> Floats:
    """Return each row's negative log-likelihood in nats; probabilities of 0 and 1 are moved inside by one epsilon."""
    epsilon = np.finfo(np.float64).eps
    inside = np.clip(probabilities, epsilon, 1 - epsilon)
    return -np.where(converted, np.log(inside), np.log1p(-inside))


def log_loss_of(probabilities: Floats, converted: Flags) -> float:
    """Return the mean negative log-likelihood in nats; 0 without rows."""
    return float(log_losses(probabilities, converted).mean()) if len(converted) else 0.0


def roc_auc_of(probabilities: Floats, converted: Flags) -> float | None:
    """Return the chance that a converted row ranks above an unconverted one, ties counted half; None for one class."""
    positives, negatives = int(converted.sum()), int((~converted).sum())
    if not positives or not negatives:
        return None
    _, rank, size = np.unique(probabilities, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(size) - (size - 1) / 2
    rank_sum = mean_rank[rank][converted].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def _cumulative(probabilities: Floats, converted: Flags) -> tuple[Floats, Floats]:
    """Return how many rows, and how many conversions, stand at or above each distinct probability, highest first."""
    distinct, at = np.unique(-probabilities, return_inverse=True)
    rows = np.bincount(at, minlength=len(distinct)).cumsum().astype(np.float64)
    conversions = np.bincount(at, weights=converted, minlength=len(distinct)).cumsum()
    return rows, conversions


def average_precision_of(probabilities: Floats, converted: Flags) -> float | None:
    """Return the precision averaged over the gains in recall; None without conversions."""
    if not has_both_outcomes(converted):
        return None
    rows, conversions = _cumulative(probabilities, converted)
    gained = np.diff(conversions, prepend=0.0) / conversions[-1]
    return float((gained * conversions / rows).sum())


def _thinned(length: int) -> Indices:
    """Return about MOST_POINTS places of a curve that has `length`, the last one included."""
    return np.unique(np.append(np.arange(0, length, max(1, length // MOST_POINTS)), length - 1))


def roc_points(rows: Floats, conversions: Floats) -> list[tuple[float, float]]:
    """Return the points (false positive rate, true positive rate) from (0, 0) to (1, 1).

    `rows` and `conversions` say how many stand at or above falling probabilities; the last counts them all.
    """
    others = rows - conversions
    false_rates, true_rates = others / others[-1], conversions / conversions[-1]
    return [(0.0, 0.0), *zip(false_rates.tolist(), true_rates.tolist(), strict=True)]


def precision_recall_points(rows: Floats, conversions: Floats) -> list[tuple[float, float]]:
    """Return the points (recall, precision) from the same arguments as `roc_points`."""
    recalls, precisions = conversions / conversions[-1], conversions / rows
    return list(zip(recalls.tolist(), precisions.tolist(), strict=True))


def precision_recall_curve_of(probabilities: Floats, converted: Flags) -> tuple[PrecisionRecallPoint, ...]:
    """Return precision over recall, from the best rows to all, about MOST_POINTS of them; empty for one class."""
    if not has_both_outcomes(converted):
        return ()
    rows, conversions = _cumulative(probabilities, converted)
    kept = _thinned(len(rows))
    return tuple(PrecisionRecallPoint(x, y) for x, y in precision_recall_points(rows[kept], conversions[kept]))


def roc_curve_of(probabilities: Floats, converted: Flags) -> tuple[RocPoint, ...]:
    """Return the ROC curve from (0, 0) to (1, 1), thinned to about MOST_POINTS; empty for one class."""
    if not has_both_outcomes(converted):
        return ()
    rows, conversions = _cumulative(probabilities, converted)
    kept = _thinned(len(rows))
    return tuple(RocPoint(x, y) for x, y in roc_points(rows[kept], conversions[kept]))


def calibration_bins(probabilities: Floats) -> Indices:
    """Return which of the CALIBRATION_BINS bins of equal width each probability lies in; 1 belongs to the last."""
    return np.minimum((probabilities * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)


def calibration_of(probabilities: Floats, converted: Flags) -> tuple[CalibrationBin, ...]:
    """Return the calibration over ten bins of equal width; bins without rows are left out."""
    bins = calibration_bins(probabilities)
    return tuple(
        CalibrationBin(
            lower=index / CALIBRATION_BINS,
            upper=(index + 1) / CALIBRATION_BINS,
            rows=int((bins == index).sum()),
            mean_probability=float(probabilities[bins == index].mean()),
            conversion_rate=float(converted[bins == index].mean()),
        )
        for index in np.unique(bins).tolist()
    )


def expected_calibration_error_of(probabilities: Floats, converted: Flags) -> float:
    """Return the mean distance between probability and share converted over the ten bins, weighted by rows."""
    bins = calibration_of(probabilities, converted)
    distances = sum(b.rows * abs(b.mean_probability - b.conversion_rate) for b in bins)
    return distances / len(converted) if len(converted) else 0.0


def lift_of(probabilities: Floats, converted: Flags) -> tuple[LiftStep, ...]:
    """Return what contacting the best tenth, two tenths … of the rows reaches; empty without conversions."""
    if not converted.any():
        return ()
    in_order = converted[np.argsort(-probabilities, kind="stable")].cumsum()
    steps = []
    for step in range(1, LIFT_STEPS + 1):
        contacted = max(1, round(len(in_order) * step / LIFT_STEPS))
        reached = float(in_order[contacted - 1] / in_order[-1])
        steps.append(LiftStep(contacted / len(in_order), reached, reached * len(in_order) / contacted))
    return tuple(steps)


def lead_quality_of(probabilities: Floats, holdout: Holdout) -> LeadQuality:
    """Return the quality of `probabilities`, shape (rows,), with each lead counted once, at its youngest age."""
    is_youngest = holdout.is_youngest()
    scores, converted = probabilities[is_youngest], holdout.converted[is_youngest]
    top = round(len(scores) * TOP_SHARE)
    best = np.argsort(-scores, kind="stable")[:top]
    return LeadQuality(
        leads=len(scores),
        conversions=int(converted.sum()),
        top_leads=top,
        top_conversions=int(converted[best].sum()),
        roc_auc=roc_auc_of(scores, converted),
        brier_score=brier_score_of(scores, converted),
    )


def _by_age(probabilities: Floats, holdout: Holdout) -> tuple[AgeQuality, ...]:
    qualities = []
    for age in np.unique(holdout.landmark_days).tolist():
        at_age = holdout.landmark_days == age
        converted = holdout.converted[at_age]
        qualities.append(
            AgeQuality(
                landmark_days=age,
                rows=int(at_age.sum()),
                conversion_rate=float(converted.mean()),
                roc_auc=roc_auc_of(probabilities[at_age], converted),
                brier_score=brier_score_of(probabilities[at_age], converted),
            )
        )
    return tuple(qualities)
