"""Orgs to simulate that differ in all that an org can differ in: sources, rate, volume, answers, prices."""

from __future__ import annotations

import numpy as np

from standalone.journeys import SOURCE_SCORES
from standalone.orgs import Org

SOURCES = tuple(SOURCE_SCORES)


def drawn_orgs(count: int, leads: int) -> list[Org]:
    """Return `count` orgs of `leads` leads in a year; the same count gives the same orgs."""
    rng = np.random.default_rng(3)
    return [_drawn(rng, f"org-{number:02d}", leads) for number in range(count)]


def _drawn(rng: np.random.Generator, org_id: str, leads: int) -> Org:
    weights = rng.dirichlet(np.ones(len(SOURCES))) * 100
    return Org(
        org_id,
        leads=leads,
        conversion_rate=rng.uniform(0.08, 0.4),
        messages_per_lead=rng.uniform(4, 11),
        sources=dict(zip(SOURCES, weights.tolist(), strict=True)),
        answered_share=rng.uniform(0.6, 0.98),
        response_minutes=float(np.exp(rng.uniform(3.4, 6.8))),
        listing_share=rng.uniform(0.4, 0.95),
        median_price=float(np.exp(rng.uniform(7, 13.5))),
    )
