"""The e-process of an org, or of one version, from one day of the leads' creation to the next.

It never looks back, so it goes on where it stopped, whatever rows were removed meanwhile, and is the same whether days
are added one by one or many at once. Its capital begins with 1. While what is said is right, the capital dwindles, and
a fault that came after a good year would have to win it back first; so each month adds a little, MONTHLY_STAKE. The
expected number of false alarms is then at most ALARM_PROBABILITY of what was staked: a thousandth of an org at the
beginning, and as much again in each year.

After an alarm it begins anew with the leads that are created later: what these become shows whether the fault is
mended.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple

import msgspec
import numpy as np

from leadscore.live_performance import Evidence, Fault
from leadscore_assets.proof.evidence import (
    ALARM_LOG_E,
    ALTERNATIVES,
    SHIFTS,
    SaidRows,
    lead_log_e_values,
    log_mean,
    log_odds,
)

DAY = timedelta(days=1)
MONTHLY_STAKE = 1 / 12
# under it the process of whatever was said is kept, beside that of each version
ALL_VERSIONS = ""
NOTHING = (0.0,) * ALTERNATIVES


class Cohort(NamedTuple):
    """The leads that were created on one day (UTC), with what was said of them and what they became."""

    created_on: date
    rows: SaidRows


class Process(msgspec.Struct, frozen=True):
    """The state of the process after the leads created up to `through`, the last of them on `ended_on`.

    `log_capital` is the logarithm of the capital by each alternative, of what was `staked`. `log_e` is that of the
    e-values' product; `lowest` is the least that it was, on `lowest_on`: from the day after, the outcomes speak most
    for the alternative. `said_log_odds` is the sum over the first rows of
    `said_leads`. `alarm` is the last one, which was raised on
    `alarmed_on`, the day on which the outcomes of its last leads were known.
    """

    began_on: date | None = None
    ended_on: date | None = None
    through: date | None = None
    leads: int = 0
    staked: float = 1.0
    log_capital: tuple[float, ...] = NOTHING
    log_e: tuple[float, ...] = NOTHING
    lowest: tuple[float, ...] = NOTHING
    lowest_on: tuple[date | None, ...] = (None,) * ALTERNATIVES
    said_leads: int = 0
    said_log_odds: float = 0.0
    alarm: Evidence | None = None
    alarmed_on: date | None = None

    @property
    def evidence(self) -> Evidence:
        """What the outcomes since the last alarm say."""
        if not self.leads:
            return Evidence(0, 0.0, "too_wide")
        risen = np.array(self.log_e) - np.array(self.lowest)
        strongest = int(risen.argmax())
        before = self.lowest_on[strongest]
        since = self.began_on if before is None else before + DAY
        return Evidence(self.leads, self.log_mean_capital - math.log(self.staked), _fault(strongest), since)

    @property
    def log_mean_capital(self) -> float:
        """The logarithm of the mean capital over the alternatives."""
        return float(log_mean(np.array(self.log_capital)))

    def advanced(self, cohorts: Iterable[Cohort], window_days: int, *, restarts: bool = True) -> Process:
        """Return the process after further cohorts, in the order of their days; `window_days` until they are mature.

        A process that does not restart goes on after its alarm.
        """
        process = self
        for cohort in cohorts:
            if restarts and process.alarmed_on is not None and cohort.created_on <= process.alarmed_on:
                process = msgspec.structs.replace(process, through=cohort.created_on)
                continue
            process = _after(process, cohort)
            if process.log_mean_capital >= ALARM_LOG_E and (restarts or process.alarm is None):
                process = _alarmed(process, cohort.created_on + (window_days + 1) * DAY, restarts=restarts)
        return process


def _after(process: Process, cohort: Cohort) -> Process:
    # of each lead the first row alone, because how many a lead has tells of its outcome
    said = log_odds(cohort.rows.probability[cohort.rows.nth == 0])
    said_leads, said_log_odds = process.said_leads + len(said), process.said_log_odds + float(said.sum())
    gained = lead_log_e_values(cohort.rows, said_log_odds / said_leads).sum(axis=0)
    stake = MONTHLY_STAKE * _months(process.ended_on, cohort.created_on) if process.ended_on else 0.0
    log_capital = np.logaddexp(process.log_capital, math.log(stake)) if stake else np.array(process.log_capital)
    log_e = np.array(process.log_e) + gained
    is_lower = log_e < np.array(process.lowest)
    return msgspec.structs.replace(
        process,
        began_on=process.began_on or cohort.created_on,
        ended_on=cohort.created_on,
        through=cohort.created_on,
        leads=process.leads + len(cohort.rows.is_converted),
        staked=process.staked + stake,
        log_capital=tuple((log_capital + gained).tolist()),
        log_e=tuple(log_e.tolist()),
        lowest=tuple(np.minimum(log_e, process.lowest).tolist()),
        lowest_on=tuple(
            cohort.created_on if lower else day for lower, day in zip(is_lower.tolist(), process.lowest_on, strict=True)
        ),
        said_leads=said_leads,
        said_log_odds=said_log_odds,
    )


def _alarmed(process: Process, on: date, *, restarts: bool) -> Process:
    kept = Process(through=process.through) if restarts else process
    return msgspec.structs.replace(kept, alarm=process.evidence, alarmed_on=on)


def _months(earlier: date, later: date) -> int:
    """Return how many months begin between two days."""
    return 12 * (later.year - earlier.year) + later.month - earlier.month


def _fault(alternative: int) -> Fault:
    if alternative >= len(SHIFTS):
        return "too_wide"
    return "too_high" if SHIFTS[alternative] < 0 else "too_low"
