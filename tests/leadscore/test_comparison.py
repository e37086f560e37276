"""The paired bootstrap: its figures against a plain loop, and what a statistician asks of its intervals."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leadscore import comparison
from leadscore.arrays import Floats
from leadscore.comparison import (
    BASE_RATE,
    RESAMPLES,
    SEED,
    Baseline,
    Comparison,
    Estimate,
    compare,
    probability_no_lower,
)
from leadscore.evaluation import Holdout, brier_score_of, log_loss_of, roc_auc_of


def _holdout(leads: int, rows_per_lead: int = 3, *, seed: int = 0, base_rate: float = 0.3) -> Holdout:
    """Make a holdout whose leads have one row or more, in no order, all with the lead's outcome."""
    rng = np.random.default_rng(seed)
    lead = np.concatenate([np.arange(leads), rng.integers(0, leads, size=leads * (rows_per_lead - 1))])
    rng.shuffle(lead)
    converted = rng.random(leads) < base_rate
    converted[:2] = (True, False)
    return Holdout(lead_ids=lead.astype(str), landmark_days=np.zeros(len(lead), np.int64), converted=converted[lead])


def _guesses(holdout: Holdout, knowledge: float, *, seed: int = 1) -> Floats:
    """Give each row a probability, coarse enough to tie, that knows the more of its outcome the higher `knowledge`."""
    noise = np.random.default_rng(seed).normal(size=len(holdout.converted))
    return np.asarray(np.round(1 / (1 + np.exp(1 - noise - knowledge * holdout.converted)), 2), np.float64)


def _compare(candidate: Floats, baseline: Floats, holdout: Holdout) -> Comparison:
    return compare(candidate, baseline, holdout, against=Baseline("own", "20260315060000"))


def test_every_figure_is_that_of_a_plain_loop_over_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each draw repeats whole leads; scikit-learn's weighted ROC-AUC and weighted means judge it, one at a time."""
    monkeypatch.setattr(comparison, "RESAMPLES", draws := 120)
    holdout = _holdout(23, base_rate=0.5)
    ours, theirs = _guesses(holdout, 1.0), _guesses(holdout, 0.7, seed=2)
    names, lead_of_row = np.unique(holdout.lead_ids, return_inverse=True)
    rng, losses = np.random.default_rng(SEED), comparison.log_losses
    figures: dict[str, list[tuple[float, float]]] = {"roc_auc": [], "brier_score": [], "log_loss": []}
    for _ in range(draws):
        weights = np.bincount(rng.integers(0, len(names), size=len(names)), minlength=len(names))[lead_of_row]
        both = (ours, theirs)
        auc = [roc_auc_score(holdout.converted, guess, sample_weight=weights) for guess in both]
        brier = [np.average((guess - holdout.converted) ** 2, weights=weights) for guess in both]
        loss = [np.average(losses(guess, holdout.converted), weights=weights) for guess in both]
        for name, pair in zip(figures, (auc, brier, loss), strict=True):
            figures[name].append((float(pair[0]), float(pair[1])))

    found = _compare(ours, theirs, holdout)

    assert found.resamples == draws
    for name, sign in (("roc_auc", 1), ("brier_score", -1), ("log_loss", -1)):
        difference, drawn = getattr(found, name), np.array(figures[name])
        gain = sign * (drawn[:, 0] - drawn[:, 1])
        assert difference.probability_better == pytest.approx((gain > 0).mean(), abs=0.0085)
        for estimate, values in ((difference.candidate, drawn[:, 0]), (difference.baseline, drawn[:, 1])):
            assert (estimate.low, estimate.high) == pytest.approx(np.percentile(values, (2.5, 97.5)), abs=1e-12)
        assert (difference.gain.low, difference.gain.high) == pytest.approx(np.percentile(gain, (2.5, 97.5)), abs=1e-12)


