"""What an org's own leads changed of the pooled forest that its version stands on, on the held-out leads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from leadscore.arrays import Flags, Floats
from leadscore.comparison import Comparison
from leadscore.registry.version import Manifest
from leadscore_assets.report.slices import FEWEST_LEADS, HeldOut, slices


@dataclass(frozen=True)
class Moved:
    """Rows to which the pooled model gave about the same: their number, its mean, the version's, and what came true."""

    label: str
    rows: int
    before: float
    after: float
    conversion_rate: float


@dataclass(frozen=True)
class Taught:
    """The pooled version, how many rows its word is worth beside the org's own, and what both say of the holdout.

    `comparison` has the version against the pooled model as it would serve the org; it is None, and `moved` empty,
    where the held-out leads are too few, or have one outcome.
    """

    pooled_version: str
    pooled_rows: float
    own_rows: int
    own_leads: int
    comparison: Comparison | None
    moved: tuple[Moved, ...]


def taught_of(
    manifest: Manifest, held_out: HeldOut, untaught: Floats, groups: Iterator[tuple[str, Flags]]
) -> Taught | None:
    """Return it for a taught version; `untaught` has the pooled model's probabilities on the holdout, shape (rows,).

    `groups` are the holdout's rows by those probabilities.
    """
    if manifest.stands_on is None:
        return None
    is_enough = held_out.holdout.count_leads() >= FEWEST_LEADS
    return Taught(
        pooled_version=manifest.stands_on.version,
        pooled_rows=float(manifest.parameters["teaching_strength"]),
        own_rows=manifest.split.training_rows,
        own_leads=manifest.split.training_records,
        comparison=replace(held_out, champion=untaught).compared() if is_enough else None,
        moved=tuple(_moved(held_out, untaught, list(groups))) if is_enough else (),
    )


def _moved(held_out: HeldOut, untaught: Floats, groups: list[tuple[str, Flags]]) -> Iterator[Moved]:
    for part, (label, rows) in zip(slices(held_out, groups), groups, strict=True):
        if part.rows is not None and part.conversion_rate is not None:
            before, after = float(untaught[rows].mean()), float(held_out.candidate[rows].mean())
            yield Moved(label, part.rows, before, after, part.conversion_rate)
