"""How sure it is that one model is better than another: a paired bootstrap over the holdout's leads.

A holdout is a sample: had other leads been in it, every figure would be another. The bootstrap (Efron and Tibshirani
1993, "An Introduction to the Bootstrap") draws as many leads as there are, with replacement, again and again. All rows
of a lead are drawn together, because they share its outcome; and both models are judged on the same draws, so that
what makes a draw easy or hard for both cancels out. The share of draws in which a model is ahead is the probability
that it is better.

Where no version scores the org's leads yet, a model is compared with the base rate: a model that knows only the share
of rows that convert, and so ranks no lead above another (ROC-AUC 0.5).

The cost is that of RESAMPLES passes over the rows, a few seconds for 100,000 of them. The draws are seeded: the same
holdout and probabilities give the same comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import hypot
from statistics import NormalDist
from typing import Literal

import msgspec
import numpy as np

from leadscore.arrays import Flags, Floats, Indices
from leadscore.evaluation import Holdout, has_both_outcomes, log_losses

RESAMPLES = 1_000
SEED = 42
TAIL_PERCENT = 2.5
INTERVAL_IN_ERRORS = -2 * NormalDist().inv_cdf(TAIL_PERCENT / 100)  # the width of an interval, in standard errors
SIGNS = np.array([[1], [-1], [-1]])  # of ROC-AUC, Brier score and log loss: whether more is better
_BASE_RATE_TEXT = "base rate"
_POOLED_PREFIX = "pooled "
_CELLS_AT_A_TIME = 250_000


class Estimate(msgspec.Struct, frozen=True):
    """A figure on the holdout, and the interval that contains 95 % of its resamples."""

    value: float
    low: float
    high: float


class Difference(msgspec.Struct, frozen=True):
    """One metric of both models. `gain` is positive when the candidate is better, also where lower is better."""

    candidate: Estimate
    baseline: Estimate
    gain: Estimate
    probability_better: float


class Baseline(msgspec.Struct, frozen=True):
    """The baseline of a comparison: the org's own version, a version of the pooled model, or the base rate.

    `stored` is its text in evaluation.json and in the API's answers; `read` reads such a text.
    """

    kind: Literal["own", "pooled", "base_rate"]
    version: str = ""

    @classmethod
    def read(cls, stored: str) -> Baseline:
        """Return the baseline that `stored` stands for."""
        if stored == _BASE_RATE_TEXT:
            return BASE_RATE
        if stored.startswith(_POOLED_PREFIX):
            return cls("pooled", stored.removeprefix(_POOLED_PREFIX))
        return cls("own", stored)

    @property
    def stored(self) -> str:
        """The text that stands for this baseline."""
        return {"own": self.version, "pooled": _POOLED_PREFIX + self.version, "base_rate": _BASE_RATE_TEXT}[self.kind]

    @property
    def in_words(self) -> str:
        """How a sentence names this baseline."""
        return {
            "own": f"the active version {self.version}",
            "pooled": f"the pooled model {self.version}, which scores the org's leads now,",
            "base_rate": "the base rate",
        }[self.kind]


BASE_RATE = Baseline("base_rate")


class Comparison(msgspec.Struct, frozen=True):
    """Compares a candidate with a `baseline`: the org's own version, `pooled` with a pooled version, or `base rate`.

    `shared_window` is the share of the candidate's training window that is no newer than the baseline: 1 when both were
    trained on the same day, 0 when the baseline is older than the whole window. `baseline_when_judged` is the ROC-AUC
    of the org's own version on its own holdout, when it was judged itself; None where that cannot be compared.
    `is_taught` when the candidate is the pooled model taught by the org's own leads.
    """

    baseline: str
    leads: int
    resamples: int
    roc_auc: Difference
    brier_score: Difference
    log_loss: Difference
    shared_window: float = 1.0
    baseline_when_judged: Estimate | None = None
    is_taught: bool = False

    @property
    def against(self) -> Baseline:
        """The baseline that the candidate was compared with."""
        return Baseline.read(self.baseline)


def compare(
    candidate: Floats,
    baseline: Floats,
    holdout: Holdout,
    *,
    against: Baseline,
    shared_window: float = 1.0,
    baseline_when_judged: Estimate | None = None,
    is_taught: bool = False,
) -> Comparison:
    """Compare the candidate's probabilities for the holdout's rows, shape (rows,), with those of a baseline.

    `against` says which baseline it is; what else is known of it goes into the comparison. Raises ValueError when the
    holdout has one outcome only.
    """
    if not has_both_outcomes(holdout.converted):
        raise ValueError("the holdout has one outcome only, so nothing can be compared; the gate must refuse it first")
    ours, theirs = _resampled([candidate, baseline], holdout)
    roc_auc, brier_score, log_loss = _differences(ours, theirs, ties_by_brier_score=against.kind == "own")
    return Comparison(
        baseline=against.stored,
        leads=holdout.count_leads(),
        resamples=ours.shape[1] - 1,
        roc_auc=roc_auc,
        brier_score=brier_score,
        log_loss=log_loss,
        shared_window=shared_window,
        baseline_when_judged=baseline_when_judged,
        is_taught=is_taught,
    )


def probability_no_lower(of_candidate: Estimate, of_other: Estimate) -> float:
    """Return the probability that a figure is no lower than another one, which was measured on other leads.

    It follows from the two intervals, as if both errors were normal and independent. Leads that both holdouts have in
    common make the true error smaller, so a probability below a half is in truth still lower.
    """
    difference = of_candidate.value - of_other.value
    error = hypot(of_candidate.high - of_candidate.low, of_other.high - of_other.low) / INTERVAL_IN_ERRORS
    return NormalDist().cdf(difference / error) if error else float(difference >= 0)


def _resampled(models: Sequence[Floats], holdout: Holdout) -> Floats:
    """Return, shape (models, 3, 1 + resamples), each model's ROC-AUC, Brier score and log loss.

    They are those on the holdout itself, then those on each draw of leads that has both classes.
    """
    _, lead_of_row = np.unique(holdout.lead_ids, return_inverse=True)
    rankings = [_Ranking.of(probabilities, holdout.converted, lead_of_row) for probabilities in models]
    errors = [
        np.bincount(lead_of_row, of_rows)
        for probabilities in models
        for of_rows in ((probabilities - holdout.converted) ** 2, log_losses(probabilities, holdout.converted))
    ]
    rows_and_errors = np.stack([np.bincount(lead_of_row), *errors])
    parts = []
    for drawn in _draws(rows_and_errors.shape[1], len(lead_of_row)):
        rows, *sums = rows_and_errors @ drawn
        aucs = np.stack([ranking.roc_aucs(drawn) for ranking in rankings])
        means = (np.stack(sums) / rows).reshape(len(models), 2, -1)
        has_both_classes = np.isfinite(aucs[0])
        parts.append(np.concatenate([aucs[:, None], means], axis=1)[:, :, has_both_classes])
    return np.concatenate(parts, axis=2)


class _Ranking(msgspec.Struct, frozen=True):
    """The leads of the converted rows, and of the other rows in the order of their probabilities.

    For each converted row, `below` counts the other rows with a lower probability, and `upto` also those with an equal
    one.
    """

    converted_lead: Indices
    other_lead: Indices
    below: Indices
    upto: Indices

    @classmethod
    def of(cls, probabilities: Floats, converted: Flags, lead_of_row: Indices) -> _Ranking:
        others = np.flatnonzero(~converted)
        others = others[np.argsort(probabilities[others], kind="stable")]
        of_others, of_converted = probabilities[others], probabilities[converted]
        return cls(
            converted_lead=lead_of_row[converted],
            other_lead=lead_of_row[others],
            below=np.searchsorted(of_others, of_converted, side="left"),
            upto=np.searchsorted(of_others, of_converted, side="right"),
        )

    def roc_aucs(self, drawn: Floats) -> Floats:
        """Return the ROC-AUC under each column of `drawn`, shape (leads, draws): how often each lead counts."""
        others = np.zeros((len(self.other_lead) + 1, drawn.shape[1]))
        np.cumsum(drawn[self.other_lead], axis=0, out=others[1:])
        converted = drawn[self.converted_lead]
        won = np.einsum("ij,ij->j", converted, others[self.below] + others[self.upto]) / 2
        pairs = converted.sum(axis=0) * others[-1]
        with np.errstate(invalid="ignore"):  # a draw without both classes has no ROC-AUC, and is left out
            aucs: Floats = won / pairs
        return aucs


def _draws(leads: int, rows: int) -> Iterator[Floats]:
    """Yield how often each lead counts, shape (leads, draws), some draws at a time. The first counts each lead once."""
    yield np.ones((leads, 1))
    generator = np.random.default_rng(SEED)
    at_a_time = max(1, _CELLS_AT_A_TIME // rows)
    for start in range(0, RESAMPLES, at_a_time):
        draws = min(at_a_time, RESAMPLES - start)
        drawn = generator.integers(0, leads, size=(draws, leads)) + leads * np.arange(draws)[:, None]
        # a lead's counts side by side, because they are picked by lead
        yield np.bincount(drawn.ravel(), minlength=draws * leads).reshape(draws, leads).T.astype(np.float64, order="C")


def _differences(ours: Floats, theirs: Floats, *, ties_by_brier_score: bool) -> list[Difference]:
    """Return the difference in each metric, from figures of shape (3, 1 + resamples).

    Versions of an org with few kinds of leads often rank them alike, and only the rate has changed. So between them,
    the Brier score decides which ranks better in a draw where both rank alike.
    """
    figures = np.stack([ours, theirs, SIGNS * (ours - theirs)])
    low, high = np.percentile(figures[..., 1:], (TAIL_PERCENT, 100 - TAIL_PERCENT), axis=2)
    ends = np.stack([figures[..., 0], low, high], axis=2)
    of_candidate, of_baseline, of_gain = ([Estimate(*line) for line in of_model] for of_model in ends.tolist())
    gains = figures[2, :, 1:]
    is_better = gains > 0
    if ties_by_brier_score:
        is_better[0] |= (gains[0] == 0) & is_better[1]
    better = is_better.mean(axis=1).tolist()
    return [Difference(*parts) for parts in zip(of_candidate, of_baseline, of_gain, better, strict=True)]
