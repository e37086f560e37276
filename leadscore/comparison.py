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

from collections.abc import Iterator
from typing import Literal

import msgspec
import numpy as np

from leadscore.arrays import Flags, Floats, Indices
from leadscore.evaluation import Holdout, has_both_outcomes, log_losses

RESAMPLES = 1_000
SEED = 42
TAIL_PERCENT = 2.5
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
    trained on the same day, 0 when the baseline is older than the whole window.
    """

    baseline: str
    leads: int
    resamples: int
    roc_auc: Difference
    brier_score: Difference
    log_loss: Difference
    shared_window: float = 1.0

    @property
    def against(self) -> Baseline:
        """The baseline that the candidate was compared with."""
        return Baseline.read(self.baseline)


def compare(
    candidate: Floats, baseline: Floats, holdout: Holdout, *, against: Baseline, shared_window: float = 1.0
) -> Comparison:
    """Compare the candidate's probabilities for the holdout's rows, shape (rows,), with those of a baseline.

    `against` says which baseline it is. Raises ValueError when the holdout has one outcome only.
    """
    if not has_both_outcomes(holdout.converted):
        raise ValueError("the holdout has one outcome only, so nothing can be compared; the gate must refuse it first")
    ours, theirs = (_Figures.of(probabilities, holdout) for probabilities in (candidate, baseline))
    return Comparison(
        baseline=against.stored,
        leads=holdout.count_leads(),
        resamples=len(ours.roc_auc) - 1,
        roc_auc=_difference(ours.roc_auc, theirs.roc_auc, sign=1),
        brier_score=_difference(ours.brier_score, theirs.brier_score, sign=-1),
        log_loss=_difference(ours.log_loss, theirs.log_loss, sign=-1),
        shared_window=shared_window,
    )


class _Figures(msgspec.Struct, frozen=True):
    """A model's metrics, shape (1 + resamples,): on the holdout itself first, then on each draw that has both classes.

    Which draws these are depends on the leads alone, so that two models' figures stand side by side.
    """

    roc_auc: Floats
    brier_score: Floats
    log_loss: Floats

    @classmethod
    def of(cls, probabilities: Floats, holdout: Holdout) -> _Figures:
        _, lead_of_row = np.unique(holdout.lead_ids, return_inverse=True)
        ranking = _Ranking.of(probabilities, holdout.converted, lead_of_row)
        squares = np.bincount(lead_of_row, (probabilities - holdout.converted) ** 2)
        losses = np.bincount(lead_of_row, log_losses(probabilities, holdout.converted))
        rows = np.bincount(lead_of_row).astype(np.float64)
        parts = []
        for drawn in _draws(len(rows), len(lead_of_row)):
            auc, rows_drawn = ranking.roc_aucs(drawn), drawn @ rows
            figures = np.stack([auc, drawn @ squares / rows_drawn, drawn @ losses / rows_drawn])
            parts.append(figures[:, np.isfinite(auc)])
        return cls(*np.concatenate(parts, axis=1))


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
        """Return the ROC-AUC under each line of `drawn`, shape (draws, leads): how often each lead counts."""
        others = np.zeros((len(drawn), len(self.other_lead) + 1))
        np.cumsum(drawn[:, self.other_lead], axis=1, out=others[:, 1:])
        converted = drawn[:, self.converted_lead]
        won = np.einsum("ij,ij->i", converted, others[:, self.below] + others[:, self.upto]) / 2
        pairs = converted.sum(axis=1) * others[:, -1]
        with np.errstate(invalid="ignore"):  # a draw without both classes has no ROC-AUC, and is left out
            aucs: Floats = won / pairs
        return aucs


def _draws(leads: int, rows: int) -> Iterator[Floats]:
    """Yield how often each lead counts, shape (draws, leads), some draws at a time. The first counts each lead once."""
    yield np.ones((1, leads))
    generator = np.random.default_rng(SEED)
    at_a_time = max(1, _CELLS_AT_A_TIME // rows)
    for start in range(0, RESAMPLES, at_a_time):
        draws = min(at_a_time, RESAMPLES - start)
        drawn = generator.integers(0, leads, size=(draws, leads)) + leads * np.arange(draws)[:, None]
        yield np.bincount(drawn.ravel(), minlength=draws * leads).reshape(draws, leads).astype(np.float64)


def _difference(ours: Floats, theirs: Floats, *, sign: int) -> Difference:
    gain = sign * (ours - theirs)
    return Difference(
        candidate=_estimate(ours),
        baseline=_estimate(theirs),
        gain=_estimate(gain),
        probability_better=float((gain[1:] > 0).mean()),
    )


def _estimate(figures: Floats) -> Estimate:
    low, high = np.percentile(figures[1:], (TAIL_PERCENT, 100 - TAIL_PERCENT))
    return Estimate(float(figures[0]), float(low), float(high))
