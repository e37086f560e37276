"""Leads of a made-up org whose world changes, month by month, for measuring what a gate does. No database, no files.

A lead has seven drivers that nobody sees. Its chance to convert is a logistic function of them; the features show six
of them: blurred, and the better the older the lead is. A lead gives a row at each landmark age at which it was open.
The seventh driver is as strong as the others together are weak: a forest sees it only once it is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import cos, radians, sin

import numpy as np
import numpy.typing as npt

from leadscore.arrays import Flags, Floats, Indices
from leadscore.evaluation import Holdout
from leadscore.settings import Settings
from leadscore_assets.training.split import HOLDOUT_SHARE, is_held_out

AGES = np.array(Settings().landmark_days)
MEAN_OPEN_DAYS = 14
SHOWN_DRIVERS, HIDDEN_DRIVER = 6, 6
USUAL_LOG_ODDS = -1.3  # gives about 28 % conversions
HALVES_THE_SHARE = 1.2  # in log-odds, at such a share
# what counts at first, and what counts after a quarter turn
FIRST_WEIGHTS = np.array([0.85, 0.6, 0.0, 0.35, 0.8, 0.0])
LATER_WEIGHTS = np.array([0.0, -0.35, 0.85, 0.0, 0.3, 0.85])
HIDDEN_WEIGHT = 0.8


@dataclass(frozen=True)
class World:
    """What changes in the months 0, 1, 2 … since the first training.

    Where `window_grows` no lead leaves the training window: each version has more leads than the one before.
    """

    name: str
    window_grows: bool = False
    turn_degrees_per_month: float = 0.0
    conversions_halve_in_months: float | None = None
    hidden_driver_recorded_from: int | None = None
    wrong_outcomes: dict[int, float] = field(default_factory=dict)

    def weights(self, month: int) -> Floats:
        """Return what each of the shown drivers counts for, in log-odds."""
        angle = radians(self.turn_degrees_per_month * max(0, month))
        return cos(angle) * FIRST_WEIGHTS + sin(angle) * LATER_WEIGHTS

    def log_odds(self, month: int) -> float:
        """Return the log-odds of a usual lead."""
        halves = max(0, month) / self.conversions_halve_in_months if self.conversions_halve_in_months else 0.0
        return USUAL_LOG_ODDS - HALVES_THE_SHARE * halves

    def is_hidden_driver_recorded(self, month: int) -> bool:
        """Return whether the leads of a month show their seventh driver."""
        return self.hidden_driver_recorded_from is not None and month >= self.hidden_driver_recorded_from


WORLDS = (
    World("unchanged"),
    World("drifting", turn_degrees_per_month=4),
    World("improved", hidden_driver_recorded_from=4),
    World("bad months", wrong_outcomes={4: 0.4, 9: 0.4}),
    World("rate halves", conversions_halve_in_months=12),
    World("growing", window_grows=True),
    World("growing, drifting", window_grows=True, turn_degrees_per_month=4),
)


@dataclass(frozen=True)
class Rows:
    """Leads as rows; all arrays of shape (rows, …). `probability` is the truth that no model is told."""

    lead_ids: npt.NDArray[np.str_]
    landmark_days: npt.NDArray[np.int64]
    features: Floats
    probability: Floats
    converted: Flags
    is_held_out: Flags

    def where(self, chosen: Flags) -> Rows:
        """Return the chosen rows."""
        return Rows(**{name: values[chosen] for name, values in vars(self).items()})

    def holdout(self) -> Holdout:
        """Return these rows as something to be judged on."""
        return Holdout(self.lead_ids, self.landmark_days, self.converted)

    def random_fifth(self, rng: np.random.Generator) -> Flags:
        """Return which rows belong to a fresh random fifth of the leads."""
        leads, lead = np.unique(self.lead_ids, return_inverse=True)
        return np.asarray((rng.random(len(leads)) < HOLDOUT_SHARE)[lead])

    def with_wrong_outcomes(self, rng: np.random.Generator, share: float) -> Rows:
        """Return the rows with the outcomes of a random share of the leads exchanged among them."""
        _, first, lead = np.unique(self.lead_ids, return_index=True, return_inverse=True)
        outcomes = self.converted[first]
        is_wrong = rng.random(len(outcomes)) < share
        outcomes[is_wrong] = rng.permutation(outcomes[is_wrong])
        return replace(self, converted=outcomes[lead])


def joined(parts: list[Rows]) -> Rows:
    """Return the rows of all parts."""
    return Rows(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def draw_month(rng: np.random.Generator, world: World, month: int, leads: int) -> Rows:
    """Return the rows of the leads that are created in a month; the same generator gives the same leads."""
    drivers = rng.standard_normal((leads, SHOWN_DRIVERS + 1))
    log_odds = world.log_odds(month) + drivers[:, :SHOWN_DRIVERS] @ world.weights(month)
    log_odds += HIDDEN_WEIGHT * drivers[:, HIDDEN_DRIVER]
    probability = 1 / (1 + np.exp(-log_odds))
    converted = rng.random(leads) < probability
    lead, age = np.nonzero(np.maximum(rng.exponential(MEAN_OPEN_DAYS, leads), 0.5)[:, None] > AGES)
    ids = np.array([f"{month}-{number}" for number in range(leads)])
    return Rows(
        lead_ids=ids[lead],
        landmark_days=AGES[age],
        features=_features(rng, drivers, lead, age, shows_all=world.is_hidden_driver_recorded(month)),
        probability=probability[lead],
        converted=converted[lead],
        is_held_out=np.array([is_held_out(lead_id) for lead_id in ids])[lead],
    )


def _features(rng: np.random.Generator, drivers: Floats, lead: Indices, age: Indices, *, shows_all: bool) -> Floats:
    """Return eleven features, shape (rows, 11): four known at once, four that grow with the age, the age, noise."""
    leads = len(drivers)
    inbound, outbound, booked = (
        rng.poisson(np.diff(0.3 + np.log1p(AGES), prepend=0) * rate[:, None]).cumsum(axis=1)[lead, age]
        for rate in (np.exp(0.7 * drivers[:, 4]), np.exp(0.7 * drivers[:, 5]), 0.15 * np.exp(drivers[:, 4]))
    )
    answered_after_days = np.exp(drivers[:, 3] - 1)[lead]
    return np.column_stack(
        [
            np.round(2 * drivers[lead, 0]),
            np.where(AGES[age] >= answered_after_days, answered_after_days, np.nan),
            inbound,
            outbound,
            booked,
            drivers[lead, 1] > 0,
            np.exp(drivers[lead, 2]),
            inbound / np.maximum(outbound, 1),
            AGES[age],
            rng.normal(50, 10, leads)[lead],
            np.round(2 * drivers[lead, HIDDEN_DRIVER]) if shows_all else np.zeros(len(lead)),
        ]
    )