def test_the_values_are_those_of_the_report() -> None:
    """The estimates beside the intervals are the metrics on the holdout itself, ties and all."""
    holdout = _holdout(60)
    ours, theirs = _guesses(holdout, 1.0), _guesses(holdout, 0.5, seed=2)

    found = _compare(ours, theirs, holdout)

    metrics = ((found.roc_auc, roc_auc_of), (found.brier_score, brier_score_of), (found.log_loss, log_loss_of))
    for difference, metric in metrics:
        assert difference.candidate.value == pytest.approx(metric(ours, holdout.converted), abs=1e-12)
        assert difference.baseline.value == pytest.approx(metric(theirs, holdout.converted), abs=1e-12)
    assert found.roc_auc.gain.value == found.roc_auc.candidate.value - found.roc_auc.baseline.value
    assert found.brier_score.gain.value == found.brier_score.baseline.value - found.brier_score.candidate.value
    assert (found.leads, found.against) == (60, Baseline("own", "20260315060000"))


def test_rows_that_are_copies_add_no_certainty() -> None:
    """What counts is how many leads there are: with every row doubled, all figures stay as they are."""
    holdout = _holdout(40)
    ours, theirs = _guesses(holdout, 1.0), _guesses(holdout, 0.5, seed=2)
    doubled = Holdout(*(np.repeat(values, 2) for values in msgspec.structs.astuple(holdout)))

    once, twice = _compare(ours, theirs, holdout), _compare(np.repeat(ours, 2), np.repeat(theirs, 2), doubled)

    for name in ("roc_auc", "brier_score", "log_loss"):
        for part in ("candidate", "baseline", "gain"):
            one, two = getattr(getattr(once, name), part), getattr(getattr(twice, name), part)
            assert msgspec.structs.astuple(one) == pytest.approx(msgspec.structs.astuple(two), abs=1e-12)


def test_a_model_is_not_better_than_itself() -> None:
    holdout = _holdout(40)
    ours = _guesses(holdout, 1.0)

    found = _compare(ours, ours.copy(), holdout)

    for difference in (found.roc_auc, found.brier_score, found.log_loss):
        assert difference.gain == Estimate(0.0, 0.0, 0.0)
        assert difference.probability_better == 0.0


def test_a_candidate_that_is_better_on_every_lead_is_better_for_certain() -> None:
    holdout = _holdout(40)
    theirs = np.full(len(holdout.converted), 0.4)
    ours = np.where(holdout.converted, 0.6, 0.2)

    found, turned = _compare(ours, theirs, holdout), _compare(theirs, ours, holdout)

    for name in ("roc_auc", "brier_score", "log_loss"):
        assert getattr(found, name).probability_better == 1.0
        assert getattr(found, name).gain.low > 0
        assert getattr(turned, name).probability_better == 0.0
        assert getattr(turned, name).gain.value == -getattr(found, name).gain.value


@pytest.mark.parametrize(
    ("value", "half", "other", "other_half", "probability"),
    [
        (0.7, 0.098, 0.7, 0.196, 0.5),
        (0.7, 0.0588, 0.75, 0.0784, 0.1587),  # standard errors of 0.03 and 0.04, together 0.05: one below
        (0.8, 0.0588, 0.75, 0.0784, 0.8413),
        (1.0, 0.0, 1.0, 0.0, 1.0),
        (0.9, 0.0, 1.0, 0.0, 0.0),
    ],
)
def test_a_figure_on_other_leads_is_no_lower_with_a_probability_that_follows_from_both_intervals(
    value: float, half: float, other: float, other_half: float, probability: float
) -> None:
    now, then = (Estimate(at, at - width, at + width) for at, width in ((value, half), (other, other_half)))
    assert probability_no_lower(now, then) == pytest.approx(probability, abs=1e-4)


def test_the_base_rate_ranks_nothing() -> None:
    holdout = _holdout(40)
    found = compare(_guesses(holdout, 1.0), np.full(len(holdout.converted), 0.3), holdout, against=BASE_RATE)

    assert (found.baseline, found.against) == ("base rate", BASE_RATE)
    assert found.roc_auc.baseline == Estimate(0.5, 0.5, 0.5)


def test_the_order_of_the_rows_changes_nothing() -> None:
    holdout = _holdout(40)
    ours, theirs = _guesses(holdout, 1.0), _guesses(holdout, 0.5, seed=2)
    order = np.random.default_rng(3).permutation(len(ours))
    shuffled = Holdout(*(values[order] for values in msgspec.structs.astuple(holdout)))

    straight, mixed = _compare(ours, theirs, holdout), _compare(ours[order], theirs[order], shuffled)

    assert straight.roc_auc == mixed.roc_auc
    assert straight.brier_score.gain.value == pytest.approx(mixed.brier_score.gain.value, abs=1e-12)


