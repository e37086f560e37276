"""How strongly days speak against "what arrives is as was learned": bets on each day's measures.

A bet puts a share f of its capital on a measure x, from 0 to 1, at odds that are fair or worse while the mean of x,
given the days before, lies in a band: its factor is 1 - f + f * x / upper, and the like below the band's lower end. So
the capital is a supermartingale, and exceeds n times what was staked with a probability of 1/n at most, however often
one looks (Ville 1939; Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting"). The
capital of a test is the mean over FRACTIONS and both directions.

The fractions are fixed, so that a regular pattern, such as that of the days of a week, gains nothing: the product over
a week is at most the power of the mean. A day is one observation, whatever its number of leads, which move together.
A lead comes once per landmark age, and again at the next one; so each age is a test of its own, on leads that it did
not see before, and the alarm's level is divided among them.

An org's test begins with MONTHLY_STAKE, and gets as much in each new month, whichever version scores the org and
however often it is trained again. A new version has other bins, so it keeps at most one stake of what was won against
the version before. At most 13 months begin in a year: so a year's stakes are 1, and the expected number of false alarms
of all tests of an org is FALSE_ALARMS_A_YEAR at most, one among a thousand orgs.
"""

from __future__ import annotations

import math
from datetime import date

import msgspec
import numpy as np

from leadscore.arrays import Flags, Floats

FALSE_ALARMS_A_YEAR = 0.001
MONTHLY_STAKE = 1 / 13
LOG_STAKE = math.log(MONTHLY_STAKE)
FRACTIONS = np.array([0.3, 0.9])
BETS = 2 * len(FRACTIONS)
# how far the mean may lie off, in any case and in standard errors and leads of what it is compared with
TOLERANCE = 0.05
TOLERANCE_ERRORS = 2.0
TOLERANCE_LEADS = 2.0


class Bets(msgspec.Struct, frozen=True):
    """The logarithms of the capital of each test's bets, test by test, after the day `through`."""

    log_capital: tuple[float, ...] = ()
    through: date | None = None

    def of_tests(self, tests: int) -> Bets:
        """Return the bets for so many tests: these, or new ones where the number is another."""
        is_same = len(self.log_capital) == tests * BETS
        return self if is_same else msgspec.structs.replace(self, log_capital=(LOG_STAKE,) * (tests * BETS))

    def limited(self, tests: Flags | None = None) -> Bets:
        """Return the bets with at most a stake in each of the tests, shape (tests,), or in all."""
        capital = np.array(self.log_capital).reshape(-1, BETS)
        is_limited = np.ones(len(capital), bool) if tests is None else tests
        kept = np.where(is_limited[:, None], np.minimum(capital, LOG_STAKE), capital)
        return msgspec.structs.replace(self, log_capital=tuple(kept.ravel().tolist()))

    def after(self, day: date, measures: Floats, lower: Floats, upper: Floats) -> Bets:
        """Return the bets after a further day, whose measures have shape (tests,), NaN where nothing was seen."""
        capital = np.array(self.log_capital).reshape(-1, BETS)
        if self.through and (self.through.year, self.through.month) < (day.year, day.month):
            capital = np.logaddexp(capital, LOG_STAKE)
        capital = capital + np.nan_to_num(log_factors(measures, lower, upper))
        return Bets(tuple(capital.ravel().tolist()), day)

    @property
    def log_e(self) -> Floats:
        """The logarithm of each test's capital, shape (tests,)."""
        capital = np.array(self.log_capital).reshape(-1, BETS)
        values: Floats = np.logaddexp.reduce(capital, axis=1) - math.log(BETS)
        return values


def log_factors(measures: Floats, lower: Floats, upper: Floats) -> Floats:
    """Return the logarithm of what each bet's capital is multiplied by, shape (…, BETS), of inputs of shape (…)."""
    gains = np.stack([measures / upper - 1, (1 - measures) / (1 - lower) - 1], axis=-1)
    factors: Floats = np.log1p(gains[..., None] * FRACTIONS).reshape(*measures.shape, BETS)
    return factors


def tolerance(errors: Floats, leads: Floats) -> Floats:
    """Return how far a mean may lie off one that is known with these standard errors, from so many leads."""
    return TOLERANCE + TOLERANCE_ERRORS * errors + TOLERANCE_LEADS / np.maximum(leads, 1)


def alarm_log_e(functionals: int, ages: int = 1) -> float:
    """Return the logarithm of the capital that raises an alarm, where so many of them are tested at so many ages."""
    return math.log(functionals * ages / FALSE_ALARMS_A_YEAR)
