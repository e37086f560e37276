"""How sure it is that one model is better than another: a paired bootstrap over the holdout's leads.

A holdout is a sample: had other leads been in it, every figure would be another. The bootstrap (Efron and Tibshirani
1993, "An Introduction to the Bootstrap") draws as many leads as there are, with replacement, again and again. All rows
of a lead are drawn together, because they share its outcome; and both models are judged on the same draws, so that
what makes a draw easy or hard for both cancels out. The share of draws in which one model is ahead is how sure it is
that it is better.

A model that has nobody to be compared with is compared with the base rate: a model that knows nothing but the share of
rows that convert, and so ranks no lead above another (ROC-AUC 0.5).

The cost is that of RESAMPLES passes over the rows, a few seconds for 100,000 of them. The draws are seeded: the same
holdout and probabilities give the same comparison.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from leadscore.evaluation import Flags, Floats, Holdout, Indices, log_losses

RESAMPLES = 1_000
SEED = 42
TAIL_PERCENT = 2.5
BASE_RATE = "base rate"
_POOLED = "pooled "
_CELLS_AT_A_TIME = 250_000


class Estimate(msgspec.Struct, frozen=True):
    """A figure on the holdout, and the interval that holds 95 % of its resamples."""

    value: float
    low: float
    high: float


class Difference(msgspec.Struct, frozen=True):
    """One metric of both models. `gain` is positive where the candidate is better, whichever way the metric counts."""

    candidate: Estimate
    baseline: Estimate
    gain: Estimate
    probability_better: float


class Comparison(msgspec.Struct, frozen=True):
    """A candidate against a `baseline`: a version's id, `pooled_baseline` of the pooled model's, or BASE_RATE.

    `shared_window` is the share of the candidate's training window that the baseline was trained on too: 1 when both
    are of the same day, 0 when the baseline is older than the whole window.
    """

    baseline: str
    leads: int
    resamples: int
    roc_auc: Difference
    brier_score: Difference
    log_loss: Difference
    shared_window: float = 1.0

    @property
    def is_against_base_rate(self) -> bool:
        """Whether there was no version to compare with."""
        return self.baseline == BASE_RATE

    @property
    def is_against_pooled_model(self) -> bool:
        """Whether the pooled model scored the org's leads when this was compared."""
        return self.baseline.startswith(_POOLED)

    @property
    def baseline_text(self) -> str:
        """The baseline as a sentence names it."""
        if self.is_against_base_rate:
            return f"the {BASE_RATE}"
        if self.is_against_pooled_model:
            return f"the pooled model {self.baseline.removeprefix(_POOLED)}, which scores the org's leads now,"
        return f"the active version {self.baseline}"


def pooled_baseline(version: str) -> str:
    """Return what a baseline is called that is a version of the pooled model's, as it serves the org."""
    return _POOLED + version


def compare(
    candidate: Floats, baseline: Floats, holdout: Holdout, *, baseline_name: str, shared_window: float = 1.0
) -> Comparison:
    """Compare the probabilities, shape (rows,), that two models give to the holdout's rows.

    Raises ValueError when the holdout has one class only: nothing can be ranked there.
    """
    if not holdout.converted.any() or holdout.converted.all():
        raise ValueError("the holdout has one class only; the gate refuses it before anything is compared")
    ours, theirs = (_Figures.of(probabilities, holdout) for probabilities in (candidate, baseline))
    return Comparison(
        baseline=baseline_name,
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
    """The leads of converted rows and of the others, the others in the order of their probability.

    `below` and `upto` say how many of the others each converted row stands above, without and with those that tie.
    """

    converted_lead: Indices
    other_lead: Indices
    below: Indices
    upto: Indices

    @classmethod
    def of(cls, probabilities: Floats, converted: Flags, lead_of_row: Indices) -> _Ranking:
        others = np.flatnonzero(~converted)
        others = others[np.argsort(probabilities[others], kind="stable")]
        ranked, asked = probabilities[others], probabilities[converted]
        return cls(
            converted_lead=lead_of_row[converted],
            other_lead=lead_of_row[others],
            below=np.searchsorted(ranked, asked, side="left"),
            upto=np.searchsorted(ranked, asked, side="right"),
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
    """Yield how often each lead counts, shape (draws, leads), some draws at a time; once each comes first."""
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
