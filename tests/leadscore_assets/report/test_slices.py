"""Groups of held-out rows: enough leads, or none of their figures."""

from __future__ import annotations

import numpy as np
import pytest

from leadscore.comparison import BASE_RATE
from leadscore.evaluation import Holdout
from leadscore_assets.report.calibration import calibrations
from leadscore_assets.report.slices import HeldOut, calibrated, compared_slices, slices


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
    assert (few.leads, few.rows, few.conversions, few.conversion_rate) == (4, None, None, None)
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


def test_the_groups_that_are_told_are_calibrated_and_the_hidden_ones_are_not():
    """Both tables are read together, so their bounds are: each is wider than it would be alone."""
    whole, few = held_out(), np.arange(120) < 8
    halves = [("first", np.arange(120) < 60), ("second", np.arange(120) >= 60)]
    hidden = [("few", few), ("others", ~few)]
    together, none_told = calibrated(whole, [(groups, slices(whole, groups)) for groups in (halves, hidden)])
    assert [part.calibration for part in none_told] == [None, None]
    assert [part.rows for part in together] == [60, 60]
    [alone] = calibrations(whole.candidate, whole.holdout, [halves[0][1]])
    assert together[0].calibration.error == alone.error
    assert together[0].calibration.error_by_chance > alone.error_by_chance
