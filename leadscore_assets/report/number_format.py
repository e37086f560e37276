"""Formats figures for the page, so that the same kind of figure looks the same everywhere."""

from __future__ import annotations

from leadscore.comparison import Estimate

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def figure(value: float | None, digits: int = 3) -> str:
    """Return a figure such as 0.712, or a dash for None."""
    return NONE if value is None else _signed(f"{value:.{digits}f}")


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share such as 23.4%."""
    return NONE if share is None else f"{share:.{digits}%}"


def count(number: int | None) -> str:
    """Return a count such as 3,424."""
    return NONE if number is None else f"{number:,}"


def change(value: float | None) -> str:
    """Return a difference with its sign, such as +0.012."""
    return NONE if value is None else _signed(f"{value:+.3f}")


def points(share: float) -> str:
    """Return a difference between shares in percentage points, with its sign, such as +6.1."""
    return _signed(f"{100 * share:+.1f}")


def interval(estimate: Estimate | None) -> str:
    """Return the interval of a figure, such as 0.640 to 0.781."""
    return "" if estimate is None else f"{figure(estimate.low)} to {figure(estimate.high)}"


def change_interval(estimate: Estimate | None) -> str:
    """Return the interval of a difference."""
    return "" if estimate is None else f"{change(estimate.low)} to {change(estimate.high)}"


def spoken(code: str) -> str:
    """Return a code such as still_open as words."""
    return code.replace("_", " ")


def _signed(text: str) -> str:
    """Return a number's text with a minus of the width of a plus, and a zero without a sign."""
    return text.replace("-", MINUS) if float(text) else text.lstrip("+-")
