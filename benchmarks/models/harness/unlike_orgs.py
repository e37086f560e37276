"""Simulated orgs that differ much: in what they sell, where leads come from, how they work and how many they win."""

from __future__ import annotations

import numpy as np

from standalone.orgs import USUAL_SOURCES, Org

SEED = 3


def unlike_orgs(count: int, leads: int) -> list[Org]:
    """Return `count` orgs of `leads` leads in a year each; the same every time."""
    random = np.random.default_rng(SEED)
    return [
        Org(
            f"org-{number:02d}",
            leads,
            conversion_rate=float(random.uniform(0.08, 0.4)),
            messages_per_lead=float(random.uniform(4, 11)),
            sources=dict(
                zip(USUAL_SOURCES, (100 * random.dirichlet(np.ones(len(USUAL_SOURCES)))).tolist(), strict=True)
            ),
            answered_share=float(random.uniform(0.6, 0.98)),
            response_minutes=float(np.exp(random.uniform(3.4, 6.8))),
            listing_share=float(random.uniform(0.4, 0.95)),
            median_price=float(np.exp(random.uniform(7, 13.5))),
        )
        for number in range(count)
    ]
