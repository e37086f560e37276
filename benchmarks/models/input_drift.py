"""How rarely the alarm on what arrives is false, and how soon it is right: `python -m benchmarks.models.input_drift`.

Orgs live in a made-up world in which nothing changes but by chance: the leads of one day come from much the same
sources, and are answered by the same people, so they move together; weekends are slow; orgs differ. Each org learned
from half a year of its leads, and then lives for a year. The first table counts the findings among ORGS healthy orgs,
by our alarm and by the usual rules, which compare each month's rows with all that was learned. Then faults begin, in
orgs that were fine for half a year: the second table has the days from then until the alarm.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

from leadscore.arrays import Flags, Floats, Ints
from leadscore.engine.scorer import Scorer
from leadscore.features import CONTRACT
from leadscore.input_bins import InputBins
from leadscore.records import RecordCounts, Window
from leadscore.settings import Settings
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.proof.drift import InputEvidence, with_features
from leadscore_assets.proof.input_findings import SEASONAL
from leadscore_assets.proof.input_shifts import Arrived
from leadscore_assets.training.estimator import flatten
from leadscore_assets.training.input_bins import input_bins
from leadscore_assets.training.shapes import COARSE, grow

LEADS_A_MONTH = (20, 60, 200)
AGES = np.array(Settings().landmark_days)
LEARNED_DAYS, FINE_DAYS, YEAR = 183, 182, 365
MOST_DAYS, MONTH = 180, 30
START = date(2026, 1, 1)
SOURCES = np.array([10.0, 40.0, 80.0])
DAY_SPREAD, ORG_SPREAD, LEAD_SPREAD = 0.5, 0.5, 0.8
MINUTES = 1_440.0
NAMES = CONTRACT.names
RESPONSE, INBOUND, OUTBOUND = (
    NAMES.index(f"{name}") for name in ("response_time_minutes", "inbound_messages_count", "outbound_messages_count")
)
ENGAGEMENT, SOURCE = NAMES.index("engagement_rate"), NAMES.index("lead_source_score")


class Life(NamedTuple):
    """An org's rows, a lead at an age each: the lead, the day on which it reached the age, the age, its features."""

    lead: Ints
    created_day: Ints
    day: Ints
    age: Ints
    values: Floats
    converted: Flags

    def where(self, chosen: Flags) -> Life:
        """Return the chosen rows."""
        columns: list[Any] = [column[chosen] for column in self]
        return Life(*columns)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models.input_drift", description=__doc__)
    parser.add_argument("--orgs", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=200, help="orgs for each fault")
    options = parser.parse_args()
    rng = np.random.default_rng(11)
    scorer = make_scorer(rng)
    print(
        f"Of {options.orgs:,} healthy orgs in a year: findings by our alarm (those of the season are notes), and orgs"
    )
    print("with any finding by the usual rules, without the season's feature")
    print(
        f"{'leads a month':<16}{'findings':>10}{'of season':>11}{'PSI > 0.25':>12}{'KS p < 0.05':>13}{'ms a day':>10}"
    )
    for leads in LEADS_A_MONTH:
        print_false_alarms(rng, scorer, leads, options.orgs)
    print(f"\nDays from the fault to the alarm ({options.repeats} orgs that were fine for {FINE_DAYS} days)")
    print(f"{'fault':<26}{'leads a month':>14}{'median':>9}{'90 %':>8}{f'found in {MOST_DAYS} days':>20}")
    for name in FAULTS:
        for leads in LEADS_A_MONTH:
            print_detection(rng, scorer, leads, options.repeats, name)


def live(rng: np.random.Generator, leads_a_month: int, days: int) -> Life:
    """Return the rows of the leads that an org gets on days that begin before LEARNED_DAYS' end, and for `days`."""
    first, total = -90, LEARNED_DAYS + days
    weekly = np.array([1.2, 1.2, 1.2, 1.2, 1.2, 0.5, 0.5])
    usual = leads_a_month / 30.4 * weekly[np.arange(first, total) % 7]
    busy = usual * rng.gamma(4, 1 / 4, len(usual))
    created = np.repeat(np.arange(first, total), rng.poisson(busy))
    of_day = rng.normal(0, DAY_SPREAD, (total - first, 6))[created - first]
    latent = rng.normal(0, ORG_SPREAD, 6) + of_day + rng.normal(0, LEAD_SPREAD, (len(created), 6))
    market = 50 * np.convolve(busy, np.ones(30), "full")[: len(busy)] / (30 * usual.mean())
    is_open = rng.exponential(20, len(created))[:, None] > AGES
    lead, age = np.nonzero(is_open)
    values = _values(rng, latent, created % 7 >= 5, lead, age)
    day = created[lead] + AGES[age]
    values[:, NAMES.index(SEASONAL)] = np.minimum(market[np.clip(day - first, 0, len(market) - 1)], 100).round()
    converted = rng.random(len(created)) < 1 / (1 + np.exp(1.3 - latent[:, 0] - latent[:, 2]))
    return Life(lead, created[lead], day, AGES[age], values, converted[lead])