@pytest.mark.parametrize(("against", "better"), [(Baseline("own", "1"), 1.0), (Baseline("pooled", "1"), 0.0)])
def test_between_versions_of_the_org_that_rank_alike_the_brier_score_decides(against: Baseline, better: float) -> None:
    """Constant probabilities rank nothing: only the rate is another. It is no reason to rank better than others."""
    holdout = _holdout(200, base_rate=0.5)
    candidate, baseline = (np.full(len(holdout.converted), rate) for rate in (0.5, 0.1))
    assert compare(candidate, baseline, holdout, against=against).roc_auc.probability_better == better
    assert compare(candidate, candidate, holdout, against=against).roc_auc.probability_better == 0


def test_the_same_holdout_gives_the_same_comparison_and_reads_back() -> None:
    holdout = _holdout(40)
    ours, theirs = _guesses(holdout, 1.0), _guesses(holdout, 0.5, seed=2)
    once = _compare(ours, theirs, holdout)

    assert once == _compare(ours, theirs, holdout)
    assert msgspec.json.decode(msgspec.json.encode(once), type=Comparison) == once


def test_draws_without_both_classes_are_left_out_and_counted() -> None:
    """With one converted lead of eight, about a third of the draws misses it."""
    converted = np.arange(8) == 0
    holdout = Holdout(np.arange(8).astype(str), np.zeros(8, np.int64), converted)
    ours, theirs = np.linspace(0.9, 0.1, 8), np.linspace(0.1, 0.9, 8)

    found = _compare(ours, theirs, holdout)

    assert found.resamples == pytest.approx(RESAMPLES * (1 - (7 / 8) ** 8), abs=50)
    assert found.roc_auc.probability_better == 1.0


@pytest.mark.parametrize("outcome", [True, False])
def test_a_holdout_of_one_class_is_an_error(outcome: bool) -> None:
    holdout = Holdout(np.array(["a", "b"]), np.zeros(2, np.int64), np.array([outcome, outcome]))
    with pytest.raises(ValueError, match="one outcome only"):
        _compare(np.array([0.1, 0.9]), np.array([0.5, 0.5]), holdout)


def test_the_interval_holds_the_truth_about_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 120 holdouts of 80 leads with three like rows each, the 95 % interval holds the true gain in 88 % to 100 %.

    An interval over rows, as if they were independent, would hold it in 72 %.
    """
    monkeypatch.setattr(comparison, "RESAMPLES", 200)
    held = [_is_truth_within(_gain_on_a_sample(leads=80, seed=seed), 0.0) for seed in range(120)]

    assert 0.88 <= np.mean(held) < 1.0


def _gain_on_a_sample(leads: int, seed: int) -> Estimate:
    """Compare two models whose ranking is equally good in truth, each with noise of its own."""
    rng = np.random.default_rng([7, seed])
    converted = rng.random(leads) < 0.3
    signal = rng.normal(size=leads) + converted
    ours, theirs = (1 / (1 + np.exp(-signal - rng.normal(size=leads))) for _ in range(2))
    rows = np.repeat(np.arange(leads), 3)
    holdout = Holdout(rows.astype(str), np.zeros(len(rows), np.int64), converted[rows])
    return _compare(ours[rows], theirs[rows], holdout).roc_auc.gain


def _is_truth_within(estimate: Estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high


BASELINES = [
    (Baseline("own", "20260315060000"), "20260315060000", "the active version 20260315060000"),
    (
        Baseline("pooled", "20260315060000"),
        "pooled 20260315060000",
        "the pooled model 20260315060000, which scores the org's leads now,",
    ),
    (BASE_RATE, "base rate", "the base rate"),
]


@pytest.mark.parametrize(("baseline", "stored", "words"), BASELINES)
def test_a_baseline_is_stored_as_a_text_and_read_back_as_what_it_is(
    baseline: Baseline, stored: str, words: str
) -> None:
    holdout = _holdout(20)
    found = compare(_guesses(holdout, 1.0), _guesses(holdout, 0.5), holdout, against=baseline)
    assert msgspec.json.decode(msgspec.json.encode(found))["baseline"] == stored
    read = msgspec.json.decode(msgspec.json.encode(found), type=Comparison).against
    assert (read, read.in_words) == (baseline, words)
