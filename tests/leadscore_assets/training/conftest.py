"""Leads with several rows each, as a training sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from leadscore.arrays import Flags, Floats, Indices

FEATURES = 11


@dataclass(frozen=True)
class Leads:
    """Rows of shape (rows, features) with unknown values, and each row's outcome and lead."""

    rows: Floats
    converted: Flags
    numbers: Indices


def _leads(count: int, *, rows_each: int = 3, seed: int = 1, signal: float = 1.0, alike: bool = False) -> Leads:
    """Make leads whose outcome depends on two features with the strength `signal`; alike: a lead's rows are copies."""
    random = np.random.default_rng(seed)
    own = random.normal(size=(count, FEATURES))
    converted = signal * (own[:, 0] + own[:, 1]) + random.normal(size=count) > 0.7
    rows = np.repeat(own, rows_each, axis=0)
    if not alike:
        rows[:, 2:] += random.normal(size=rows[:, 2:].shape)
        rows[random.random(rows.shape) < 0.1] = np.nan
    return Leads(rows, np.repeat(converted, rows_each), np.repeat(np.arange(count), rows_each))


@pytest.fixture(scope="session")
def make_leads() -> Callable[..., Leads]:
    """Give `make_leads(count, rows_each=3, seed=1, signal=1.0, alike=False)`."""
    return _leads
