"""Bins of a made-up version, and what arrives for it: leads like those learned from, or otherwise."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import numpy as np

from leadscore.arrays import Floats, Ints
from leadscore.features import CONTRACT
from leadscore.input_bins import InputBins
from leadscore_assets.proof.input_shifts import Arrived
from leadscore_assets.training.estimator import flatten
from leadscore_assets.training.input_bins import input_bins
from leadscore_assets.training.shapes import COARSE, grow
from leadscore_assets.training.snapshot import lead_numbers
from tests.leadscore_assets.made_rows import AGES, made_features

START = date(2026, 5, 1)
RESPONSE, INBOUND, BOOKED = (
    CONTRACT.names.index(name) for name in ("response_time_minutes", "inbound_messages_count", "appointments_count")
)


@cache
def made_bins() -> InputBins:
    """Return the bins of a version that learned from 1,500 leads."""
    features = made_features(1_500)
    leads = lead_numbers(features.rows)
    forest = flatten(grow(features.matrix().astype(np.float32), features.outcomes(), leads, COARSE, 20))
    return input_bins(forest.scorer, features)


def rows(leads: int, seed: int) -> tuple[Ints, Floats]:
    """Return the ages and the values of leads like those learned from."""
    features = made_features(leads, seed=seed)
    return features.rows["landmark_days"].to_numpy(), features.matrix().copy()


def arrive(
    days: int, *, leads: int = 4, fault_from: int | None = None, column: int = INBOUND, value: float = 99
) -> Arrived:
    """Return what arrives on days; from one of them on, a feature has another value, NaN for unknown."""
    counts = []
    for day in range(days):
        ages, values = rows(leads, seed=100 + day)
        if fault_from is not None and day >= fault_from:
            values[:, column] = value
        counts.append(made_bins().count(ages, values))
    table = np.stack(counts)
    leads_by_age = table[:, :, made_bins().slices[0]].sum(axis=2)
    return Arrived([START + timedelta(days=day) for day in range(days)], leads_by_age, table)


__all__ = ["AGES", "BOOKED", "INBOUND", "RESPONSE", "START", "arrive", "made_bins"]
