"""How simulated leads live: when they come, what they are like, how far they get and when. One array item is one lead.

Whether a lead is won is drawn from what comes before the outcome: its source, how fast it is answered, how engaged it
is, how the listing's price fits, and an intent that no one sees. Times are float days after a lead's creation, unless
they end in `_at`: then they are datetime64[s].
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from leadscore.arrays import Flags, Floats, Ints, Texts
from standalone.orgs import Org

Times = NDArray[np.datetime64]

STAGES = ("NEW", "QUALIFYING", "QUALIFIED", "APPOINTMENT")
SOURCE_SCORES = {
    "referral": 25,
    "phone": 20,
    "walk_in": 18,
    "web": 15,
    "mobile": 15,
    "social_media": 12,
    "email": 10,
    "unknown": 5,
}
SOURCE_PULL = {
    "referral": 1.6,
    "walk_in": 1.1,
    "phone": 0.8,
    "web": 0.0,
    "mobile": -0.2,
    "email": -0.5,
    "social_media": -0.9,
    "unknown": -1.1,
}
WEEKDAY_WEIGHTS = np.array([1.2, 1.15, 1.1, 1.1, 1.0, 0.7, 0.5])  # Monday first
LABELLED_AFTER_DAYS = 90.0
NEVER = np.inf


@dataclass(frozen=True)
class Listings:
    """An org's listings, in order of creation. A price of NaN is not stated."""

    created_at: Times
    price: Floats
    has_photos: Flags


@dataclass(frozen=True)
class Leads:
    """An org's leads, in order of creation. Every field has one item per lead."""

    created_at: Times
    source: Texts
    listing: Ints  # its place in Listings; -1 for none
    engagement: Floats  # how eagerly it writes, around 0
    diligence: Floats  # how eagerly it is written to, around 0
    response_days: Floats  # NEVER when no one answers
    is_won: Flags
    stage_days: Floats  # one column for each of STAGES; NEVER when it is not reached
    closed_days: Floats  # NEVER for a lead that is forgotten
    observed_days: Floats  # until it was closed, or until now

    def __len__(self) -> int:
        return len(self.created_at)

    def chosen(self, which: Flags) -> Self:
        """Return those leads for which `which` is true."""
        return type(self)(**{each.name: getattr(self, each.name)[which] for each in fields(self)})

    def has_outcome(self) -> Flags:
        """Return which leads a training at the simulation's end counts as records, by the default windows."""
        return (self.closed_days <= self.observed_days) | (self.observed_days > LABELLED_AFTER_DAYS)


def draw_listings(rng: np.random.Generator, org: Org, now: np.datetime64) -> Listings:
    """Return listings from before the first lead until `now`, one for about four leads."""
    count = max(3, round(org.leads / 4))
    days_ago = np.sort(rng.uniform(0, org.history_days + 60, count))[::-1]
    days_ago[:3] = org.history_days + 60  # so that the first lead has some to choose from
    price = np.round(org.median_price * np.exp(rng.normal(0, 0.45, count)), 2)
    price[rng.random(count) < 0.07] = np.nan
    return Listings(earlier(now, days_ago), price, rng.random(count) < 0.75)


def draw_leads(rng: np.random.Generator, org: Org, listings: Listings, now: np.datetime64) -> Leads:
    """Return the org's leads with their whole lives; what lies after `now` has not happened yet."""
    created_at = _arrivals(rng, org, now)
    source = _sources(rng, org)
    listing = _choose_listings(rng, org, listings, created_at)
    intent = rng.normal(0, 1, org.leads)
    engagement = 0.7 * intent + 0.7 * rng.normal(0, 1, org.leads)
    diligence = rng.normal(0, 1, org.leads)
    response_days = _responses(rng, org, created_at)
    pull = (
        0.5 * intent
        + 0.9 * engagement
        + 0.25 * diligence
        + np.vectorize(SOURCE_PULL.__getitem__, otypes=[float])(source)
        + _response_pull(response_days)
        + _listing_pull(rng, org, listings, listing)
    )
    is_won = rng.random(org.leads) < _chances(pull, org.conversion_rate)
    stage_days, closed_days = _lives(rng, pull - pull.mean(), intent, is_won)
    leads = Leads(
        created_at=created_at,
        source=source,
        listing=listing,
        engagement=engagement,
        diligence=diligence,
        response_days=response_days,
        is_won=is_won,
        stage_days=stage_days,
        closed_days=closed_days,
        observed_days=np.minimum(closed_days, days_between(created_at, now)),
    )
    return leads if org.records is None else _with_records(leads, org.records, org.org_id)


def earlier(moment: np.datetime64, days: Floats) -> Times:
    """Return the whole second that lies `days` before `moment`, for each item."""
    moments: Times = moment - (days * 86_400).astype("timedelta64[s]")
    return moments


def later(moments: Times, days: Floats) -> Times:
    """Return the whole second that lies `days` after each moment. The days must be finite."""
    result: Times = moments + (days * 86_400).astype("timedelta64[s]")
    return result


def days_between(start: Times, end: np.datetime64) -> Floats:
    """Return the days from each start to `end`."""
    days: Floats = (end - start) / np.timedelta64(86_400, "s")
    return days