def _values(rng: np.random.Generator, latent: Floats, is_weekend: Flags, lead: Ints, age: Ints) -> Floats:
    """Return the features of rows, shape (rows, features), but for the market's activity."""
    leads = len(latent)
    inbound, outbound, booked = (
        rng.poisson(np.diff(np.log1p(AGES) + 0.2, prepend=0) * rate[:, None]).cumsum(axis=1)[lead, age].astype(float)
        for rate in (np.exp(latent[:, 2]), np.exp(0.8 * latent[:, 3]), 0.15 * np.exp(latent[:, 2]))
    )
    response = np.exp(5.5 + 1.5 * latent[:, 1] + 1.5 * is_weekend).round(1)
    has_property = latent[:, 4] > -0.5
    price = np.where(has_property, np.exp(12.4 + 0.5 * latent[:, 5]).round(-3), 0.0)
    source = SOURCES[np.clip(np.round(1 + 0.9 * latent[:, 0]), 0, 2).astype(int)]
    photos = has_property & (rng.random(leads) < 0.7)
    columns = {
        "lead_source_score": source[lead],
        "response_time_minutes": np.where(response[lead] <= AGES[age] * MINUTES, response[lead], np.nan),
        "inbound_messages_count": inbound,
        "outbound_messages_count": outbound,
        "appointments_count": booked,
        "has_property": has_property[lead],
        "property_price": price[lead],
        "property_has_photos": photos[lead],
        "engagement_rate": np.where(outbound > 0, inbound / np.maximum(outbound, 1), 0.0),
        "days_since_creation": AGES[age],
        SEASONAL: np.zeros(len(lead)),
    }
    return np.column_stack([columns[name] for name in NAMES]).astype(np.float64)


def make_scorer(rng: np.random.Generator) -> Scorer:
    """Return a forest that learned from many leads; it only says which values move a score."""
    life = live(rng, 1_000, 30)
    return flatten(grow(life.values.astype(np.float32), life.converted, life.lead, COARSE)).scorer


def learned(life: Life) -> Life:
    """Return the rows of the leads that were created in the half year that is learned from."""
    return life.where((life.created_day >= 0) & (life.created_day < LEARNED_DAYS))


def bins_of(scorer: Scorer, life: Life) -> InputBins:
    """Return what a version would keep of the rows that it learned from, as the product makes it."""
    rows = pd.DataFrame(
        {
            "lead_id": life.lead.astype(str),
            "created_on": (np.datetime64(START) + life.created_day).astype(str),
            "landmark_days": life.age,
            "converted": life.converted.astype(int),
            "is_held_out": (life.lead % 5 == 0).astype(int),
        }
        | {name: life.values[:, place] for place, name in enumerate(NAMES)}
    )
    counts = RecordCounts(records=0, converted_records=0, rows=0, excluded={}, sql_sha256="")
    window = Window(datetime(2026, 7, 1, tzinfo=UTC), LEARNED_DAYS, 90, ("WON",), tuple(AGES.tolist()))
    return input_bins(scorer, FeatureRows(rows, counts, window, CONTRACT))


def arrived(bins: InputBins, life: Life, first: int, after: int) -> Arrived:
    """Return what the daily scoring would count from one day until before another."""
    served = life.where((life.day >= first) & (life.day < after))
    days = np.arange(first, after)
    counts = np.stack([bins.count(served.age[served.day == day], served.values[served.day == day]) for day in days])
    leads = counts[:, :, bins.slices[0]].sum(axis=2)
    return Arrived([START + timedelta(days=int(day)) for day in days], leads, counts)


def print_false_alarms(rng: np.random.Generator, scorer: Scorer, leads: int, orgs: int) -> None:
    """Print what is found of healthy orgs."""
    ours = season = psi = ks = 0
    seconds = 0.0
    for _ in range(orgs):
        life = live(rng, leads, YEAR)
        bins = bins_of(scorer, learned(life))
        seen = arrived(bins, life, LEARNED_DAYS, LEARNED_DAYS + YEAR)
        started = time.process_time()
        found = ever_found(bins, seen)
        seconds += time.process_time() - started
        ours, season = ours + len(found - {SEASONAL}), season + (SEASONAL in found)
        psi, ks = psi + _psi_cries(bins, seen), ks + _ks_cries(life)
    cells = f"{ours:>10}{season:>11}{psi:>12}{ks:>13}{seconds / orgs / YEAR * 1e3:>10.2f}"
    print(f"{leads:<16}{cells}", flush=True)


