"""How right probabilities are, in groups of rows, beside the error that perfect probabilities would show by chance.

On a sample, probabilities that are perfectly right still have an error. To know how large, outcomes are drawn DRAWS
times from the probabilities themselves; the rows of a lead share their luck, as they share their outcome.

Of twenty groups that are read together, one exceeds by chance what a single group exceeds once in twenty samples. So
the bounds of groups hold together: in CHANCE_PERCENT of samples, none of them exceeds its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from leadscore.arrays import Flags, Floats, Indices
from leadscore.evaluation import CALIBRATION_BINS, Holdout, calibration_bins, expected_calibration_error_of

DRAWS = 500
SEED = 42
CHANCE_PERCENT = 95
_CELLS_AT_A_TIME = 1_000_000
_NO_SPREAD = 1e-12


@dataclass(frozen=True)
class Calibration:
    """Probabilities against outcomes: both means, the expected calibration error, and what luck alone would make it."""

    mean_probability: float
    conversion_rate: float
    error: float
    error_by_chance: float

    @property
    def is_beyond_chance(self) -> bool:
        """Whether luck does not explain the error."""
        return self.error > self.error_by_chance


def calibrations(probabilities: Floats, holdout: Holdout, groups: Sequence[Flags]) -> list[Calibration]:
    """Return how right `probabilities`, shape (rows,), are in each group, whose rows, shape (rows,), are not empty.

    The bounds of all the groups hold together.
    """
    if not groups:
        return []
    drawn = _drawn_errors(probabilities, np.unique(holdout.lead_ids, return_inverse=True)[1], groups)
    return [
        Calibration(
            mean_probability=float(probabilities[is_inside].mean()),
            conversion_rate=float(holdout.converted[is_inside].mean()),
            error=expected_calibration_error_of(probabilities[is_inside], holdout.converted[is_inside]),
            error_by_chance=bound,
        )
        for is_inside, bound in zip(groups, joint_bounds(drawn).tolist(), strict=True)
    ]


def joint_bounds(drawn: Floats) -> Floats:
    """Return a bound for each column of `drawn`, shape (draws, groups); CHANCE_PERCENT of its rows exceed none.

    All columns are as many standard deviations above their mean.
    """
    mean, spread = drawn.mean(axis=0), drawn.std(axis=0)
    above = np.divide(drawn - mean, spread, out=np.zeros_like(drawn), where=spread > _NO_SPREAD)
    bounds: Floats = mean + spread * np.percentile(above.max(axis=1), CHANCE_PERCENT)
    return bounds


def _drawn_errors(probabilities: Floats, lead_of_row: Indices, groups: Sequence[Flags]) -> Floats:
    """Return the calibration error of each group, shape (DRAWS, groups), when each row converts by its probability."""
    member = np.eye(CALIBRATION_BINS)[calibration_bins(probabilities)]
    return np.concatenate(
        [
            np.stack([np.abs(surplus[:, rows] @ member[rows]).sum(axis=1) / rows.sum() for rows in groups], axis=1)
            for surplus in _drawn_surplus(probabilities, lead_of_row)
        ]
    )


def _drawn_surplus(probabilities: Floats, lead_of_row: Indices) -> Iterator[Floats]:
    """Yield what each row's probability has above its drawn outcome, shape (draws, rows), DRAWS in total."""
    generator, leads = np.random.default_rng(SEED), int(lead_of_row.max()) + 1
    at_a_time = max(1, _CELLS_AT_A_TIME // len(probabilities))
    for start in range(0, DRAWS, at_a_time):
        luck = generator.random((min(at_a_time, DRAWS - start), leads))
        yield probabilities - (luck[:, lead_of_row] < probabilities)
