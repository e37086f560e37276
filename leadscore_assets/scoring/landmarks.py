"""Which landmark ages leads reached, and what their features were at these ages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from leadscore.arrays import Flags, Floats, Indices, Ints


class Reached(NamedTuple):
    """The leads that reached a landmark age since a moment: their places, the ages in days, and the moments (UTC)."""

    places: Indices
    landmark_days: Ints
    moments: list[datetime]


class AtLandmarks(NamedTuple):
    """What features leads had when they reached a landmark age, which is when a training takes its rows.

    `places` says which leads they are, `landmark_days` is the age; both have shape (rows,). `features` have shape
    (rows, features), NaN for unknown.
    """

    places: Indices
    landmark_days: Ints
    features: Floats

    def of_leads(self, mask: Flags) -> AtLandmarks:
        """Return the rows of the leads in the mask, shape (leads,), without renumbering them."""
        chosen = mask[self.places]
        return AtLandmarks(self.places[chosen], self.landmark_days[chosen], self.features[chosen])


def last_landmark(ages_days: Floats, landmark_days: Sequence[int], within_days: float) -> Floats:
    """Return the last landmark age that each lead reached in its last `within_days`, NaN for none; shape (leads,)."""
    landmarks = np.array(landmark_days, np.float64)
    places = np.searchsorted(landmarks, ages_days, side="right") - 1
    last = np.where(places >= 0, landmarks[np.maximum(places, 0)], np.nan)
    reached: Floats = np.where(last > ages_days - within_days, last, np.nan)
    return reached


def reached(
    created_at: Sequence[datetime], ages_days: Floats, landmark_days: Sequence[int], within_days: float
) -> Reached:
    """Return the leads that reached a landmark age in their last `within_days`, and when."""
    last = last_landmark(ages_days, landmark_days, within_days)
    places = np.flatnonzero(~np.isnan(last))
    moments = [created_at[place] + timedelta(days=last[place]) for place in places.tolist()]
    return Reached(places, last[places].astype(np.int64), moments)
