"""The held-out rows cut into groups (by age, by month, by source …), and what is told of each group.

A group of fewer than FEWEST_LEADS leads is counted as such and nothing else is told of it: its figures would be luck,
and would speak of single leads. Since the groups make up a whole whose figures are known, the next larger group is
hidden with it where it could be told from what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from leadscore.arrays import Flags, Floats, Texts
from leadscore.comparison import BASE_RATE, Baseline, Comparison, compare
from leadscore.evaluation import Holdout, has_both_outcomes
from leadscore_assets.report.calibration import Calibration, calibrations

FEWEST_LEADS = 5


@dataclass(frozen=True)
class HeldOut:
    """What the report looks at of the held-out rows; arrays of shape (rows,). `champion` is None without one.

    `base_rate` is the share of converted rows outside the holdout.
    """

    holdout: Holdout
    created_month: Texts
    candidate: Floats
    champion: Floats | None
    base_rate: float

    def of(self, is_inside: Flags) -> HeldOut:
        """Return the rows that are inside."""
        holdout = Holdout(*(getattr(self.holdout, name)[is_inside] for name in Holdout.__struct_fields__))
        champion = None if self.champion is None else self.champion[is_inside]
        return HeldOut(holdout, self.created_month[is_inside], self.candidate[is_inside], champion, self.base_rate)

    def compared(self) -> Comparison | None:
        """Compare candidate and champion or, without one, the base rate; None where there is one class only."""
        if not has_both_outcomes(self.holdout.converted):
            return None
        if self.champion is not None:
            return compare(self.candidate, self.champion, self.holdout, against=Baseline("own", "champion"))
        base_rate = np.full(len(self.candidate), self.base_rate)
        return compare(self.candidate, base_rate, self.holdout, against=BASE_RATE)


@dataclass(frozen=True)
class Slice:
    """A group of held-out rows; all but the label and the leads is None where it is empty or hidden.

    `calibration` and `comparison` are None, too, where they were not asked for; `comparison` also where the group has
    one class only.
    """

    label: str
    leads: int
    rows: int | None = None
    conversions: int | None = None
    calibration: Calibration | None = None
    comparison: Comparison | None = None

    @property
    def is_hidden(self) -> bool:
        """Whether it has rows of which nothing is told."""
        return self.leads > 0 and self.rows is None

    @property
    def conversion_rate(self) -> float | None:
        """The share of its rows that converted."""
        return self.conversions / self.rows if self.rows and self.conversions is not None else None


Groups = Sequence[tuple[str, Flags]]
Slices = tuple[Slice, ...]


def slices(held_out: HeldOut, groups: Groups) -> Slices:
    """Return what is told of each group, given by its label and its rows, shape (rows,); together they are all rows."""
    return tuple(described for described, _ in _described(held_out, groups))


def compared_slices(held_out: HeldOut, groups: Groups) -> Slices:
    """Return the same with each group's comparison; all groups together cost about as much as the whole holdout's."""
    return tuple(
        replace(described, comparison=part.compared()) if described.rows else described
        for described, part in _described(held_out, groups)
    )


def calibrated(held_out: HeldOut, tables: Sequence[tuple[Groups, Slices]]) -> list[Slices]:
    """Return each table's slices of its groups with their calibration; the bounds of all tables hold together."""
    shown = [rows for groups, parts in tables for (_, rows), part in zip(groups, parts, strict=True) if part.rows]
    found = iter(calibrations(held_out.candidate, held_out.holdout, shown))
    return [
        tuple(replace(part, calibration=next(found)) if part.rows else part for part in parts) for _, parts in tables
    ]


def _described(held_out: HeldOut, groups: Groups) -> list[tuple[Slice, HeldOut]]:
    """Return each group as a slice, with its rows; the figures of groups to hide are left out."""
    parts = [(label, held_out.of(is_inside)) for label, is_inside in groups]
    hidden = _hidden([part.holdout.lead_ids for _, part in parts])
    return [(_slice(label, part, is_hidden=place in hidden), part) for place, (label, part) in enumerate(parts)]


def _hidden(lead_ids: Sequence[Texts]) -> set[int]:
    """Return the places of the groups to hide: the small, and larger ones until enough leads are hidden together."""
    leads = [set(np.unique(ids).tolist()) for ids in lead_ids]
    hidden, together = set[int](), set[str]()
    for place in sorted(range(len(leads)), key=lambda place: len(leads[place])):
        if len(leads[place]) >= FEWEST_LEADS and (not together or len(together) >= FEWEST_LEADS):
            break
        hidden.add(place)
        together |= leads[place]
    return hidden


def _slice(label: str, part: HeldOut, *, is_hidden: bool) -> Slice:
    leads = part.holdout.count_leads()
    if is_hidden:
        return Slice(label, leads)
    return Slice(
        label=label,
        leads=leads,
        rows=len(part.candidate),
        conversions=int(part.holdout.converted.sum()),
    )