def ever_found(bins: InputBins, seen: Arrived) -> set[str]:
    """Return the features of which something is found on any of the days."""
    evidence, found = InputEvidence(""), set()
    for place in range(0, len(seen.days), 10):
        evidence = with_features(evidence, bins, seen.upto(seen.days[min(place + 9, len(seen.days) - 1)]))
        found |= set(evidence.found)
    return found


def _psi_cries(bins: InputBins, seen: Arrived) -> bool:
    """Return whether in any month the population stability index of any feature exceeds 0.25, over all ages."""
    for month in range(0, YEAR - MONTH, MONTH):
        counts = seen.counts[month : month + MONTH].sum(axis=(0, 1))
        for chosen in (each for name, each in zip(NAMES, bins.slices, strict=True) if name != SEASONAL):
            then, now = bins.counts.sum(axis=0)[chosen] + 0.5, counts[chosen] + 0.5
            then, now = then / then.sum(), now / now.sum()
            if ((now - then) * np.log(now / then)).sum() > 0.25:
                return True
    return False


def _ks_cries(life: Life) -> bool:
    """Return whether in any month a Kolmogorov-Smirnov test of any feature gives p < 0.05, over all ages."""
    compared = np.array([name != SEASONAL for name in NAMES])
    then = learned(life).values[:, compared]
    for month in range(LEARNED_DAYS, LEARNED_DAYS + YEAR - MONTH, MONTH):
        now = life.values[(life.day >= month) & (life.day < month + MONTH)][:, compared]
        for old, new in zip(then.T, now.T, strict=True):
            known = new[~np.isnan(new)]
            if len(known) and ks_2samp(old[~np.isnan(old)], known, method="asymp").pvalue < 0.05:
                return True
    return False


def stopped_feed(life: Life, since: int) -> Life:
    """Let no message arrive any more: who was not answered stays so, and counts stay as they were."""
    values, is_late = life.values.copy(), life.day >= since
    was_answered = life.created_day + life.values[:, RESPONSE] / MINUTES < since
    values[is_late & ~was_answered, RESPONSE] = np.nan
    last: dict[int, Any] = {}
    for row in np.lexsort((life.age, life.lead)).tolist():
        if is_late[row]:
            values[row, [INBOUND, OUTBOUND, ENGAGEMENT]] = last.get(life.lead[row], (0.0, 0.0, 0.0))
        else:
            last[life.lead[row]] = tuple(values[row, [INBOUND, OUTBOUND, ENGAGEMENT]])
    return life._replace(values=values)


def _scaled(columns: list[int], factor: float) -> Callable[[Life, int], Life]:
    def fault(life: Life, since: int) -> Life:
        values = life.values.copy()
        values[life.day >= since] *= np.where(np.isin(np.arange(len(NAMES)), columns), factor, 1.0)
        return life._replace(values=values)

    return fault


def vanished_source(life: Life, since: int) -> Life:
    """Let no lead of the best source come any more."""
    return life.where((life.values[:, SOURCE] != SOURCES[-1]) | (life.created_day < since))


FAULTS: dict[str, Callable[[Life, int], Life]] = {
    "feed of messages stopped": stopped_feed,
    "seconds for minutes": _scaled([RESPONSE], 60),
    "counts doubled": _scaled([INBOUND, OUTBOUND], 2),
    "the best source vanished": vanished_source,
}


def print_detection(rng: np.random.Generator, scorer: Scorer, leads: int, repeats: int, name: str) -> None:
    """Print after how many days a fault is found."""
    delays = np.array([_delay(rng, scorer, leads, FAULTS[name]) for _ in range(repeats)])
    middle, late = np.quantile(delays, (0.5, 0.9), method="inverted_cdf")
    print(f"{name:<26}{leads:>14}{middle:>9,.0f}{late:>8,.0f}{np.isfinite(delays).mean():>20.0%}", flush=True)


def _delay(rng: np.random.Generator, scorer: Scorer, leads: int, fault: Callable[[Life, int], Life]) -> float:
    since = LEARNED_DAYS + FINE_DAYS
    healthy = live(rng, leads, FINE_DAYS + MOST_DAYS)
    bins, life = bins_of(scorer, learned(healthy)), fault(healthy, since)
    seen = arrived(bins, life, LEARNED_DAYS, since + MOST_DAYS)
    before = with_features(InputEvidence(""), bins, seen.upto(START + timedelta(days=since - 1)))
    known = set(before.found)
    for day in range(since, since + MOST_DAYS):
        before = with_features(before, bins, seen.upto(START + timedelta(days=day)))
        if set(before.found) - known - {SEASONAL}:
            return day - since + 1.0
    return np.inf


if __name__ == "__main__":
    main()
