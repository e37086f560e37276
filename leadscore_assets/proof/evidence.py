"""How strongly outcomes speak against the probabilities that were said: an e-process over an org's leads.

An e-value is the gain of a bet that is fair or worse while the probabilities are right, so a large one is evidence that
they are not; their product over leads, in any order that does not look at outcomes ahead, ever exceeds n
with a probability of 1/n at most, however long and often one looks (Ville 1939; Ramdas and others 2023, "Game-theoretic
statistics and safe anytime-valid inference").

Right means: the true log-odds lie within TOLERANCE of those said, so that no fine model is accused in the end of what
every model has, a level that is a little off. Each of ALTERNATIVES is a way to be wrong: shifted log-odds, or ones that
differ less between leads than was said. Its factor for an outcome is the outcome's probability by the alternative,
divided by that at the nearest point of the tolerance. Its expectation is at most 1 for every truth within the
tolerance, because it is linear in the true probability. The process is the mean over the alternatives.

A lead has a row for each time that it was scored, all with one outcome, and the rows end when the lead is closed. An
average over as many rows as there happen to be would be no e-value, since the number of rows tells of the outcome. So
each row stakes a share of the lead's capital that was fixed before, STAKES, and what is not staked is kept.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from leadscore.arrays import Flags, Floats, Indices

TOLERANCE = 0.25
ALARM_PROBABILITY = 0.001
ALARM_LOG_E = math.log(1 / ALARM_PROBABILITY)
SHIFTS = (-1.0, -0.6, -0.3, 0.3, 0.6, 1.0)
SLOPES = (0.0, 0.3, 0.6)
ALTERNATIVES = len(SHIFTS) + len(SLOPES)
# of the first row, the second, …; the sum is at most 1
STAKES = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 64])
# a probability of exactly 0 or 1 has no log-odds
LOWEST_PROBABILITY = 1e-4


class SaidRows(NamedTuple):
    """What was said of leads: all of shape (rows,), and `is_converted` of shape (leads,).

    `lead` is each row's place among the leads, `nth` counts the rows of a lead from 0, in the order in which they were
    said.
    """

    lead: Indices
    nth: Indices
    probability: Floats
    is_converted: Flags


def log_odds(probability: Floats) -> Floats:
    """Return the log-odds, finite also at 0 and 1."""
    bounded = np.clip(probability, LOWEST_PROBABILITY, 1 - LOWEST_PROBABILITY)
    odds: Floats = np.log(bounded / (1 - bounded))
    return odds


def lead_log_e_values(rows: SaidRows, usual_log_odds: float) -> Floats:
    """Return the logarithm of each lead's e-value by each alternative, shape (leads, ALTERNATIVES).

    `usual_log_odds` is where the alternatives with a slope turn; it must not depend on these or later outcomes.
    """
    said = log_odds(rows.probability)[:, None]
    by_slope = usual_log_odds + np.array(SLOPES) * (said - usual_log_odds)
    alternative = np.concatenate([said + np.array(SHIFTS), by_slope], axis=1)
    nearest_right = np.clip(alternative, said - TOLERANCE, said + TOLERANCE)
    sign = np.where(rows.is_converted[rows.lead], 1.0, -1.0)[:, None]
    factor = np.exp(_log_probability(sign * alternative) - _log_probability(sign * nearest_right))
    stake = STAKES[np.minimum(rows.nth, len(STAKES) - 1)] * (rows.nth < len(STAKES))
    gain = np.zeros((len(rows.is_converted), ALTERNATIVES))
    np.add.at(gain, rows.lead, stake[:, None] * (factor - 1))
    values: Floats = np.log1p(gain)
    return values


def _log_probability(log_odds: Floats) -> Floats:
    """Return the logarithm of the probability with these log-odds."""
    values: Floats = -np.logaddexp(0.0, -log_odds)
    return values


def log_mean(log_e_values: Floats) -> Floats:
    """Return the logarithm of the mean over the alternatives, the last axis."""
    values: Floats = np.logaddexp.reduce(log_e_values, axis=-1) - math.log(ALTERNATIVES)
    return values
