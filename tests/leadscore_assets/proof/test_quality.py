"""The intervals by formula are those of a bootstrap over leads, and a share's is Wilson's."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore.comparison import Baseline, compare
from leadscore.evaluation import Holdout, roc_auc_of
from leadscore_assets.proof.quality import gain_over, mean_by_lead, outcomes_of, quality_of, roc_auc_by_lead, share

RNG = np.random.default_rng(5)
LEADS = 400
ROWS = RNG.integers(1, 8, LEADS)
LEAD = np.repeat(np.arange(LEADS), ROWS)
TRUTH = RNG.beta(1.5, 4, LEADS)
CONVERTED = (RNG.random(LEADS) < TRUTH)[LEAD]
PROBABILITY = np.clip(TRUTH[LEAD] + RNG.normal(0, 0.05, len(LEAD)), 0.01, 0.99)
OTHER = np.clip(PROBABILITY + RNG.normal(0, 0.15, len(LEAD)), 0.01, 0.99)


def test_a_share_has_the_interval_of_wilson() -> None:
    found = share(12, 100)
    assert (found.value, found.low, found.high) == pytest.approx((0.12, 0.0700, 0.1981), abs=1e-4)
    assert (share(0, 20).low, share(20, 20).high) == (0.0, 1.0)
    with pytest.raises(ValueError, match="a share of 0 leads has no value"):
        share(0, 0)


def test_the_intervals_are_those_of_a_bootstrap_over_leads() -> None:
    ages = np.zeros(len(LEAD), np.int64)
    drawn = compare(OTHER, PROBABILITY, Holdout(LEAD.astype(str), ages, CONVERTED), against=Baseline("base_rate"))
    pairs = [
        (mean_by_lead((OTHER - CONVERTED) ** 2, LEAD), drawn.brier_score.candidate),
        (roc_auc_by_lead(OTHER, CONVERTED, LEAD), drawn.roc_auc.candidate),
        (gain_over(PROBABILITY, OTHER, CONVERTED, LEAD), drawn.brier_score.gain),
    ]
    for formula, bootstrap in pairs:
        assert formula is not None
        assert formula.value == pytest.approx(bootstrap.value)
        assert formula.high - formula.low == pytest.approx(bootstrap.high - bootstrap.low, rel=0.15)


def test_the_roc_auc_is_that_of_the_rows_with_ties_counted_half() -> None:
    rounded = PROBABILITY.round(1)
    found = roc_auc_by_lead(rounded, CONVERTED, LEAD)
    assert found is not None
    assert found.value == pytest.approx(roc_auc_of(rounded, CONVERTED))
    assert roc_auc_by_lead(rounded, np.zeros(len(LEAD), bool), LEAD) is None


def test_outcomes_compare_what_was_promised_with_what_came_true() -> None:
    found = outcomes_of(np.array([0.1, 0.3, 0.8]), np.array([False, False, True]))
    assert (found.leads, found.promised, found.converted.value) == (3, pytest.approx(0.4), pytest.approx(1 / 3))


def test_the_base_rates_score_is_that_of_always_saying_the_share() -> None:
    rate = CONVERTED.mean()
    assert quality_of(PROBABILITY, CONVERTED, LEAD).base_rate_brier == pytest.approx(((rate - CONVERTED) ** 2).mean())
