"""What was promised to an org beside what came true, as the org's page shows it: rows of figures with bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple, Protocol

from leadscore.errors import DatabaseUnavailable
from leadscore.live_performance import Capacity, Group, LivePerformance, Outcomes, VersionOutcomes
from leadscore.pooling import is_of_the_org
from serving.api.performance import not_judged

# a bar's scale ends at a multiple of this share
SCALE_STEP = 0.1


class Proof(Protocol):
    """Where the figures come from."""

    def of(self, org_id: str, /) -> LivePerformance | None:
        """Return the org's figures, None for none yet. Raises DatabaseUnavailable."""
        ...


class Bar(NamedTuple):
    """Where the shares of a row stand on its scale, from 0 to 100."""

    promised: float
    converted: float
    low: float
    high: float


class Row(NamedTuple):
    """The outcomes of a grade or a month."""

    name: str
    outcomes: Outcomes
    bar: Bar


class Table(NamedTuple):
    """Rows of one kind, whose bars go from 0 to `scale`."""

    title: str
    rows: list[Row]
    scale: float


class CameTrue(NamedTuple):
    """An org's figures with the tables that the page has; `problem` says why they cannot be read."""

    figures: LivePerformance | None
    tables: list[Table]
    problem: str = ""


def came_true(live_proof: Proof, org_id: str) -> CameTrue:
    """Return what came true in the org; when it cannot be read, the rest of the page comes all the same."""
    try:
        figures = live_proof.of(org_id) or not_judged(org_id)
    except DatabaseUnavailable as error:
        return CameTrue(None, [], error.message)
    is_judged = figures.state in ("fine", "alarm")
    return CameTrue(figures, _tables(figures) if is_judged else [])


def lift(capacity: Capacity) -> float | None:
    """Return how many times as many of the named leads converted as of the others; None where no other did."""
    others = capacity.others.converted.value
    return capacity.named.converted.value / others if others else None


def role(entry: VersionOutcomes) -> str:
    """Return in words who saw a version's scores."""
    if entry.role == "served":
        return "served" if is_of_the_org(entry.scope) else "served, pooled model"
    return "shadow, held" if entry.verdict in ("hold", "refuse") else "shadow, active before"


def _tables(figures: LivePerformance) -> list[Table]:
    months = [Group(_month(group.name), group.outcomes) for group in figures.by_month]
    scale = _scale([*figures.by_grade, *months])
    named = (("Grade", figures.by_grade), ("Created in", months))
    return [Table(title, [_row(group, scale) for group in groups], scale) for title, groups in named if groups]


def _scale(groups: Sequence[Group]) -> float:
    """Return the share at which all bars end: the least multiple of SCALE_STEP that no share exceeds."""
    most = max((max(group.outcomes.promised, group.outcomes.converted.high) for group in groups), default=1.0)
    return min(1.0, max(1, math.ceil(most / SCALE_STEP)) * SCALE_STEP)


def _row(group: Group, scale: float) -> Row:
    converted = group.outcomes.converted
    shares = (group.outcomes.promised, converted.value, converted.low, converted.high)
    return Row(group.name, group.outcomes, Bar(*(round(100 * share / scale, 1) for share in shares)))


def _month(name: str) -> str:
    """Return a month in words, such as "Mar 2026" for 2026-03."""
    return f"{date.fromisoformat(f'{name}-01'):%b %Y}"
