from __future__ import annotations

import pytest

from benchmarks.checkouts import Ratio, checkout
from leadscore.settings import PROJECT_ROOT


def test_rounds_that_agree_leave_no_doubt_about_the_ratio():
    assert Ratio.of([90.0, 45.0, 180.0], [100.0, 50.0, 200.0]) == Ratio(*[pytest.approx(0.9)] * 3)


def test_the_interval_holds_the_ratio_and_is_wider_when_rounds_differ_more():
    calm, noisy = (Ratio.of([100 - spread, 100, 100 + spread] * 4, [100.0] * 12) for spread in (1, 10))
    for ratio in (calm, noisy):
        assert ratio.low < ratio.middle < ratio.high
        assert ratio.low < 1 < ratio.high
    assert noisy.high - noisy.low > 5 * (calm.high - calm.low)


def test_swapping_the_checkouts_inverts_the_ratio():
    ours, others = [100.0, 130.0, 90.0, 70.0], [80.0, 100.0, 95.0, 60.0]
    there = Ratio.of(others, ours)
    inverted = [1 / value for value in (there.middle, there.high, there.low)]
    assert Ratio.of(ours, others) == Ratio(*map(pytest.approx, inverted))


def test_a_folder_that_is_not_a_checkout_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(SystemExit, match="git worktree add"):
        checkout(str(tmp_path))
    assert checkout(str(PROJECT_ROOT)) == PROJECT_ROOT
