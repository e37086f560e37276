"""Groups of held-out rows: enough leads or none of their figures, and a calibration error beside what luck makes."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore.comparison import BASE_RATE
from leadscore.evaluation import Holdout, expected_calibration_error_of
from leadscore_assets.report.slices import HeldOut, calibration, compared_slices, slices


def held_out(leads: int = 60, rows_each: int = 2, *, champion: bool = False, seed: int = 5) -> HeldOut:
    random = np.random.default_rng(seed)
    chance = random.random(leads)
    converted = np.repeat(random.random(leads) < chance, rows_each)
    holdout = Holdout(
        lead_ids=np.repeat([f"lead-{number}" for number in range(leads)], rows_each),
        landmark_days=np.tile(np.arange(rows_each), leads),
        converted=converted,
    )
    candidate = np.repeat(chance, rows_each)
    month = np.array(["2026-01"] * len(converted))
    return HeldOut(holdout, month, candidate, candidate / 2 if champion else None, 0.5)


def test_fewer_than_five_leads_are_counted_and_no_more():
    whole = held_out()
    of_four, of_five = np.arange(120) < 8, np.arange(120) < 10
    few, enough = (slices(whole, [("some", inside), ("others", ~inside)])[0] for inside in (of_four, of_five))
    assert (few.leads, few.rows, few.conversions, few.calibration, few.conversion_rate) == (4, None, None, None, None)
    assert (enough.leads, enough.rows) == (5, 10)
    assert enough.conversion_rate == whole.holdout.converted[:10].mean()


@pytest.mark.parametrize(
    ("sizes", "hidden"),
    [
        ((20, 40, 0), []),
        ((4, 50, 6), [0, 2]),
        ((3, 3, 54), [0, 1]),
        ((1, 1, 5, 53), [0, 1, 2]),
        ((4, 56), [0, 1]),
        ((1, 2, 1), [0, 1, 2]),
    ],
)
def test_what_is_hidden_is_never_the_difference_to_the_whole(sizes, hidden):
    """The hidden groups hold at least five leads together, or are all there is; an empty group hides nothing."""
    whole, group = held_out(leads=sum(sizes), rows_each=1), np.repeat(range(len(sizes)), sizes)
    told = slices(whole, [(str(place), group == place) for place in range(len(sizes))])
    assert [place for place, part in enumerate(told) if part.is_hidden] == hidden


def test_a_group_is_compared_with_the_champion_or_the_base_rate():
    everybody = np.ones(120, dtype=bool)
    [against_champion] = compared_slices(held_out(champion=True), [("all", everybody)])
    [against_base_rate] = compared_slices(held_out(), [("all", everybody)])
    assert against_champion.comparison.roc_auc.gain.value == 0
    assert against_champion.comparison.brier_score.gain.value > 0
    assert against_base_rate.comparison.against == BASE_RATE
    assert against_base_rate.comparison.roc_auc.baseline.value == 0.5


def test_a_group_of_one_outcome_is_told_but_not_ranked():
    whole = held_out()
    [lost] = compared_slices(whole, [("lost", ~whole.holdout.converted)])
    assert lost.conversion_rate == 0
    assert lost.comparison is None


def test_the_calibration_error_is_that_of_the_evaluation():
    part = held_out()
    told = calibration(part.candidate, part.holdout)
    assert told.error == expected_calibration_error_of(part.candidate, part.holdout.converted)
    assert told.mean_probability == part.candidate.mean()


def test_perfect_probabilities_exceed_their_luck_in_one_sample_of_twenty():
    samples = [held_out(leads=80, rows_each=1, seed=seed) for seed in range(300)]
    told = [calibration(part.candidate, part.holdout) for part in samples]
    exceeding = np.mean([one.error > one.error_by_chance for one in told])
    assert 0.02 < exceeding < 0.09


def test_rows_that_repeat_a_lead_take_nothing_from_its_luck():
    """The same leads with every row five times are as uncertain as before, not less."""
    once, often = held_out(rows_each=1), held_out(rows_each=5)
    lucky = [calibration(part.candidate, part.holdout).error_by_chance for part in (once, often)]
    assert lucky[0] == pytest.approx(lucky[1])
