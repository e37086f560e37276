"""Another checkout to compare this one with, and the ratio of figures that were taken of both in turns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE, THERE = "here", "there"
RESAMPLES = 10_000


@dataclass(frozen=True)
class Ratio:
    """A ratio over all rounds, and the ends of its 95 % interval."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, ours: Sequence[float], others: Sequence[float]) -> Ratio:
        """Return the ratio of figures that were taken in the same rounds."""
        logarithms = np.log(ours) - np.log(others)
        drawn = np.random.default_rng(1).integers(len(logarithms), size=(RESAMPLES, len(logarithms)))
        low, high = np.percentile(logarithms[drawn].mean(axis=1), (2.5, 97.5))
        return cls(*np.exp([logarithms.mean(), low, high]).tolist())

    def __str__(self) -> str:
        return f"{self.middle:.3f} [{self.low:.3f}, {self.high:.3f}]"


def checkout(folder: str) -> Path:
    """Return the folder of a checkout; end the program when it is none."""
    path = Path(folder).resolve()
    if not (path / "serving" / "__main__.py").exists():
        sys.exit(f"{path} has no serving/__main__.py. Name a checkout, as `git worktree add FOLDER REVISION` makes one")
    return path
