"""The table of goals: what was measured, with what it is compared, the ratio, the goal, and whether it is met."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

HEADINGS = ("what", "ours", "other", "ratio", "goal", "met")


@dataclass(frozen=True)
class Goal:
    """A bound that a figure keeps, or not."""

    bound: float
    is_most: bool = False
    unit: str = ""

    def is_met(self, figure: float) -> bool:
        """Return whether the figure keeps it."""
        return figure <= self.bound if self.is_most else figure >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.is_most else '≥'} {self.bound:g}{self.unit}"


@dataclass(frozen=True)
class Row:
    """A line of the table. The goal is about the ratio, or about `ours` where nothing is compared."""

    what: str
    ours: float
    other: float | None = None
    goal: Goal | None = None
    ratio: float | None = None

    def cells(self, *, has_goals: bool) -> tuple[str, ...]:
        """Return the line's texts."""
        ratio = self.ratio if self.ratio is not None or not self.other else self.ours / self.other
        judged = self.ours if ratio is None else ratio
        goal, met = ("", "")
        if self.goal and has_goals:
            goal, met = str(self.goal), "yes" if self.goal.is_met(judged) else "NO"
        return (self.what, shown(self.ours), shown(self.other), shown(ratio), goal, met)


def shown(figure: float | None) -> str:
    """Return the figure with three digits that count."""
    if figure is None:
        return ""
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


def print_rows(rows: list[Row], *, has_goals: bool) -> None:
    """Print the table, at most 100 columns wide."""
    for what, *numbers, met in (HEADINGS, *(row.cells(has_goals=has_goals) for row in rows)):
        print(f"{what:<60}" + "".join(f"{number:>9}" for number in numbers) + f"{met:>4}", flush=True)


class Stolen:
    """How much of the processors' time other guests of the machine's host were given, since this was made."""

    def __init__(self) -> None:
        self._before = _ticks()

    def __str__(self) -> str:
        ticks = [after - before for after, before in zip(_ticks(), self._before, strict=True)]
        return f"{ticks[_STEAL] / max(sum(ticks), 1):.0%} of the processors' time went to other guests of the host"


_STEAL = 7  # the column of /proc/stat, behind user, nice, system, idle, iowait, irq and softirq


def _ticks() -> list[int]:
    """Return the processors' time by what it went to; guests' own time, which the first columns hold, is left out."""
    return [int(ticks) for ticks in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]


def load_average() -> str:
    """Return the machine's load, in words."""
    return "load average " + ", ".join(f"{value:.2f}" for value in os.getloadavg())
