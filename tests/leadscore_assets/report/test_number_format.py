"""How figures are written on the page."""

from __future__ import annotations

import pytest

from leadscore.comparison import Estimate
from leadscore_assets.report import number_format as words


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (words.figure(0.7123), "0.712"),
        (words.figure(-0.0001), "0.000"),
        (words.figure(-0.25), "\N{MINUS SIGN}0.250"),
        (words.figure(None), "\N{EN DASH}"),
        (words.change(0.0123), "+0.012"),
        (words.change(-0.0002), "0.000"),
        (words.points(0.061), "+6.1"),
        (words.points(-0.0001), "0.0"),
        (words.percent(0.2345), "23.4%"),
        (words.count(12345), "12,345"),
        (words.interval(Estimate(0.7, 0.6, 0.8)), "0.600 to 0.800"),
        (words.change_interval(Estimate(0, -0.1, 0.1)), "\N{MINUS SIGN}0.100 to +0.100"),
    ],
)
def test_a_figure_is_written_in_one_way(written, expected):
    assert written == expected
