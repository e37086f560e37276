"""How rarely the alarm of live proof is false, and how soon it is right: `python -m benchmarks.models.live_proof`.

Orgs live in a made-up world in which the truth is known. Their leads are scored at each landmark age by a forest that
learned from 30,000 leads, so that what it says comes true; what an org is told is off by a level of its own, of up to
the tolerance. For each size, ORGS orgs live for YEARS years: the table says how many of them are ever accused in a
year, by our alarm and by the usual rules, which compare each month with what is true of the world. Then faults begin,
in orgs that were fine for 1,000 leads: the table has the leads that became mature from then until the alarm. In the
end, conversions swing from month to month, as with a season: a promise that knows no season does not come true then.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from benchmarks.models.harness.changing_worlds import WORLDS, draw_month
from leadscore.arrays import Flags, Floats, Indices
from leadscore.evaluation import brier_score_of, roc_auc_of
from leadscore_assets.proof.evidence import TOLERANCE, SaidRows, log_odds
from leadscore_assets.proof.process import Cohort, Process

LEADS_A_MONTH = (20, 60, 200)
LEVEL_SPREAD = 0.15
SWINGS = (0.1, 0.2, 0.3, 0.4)
LEARNED_LEADS, POOL_LEADS = 30_000, 60_000
FINE_LEADS, MOST_LEADS = 1_000, 3_000
WEEKS, MONTHS = 52, 12
WEEK, START = timedelta(days=7), date(2026, 1, 5)
WINDOW_DAYS = 90


class Pool(NamedTuple):
    """Leads with what was said of them: rows in the order of the leads, and a first row and an outcome for each."""

    nth: Indices
    probability: Floats
    first: Indices
    rows: Indices
    is_converted: Flags

    def drawn(self, rng: np.random.Generator, leads: int) -> SaidRows:
        """Return leads drawn at random."""
        chosen = rng.integers(0, len(self.first), leads)
        counts = self.rows[chosen]
        nth = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        place = np.repeat(self.first[chosen], counts) + nth
        return SaidRows(np.repeat(np.arange(leads), counts), nth, self.probability[place], self.is_converted[chosen])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models.live_proof", description=__doc__)
    parser.add_argument("--orgs", type=int, default=1_000)
    parser.add_argument("--years", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=300, help="orgs for each fault")
    options = parser.parse_args()
    rng = np.random.default_rng(7)
    pool = make_pool(rng)
    print(f"{pool.is_converted.mean():.0%} of the leads convert; a lead has {pool.rows.mean():.1f} rows\n")
    print(f"Of {options.orgs:,} fine orgs, how many are accused in a year (mean of {options.years} years)")
    print(f"{'leads a month':<16}{'alarm':>10}" + "".join(f"{name:>22}" for name in RULES))
    for leads in LEADS_A_MONTH:
        print_false_alarms(rng, pool, leads, options.orgs, options.years)
    print(f"\nOf {options.orgs:,} orgs whose log-odds swing from month to month, how many are accused in a year")
    print(f"{'leads a month':<16}" + "".join(f"{f'sd {swing:g}':>10}" for swing in SWINGS))
    for leads in LEADS_A_MONTH:
        print_swings(rng, pool, leads, options.orgs)
    print(f"\nLeads from the fault to the alarm ({options.repeats} orgs that were fine for {FINE_LEADS:,} leads)")
    print(f"{'fault':<30}{'median':>10}{'90 %':>10}{f'named in {MOST_LEADS:,}':>18}")
    for name, fault in FAULTS.items():
        print_detection(rng, name, pool, fault(rng, pool), options.repeats)


def make_pool(rng: np.random.Generator) -> Pool:
    """Return leads of an unchanging world, scored by a forest that learned from others."""
    learned, leads = draw_month(rng, WORLDS[0], 0, LEARNED_LEADS), draw_month(rng, WORLDS[0], 1, POOL_LEADS)
    forest = RandomForestClassifier(100, min_samples_leaf=40, max_features=4, n_jobs=-1, random_state=1)
    forest.fit(learned.features, learned.converted)
    _, lead = np.unique(leads.lead_ids, return_inverse=True)
    order = np.lexsort((leads.landmark_days, lead))
    lead = lead[order]
    first = np.flatnonzero(np.diff(lead, prepend=-1))
    return Pool(
        np.arange(len(lead)) - first[lead],
        forest.predict_proba(leads.features)[order, 1],
        first,
        np.diff(first, append=len(lead)),
        leads.converted[order][first],
    )


def shifted(rows: SaidRows, level: float) -> SaidRows:
    """Return the rows with log-odds that are off by `level`."""
    return rows._replace(probability=1 / (1 + np.exp(-(log_odds(rows.probability) + level))))


def print_false_alarms(rng: np.random.Generator, pool: Pool, leads: int, orgs: int, years: int) -> None:
    """Print how many of the orgs are accused in a year."""
    # what all leads together show, as a very large holdout would
    usual = _month(pool.probability[pool.nth == 0], pool.is_converted)
    accused = np.zeros((years, 1 + len(RULES)))
    for year in range(years):
        for _ in range(orgs):
            level = float(np.clip(rng.normal(0, LEVEL_SPREAD), -TOLERANCE, TOLERANCE))
            weeks = [shifted(pool.drawn(rng, rng.poisson(leads * MONTHS / WEEKS) or 1), level) for _ in range(WEEKS)]
            process = Process().advanced(_cohorts(weeks), WINDOW_DAYS)
            months = _months(weeks)
            cries = [any(rule(month, usual) for month in months) for rule in RULES.values()]
            accused[year] += [process.alarm is not None, *cries]
    mean = accused.mean(axis=0)
    print(f"{leads:<16}{mean[0]:>10.2f}" + "".join(f"{count:>22,.0f}" for count in mean[1:]), flush=True)


def print_swings(rng: np.random.Generator, pool: Pool, leads: int, orgs: int) -> None:
    """Print how many orgs are accused in a year in which what is said is off by another level each month."""
    accused = np.zeros(len(SWINGS))
    for _ in range(orgs):
        levels = rng.normal(0, 1, MONTHS)[np.arange(WEEKS) * MONTHS // WEEKS]
        draws = [pool.drawn(rng, rng.poisson(leads * MONTHS / WEEKS) or 1) for _ in range(WEEKS)]
        for place, swing in enumerate(SWINGS):
            weeks = [shifted(rows, swing * level) for rows, level in zip(draws, levels.tolist(), strict=True)]
            accused[place] += Process().advanced(_cohorts(weeks), WINDOW_DAYS).alarm is not None
    print(f"{leads:<16}" + "".join(f"{count:>10,.0f}" for count in accused), flush=True)


def _cohorts(weeks: Sequence[SaidRows]) -> list[Cohort]:
    return [Cohort(START + week * WEEK, rows) for week, rows in enumerate(weeks)]


class Month(NamedTuple):
    """What a usual rule looks at in a month, by the first row of each lead."""

    roc_auc: float
    brier_score: float
    surplus: float


def _months(weeks: Sequence[SaidRows]) -> list[Month]:
    months = []
    for part in np.array_split(np.arange(WEEKS), MONTHS):
        probability = np.concatenate([weeks[week].probability[weeks[week].nth == 0] for week in part])
        converted = np.concatenate([weeks[week].is_converted for week in part])
        months.append(_month(probability, converted))
    return months


def _month(probability: Floats, converted: Flags) -> Month:
    auc = roc_auc_of(probability, converted)
    surplus = float(probability.mean() - converted.mean())
    return Month(0.5 if auc is None else auc, brier_score_of(probability, converted), surplus)


RULES: dict[str, Callable[[Month, Month], bool]] = {
    "AUC 0.05 lower": lambda month, usual: month.roc_auc < usual.roc_auc - 0.05,
    "Brier 10 % worse": lambda month, usual: month.brier_score > usual.brier_score * 1.1,
    "rate off by 0.05": lambda month, usual: abs(month.surplus - usual.surplus) > 0.05,
}


def half_rate(rng: np.random.Generator, pool: Pool) -> Pool:
    """Let half of the leads that converted convert no more."""
    return pool._replace(is_converted=pool.is_converted & (rng.random(len(pool.first)) < 0.5))


def double_rate(rng: np.random.Generator, pool: Pool) -> Pool:
    """Let as many leads more convert, whichever they are."""
    rate = pool.is_converted.mean()
    return pool._replace(is_converted=pool.is_converted | (rng.random(len(pool.first)) < rate / (1 - rate)))


def lost_ranking(rng: np.random.Generator, pool: Pool) -> Pool:
    """Say of each lead what is true of another of its age."""
    probability = pool.probability.copy()
    for nth in np.unique(pool.nth):
        places = np.flatnonzero(pool.nth == nth)
        probability[places] = pool.probability[rng.permutation(places)]
    return pool._replace(probability=probability)


def half_ranking(_rng: np.random.Generator, pool: Pool) -> Pool:
    """Let the log-odds that are said differ twice as much as the true ones."""
    said = log_odds(pool.probability)
    return pool._replace(probability=1 / (1 + np.exp(-(said.mean() + 2 * (said - said.mean())))))


FAULTS: dict[str, Callable[[np.random.Generator, Pool], Pool]] = {
    "ranking lost": lost_ranking,
    "ranking half of what was said": half_ranking,
    "rate halved": half_rate,
    "rate doubled": double_rate,
}


def print_detection(rng: np.random.Generator, name: str, fine: Pool, wrong: Pool, repeats: int) -> None:
    """Print after how many leads the fault is named."""
    leads_needed = np.array([_leads_to_alarm(rng, fine, wrong) for _ in range(repeats)])
    named = np.isfinite(leads_needed).mean()
    middle, late = np.quantile(leads_needed, (0.5, 0.9), method="inverted_cdf")
    print(f"{name:<30}{middle:>10,.0f}{late:>10,.0f}{named:>18.1%}", flush=True)


def _leads_to_alarm(rng: np.random.Generator, fine: Pool, wrong: Pool, at_a_time: int = 10) -> float:
    level = float(np.clip(rng.normal(0, LEVEL_SPREAD), -TOLERANCE, TOLERANCE))
    days, before = timedelta(days=5), FINE_LEADS // at_a_time  # 60 leads a month
    draws = [shifted(fine.drawn(rng, at_a_time), level) for _ in range(before)]
    process = Process().advanced([Cohort(START + n * days, rows) for n, rows in enumerate(draws)], WINDOW_DAYS)
    if process.alarm is not None:
        return 0.0
    for step in range(1, MOST_LEADS // at_a_time + 1):
        rows = shifted(wrong.drawn(rng, at_a_time), level)
        process = process.advanced([Cohort(START + (before + step) * days, rows)], WINDOW_DAYS)
        if process.alarm is not None:
            return float(step * at_a_time)
    return np.inf


if __name__ == "__main__":
    main()
