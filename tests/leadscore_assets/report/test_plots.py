"""Where figures stand in a picture."""

from __future__ import annotations

import pytest

from leadscore_assets.report.calibration import Calibration
from leadscore_assets.report.effects import Bin, Effect
from leadscore_assets.report.importance import Drop
from leadscore_assets.report.plots import (
    BARS_LEFT,
    BARS_RIGHT,
    Plot,
    calibration_plot,
    effect_bars,
    gains_plot,
    importance_bars,
    roc_plot,
)
from leadscore_assets.report.slices import Slice


def coordinates(points):
    return [tuple(map(float, pair.split(","))) for pair in points.split()]


def test_lines_stay_in_the_frame_and_begin_and_end_at_its_corners(second):
    for picture in (roc_plot(second.material), gains_plot(second.material)):
        assert {line.kind for line in picture.lines} >= {"guide", "candidate", "champion"}
        for line in picture.lines:
            found = coordinates(line.points)
            assert (found[0], found[-1]) == ((Plot.left, Plot.bottom), (Plot.right, Plot.top))
            assert all(Plot.left <= x <= Plot.right and Plot.top <= y <= Plot.bottom for x, y in found)


def test_the_dot_of_the_gains_stands_at_a_fifth(second):
    [dot] = gains_plot(second.material).dots
    assert dot.x == pytest.approx(Plot.left + 0.2 * (Plot.right - Plot.left), abs=2)
    assert dot.words == f"{second.material.by_lead.gain.reached:.0%} reached"


def test_bars_begin_at_the_zero_that_they_share():
    drawn = importance_bars([Drop("a", 0.1, 0.05, 0.15), Drop("b", -0.05, -0.1, 0.0)])
    up, down = drawn.bars
    assert (up.kind, up.x) == ("up", drawn.zero)
    assert (down.kind, down.x + down.length) == ("down", pytest.approx(drawn.zero))
    assert up.length == pytest.approx(2 * down.length, abs=0.2)
    assert (down.low, up.high) == (BARS_LEFT, BARS_RIGHT)


def test_a_disc_that_chance_does_not_explain_is_marked_and_says_so():
    parts = [Slice(str(error), 9, 9, 3, Calibration(0.3, 0.33, error, 0.2)) for error in (0.1, 0.3)]
    fine, off = calibration_plot(parts).dots
    assert (fine.is_off, off.is_off) == (False, True)
    assert off.words == f"{fine.words}, which chance does not explain"


def test_effects_are_drawn_on_one_scale():
    small, large = (Effect(name, "points", (Bin("1", 9, size),)) for name, size in (("small", 0.01), ("large", 0.1)))
    [one], [other] = (picture.bars for picture in effect_bars([small, large]))
    assert other.length == pytest.approx(10 * one.length, rel=0.05)
