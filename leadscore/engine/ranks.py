"""Where a forest's splits stand on each feature, so that a value becomes a rank: how many thresholds are below it.

A rank says as much as the value does, exactly: x is above the threshold of place k where its rank is above k, and not
above it where its rank is k or less. It fits in half the bytes of a float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadscore.arrays import Float32s, Ints

UNKNOWN = 65_535
# of one feature, with the infinity behind the last; so no known value has the rank UNKNOWN
MOST_THRESHOLDS = 65_535

RankTable = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Thresholds:
    """Each feature's thresholds, rising, with an infinity as the last; `starts`, shape (features + 1,), bounds them."""

    values: Float32s
    starts: Ints

    @classmethod
    def of(cls, low: Float32s, high: Float32s) -> Thresholds:
        """Return all bounds of intervals (low, high], shape (intervals, features).

        Raises ValueError when a feature has too many.
        """
        bounds = zip(low.T, high.T, strict=True)
        found = [np.unique(np.concatenate([a[a > -np.inf], b, [np.float32(np.inf)]])) for a, b in bounds]
        counts = np.array([0, *map(len, found)], np.int64)
        if counts.max() > MOST_THRESHOLDS:
            raise ValueError(
                f"a forest with {counts.max() - 1:,} thresholds of one feature is too large to be served:"
                f" at most {MOST_THRESHOLDS - 1:,} are expected; train a smaller one"
            )
        return cls(np.concatenate([np.empty(0, np.float32), *found]), np.cumsum(counts))

    @property
    def features(self) -> int:
        """How many features there are."""
        return len(self.starts) - 1

    def is_sound(self) -> bool:
        """Return whether each feature has a few thresholds that rise to an infinity, and no others are there."""
        values, counts = self.values, np.diff(self.starts)
        is_filled = len(self.starts) > 0 and self.starts[0] == 0 and self.starts[-1] == len(values)
        if not (is_filled and ((counts > 0) & (counts <= MOST_THRESHOLDS)).all()):
            return False
        is_last = np.zeros(len(values), bool)
        is_last[self.starts[1:] - 1] = True
        rises = values[1:] > values[:-1]
        return bool((rises | is_last[:-1]).all() and (values[is_last] == np.inf).all())

    def intervals(self, low: Float32s, high: Float32s) -> tuple[RankTable, RankTable]:
        """Return the first and the last rank inside (low, high]; all of shape (intervals, features)."""
        first, last = np.empty(low.shape, np.uint16), np.empty(high.shape, np.uint16)
        for j in range(self.features):
            first[:, j] = np.searchsorted(self._of(j), low[:, j], side="right")
            last[:, j] = np.searchsorted(self._of(j), high[:, j], side="left")
        return first, last

    def ranks(self, rows: Float32s) -> RankTable:
        """Return the rows' ranks, shape (rows, features); UNKNOWN where a value is. The rows may be wider."""
        ranks = np.empty((len(rows), self.features), np.uint16)
        for j in range(self.features):
            ranks[:, j] = np.searchsorted(self._of(j), rows[:, j])
        ranks[np.isnan(rows[:, : self.features])] = UNKNOWN
        return ranks

    def _of(self, feature: int) -> Float32s:
        return self.values[self.starts[feature] : self.starts[feature + 1]]