def _arrivals(rng: np.random.Generator, org: Org, now: np.datetime64) -> Times:
    first_day = (now - np.timedelta64(org.history_days, "D")).astype("datetime64[D]")
    days = first_day + np.arange(1, org.history_days + 1)
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    season = 1 + 0.25 * np.sin(2 * np.pi * (days.astype(np.int64) % 365) / 365 - 1.2)
    weights = WEEKDAY_WEIGHTS[weekday] * season
    day = rng.choice(days, org.leads, p=weights / weights.sum())
    hour = np.where(rng.random(org.leads) < 0.6, rng.normal(11, 2.2, org.leads), rng.normal(19, 2.5, org.leads)) % 24
    created_at = day.astype("datetime64[s]") + (hour * 3_600).astype("timedelta64[s]")
    # Today is not over: who would come later today came yesterday.
    return np.sort(np.where(created_at > now, created_at - np.timedelta64(86_400, "s"), created_at))


def _sources(rng: np.random.Generator, org: Org) -> Texts:
    weights = np.array(list(org.sources.values()), dtype=float)
    return rng.choice(np.array(list(org.sources)), org.leads, p=weights / weights.sum())


def _choose_listings(rng: np.random.Generator, org: Org, listings: Listings, created_at: Times) -> Ints:
    existing = np.searchsorted(listings.created_at, created_at, side="right")
    recent = np.minimum(existing, 40)
    choice = existing - 1 - (rng.random(org.leads) * recent).astype(np.int64)
    return np.where(rng.random(org.leads) < org.listing_share, choice, -1)


def _responses(rng: np.random.Generator, org: Org, created_at: Times) -> Floats:
    hour = (created_at - created_at.astype("datetime64[D]")) / np.timedelta64(3_600, "s")
    is_night = (hour < 8) | (hour > 20)
    minutes = org.response_minutes * np.exp(rng.normal(0, 1.2, org.leads)) + is_night * rng.uniform(0, 600, org.leads)
    return np.where(rng.random(org.leads) < org.answered_share, (minutes + 1) / 1_440, NEVER)


def _response_pull(response_days: Floats) -> Floats:
    return np.maximum(-0.65 * np.log1p(response_days * 24), -2.6)


def _listing_pull(rng: np.random.Generator, org: Org, listings: Listings, listing: Ints) -> Floats:
    budget = org.median_price * np.exp(rng.normal(0, 0.3, len(listing)))
    too_dear = np.maximum(np.log(listings.price[listing] / budget), 0)
    pull = -1.6 * np.where(np.isnan(too_dear), 0.3, too_dear) - 0.4 * ~listings.has_photos[listing]
    return np.where(listing >= 0, pull, -0.5)


def _chances(pull: Floats, mean: float) -> Floats:
    """Return each lead's chance, rising with its pull, such that their mean is `mean`."""
    if mean == 0:
        return np.zeros_like(pull)
    low, high = -30.0, 30.0
    for _ in range(50):
        middle = (low + high) / 2
        if (1 / (1 + np.exp(-(pull + middle)))).mean() < mean:
            low = middle
        else:
            high = middle
    return 1 / (1 + np.exp(-(pull + high)))


def _lives(rng: np.random.Generator, pull: Floats, intent: Floats, is_won: Flags) -> tuple[Floats, Floats]:
    """Return the days at which each stage is reached (one column per stage), and those at which each lead is closed."""
    count = len(pull)
    # The furthest stage: the last one for a lead that is won; else the further, the stronger the pull.
    depth = np.searchsorted([-0.8, 0.4, 1.5], 0.4 * pull + rng.logistic(0, 0.9, count))
    depth = np.where(is_won, len(STAGES) - 1, depth)
    won_days = 1 + rng.gamma(3.0, 8.0, count) * np.exp(-0.15 * intent)
    lost_days = 0.3 + rng.gamma(1.4, 9.0, count) * (1 + 0.6 * depth)
    life_days = np.where(is_won, won_days, lost_days)
    shares = np.sort(rng.uniform(0.02, 0.85, (count, len(STAGES) - 1)), axis=1)
    stage_days = np.concatenate([np.zeros((count, 1)), shares * life_days[:, None]], axis=1)
    is_reached = np.arange(len(STAGES)) <= depth[:, None]
    # Some go from NEW straight to QUALIFIED or to APPOINTMENT, as the CRM allows.
    skips = rng.random(count)
    is_reached[:, 1] &= (depth == 1) | (skips > 0.2)
    is_reached[:, 2] &= (depth == 2) | (skips > 0.08)
    is_forgotten = ~is_won & (rng.random(count) < 0.06)
    return np.where(is_reached, stage_days, NEVER), np.where(is_forgotten, NEVER, life_days)


def _with_records(leads: Leads, records: int, org_id: str) -> Leads:
    is_record = leads.has_outcome()
    if is_record.sum() < records:
        raise ValueError(f"{org_id}: {len(leads)} leads give {is_record.sum()} records; {records} need more leads")
    return leads.chosen(~is_record | (np.cumsum(is_record) <= records))
