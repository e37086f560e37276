"""The orgs of a simulated CRM: how large each is, where its leads come from, how it works. Leads live in `journeys`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

USUAL_SOURCES = {"web": 40, "mobile": 18, "phone": 14, "email": 10, "referral": 8, "social_media": 6, "walk_in": 4}


@dataclass(frozen=True)
class Org:
    """What makes one org's leads different from another's. Shares are between 0 and 1."""

    org_id: str
    leads: int
    conversion_rate: float = 0.22  # share of its leads that are won in the end; 0 for an org that never won one
    messages_per_lead: float = 8.0
    history_days: int = 365
    sources: Mapping[str, float] = field(default_factory=lambda: USUAL_SOURCES)  # weights of the lead sources
    answered_share: float = 0.92
    response_minutes: float = 120.0  # the median of those that are answered
    listing_share: float = 0.85  # leads that ask about a listing
    median_price: float = 320_000.0
    records: int | None = None  # keep exactly this many leads with a known outcome, and all open ones


DEMO_ORGS = (
    Org("default", leads=6_000),
    Org(
        "harbour-homes",
        leads=2_800,
        conversion_rate=0.36,
        messages_per_lead=11,
        sources={"referral": 35, "phone": 25, "walk_in": 20, "web": 20},
        answered_share=0.98,
        response_minutes=35,
        median_price=780_000,
    ),
    Org(
        "northside-lettings",
        leads=1_600,
        conversion_rate=0.13,
        messages_per_lead=5,
        sources={"social_media": 45, "mobile": 30, "web": 20, "unknown": 5},
        answered_share=0.75,
        response_minutes=600,
        median_price=1_100,
    ),
    Org(
        "city-boutique", leads=700, conversion_rate=0.28, listing_share=0.55, response_minutes=60, median_price=510_000
    ),
    Org("new-branch", leads=90, records=37, history_days=120),
    Org("pilot-site", leads=320, conversion_rate=0.0, answered_share=0.6, response_minutes=900),
)


def equal_orgs(count: int, leads: int, messages_per_lead: float, history_days: int = 365) -> tuple[Org, ...]:
    """Return `count` orgs of `leads` leads each, named `org-00001` and so on, with different conversion rates."""
    return tuple(
        Org(
            f"org-{number:05d}",
            leads,
            conversion_rate=0.12 + 0.04 * (number % 7),
            messages_per_lead=messages_per_lead,
            history_days=history_days,
        )
        for number in range(1, count + 1)
    )
