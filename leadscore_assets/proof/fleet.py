"""The evidence of all orgs together: which to look at, and whether a fault hits many.

`listed` is the procedure e-BH (Wang and Ramdas 2022): of the orgs that it lists, the expected share whose scores are
right is at most FALSE_SHARE, however the orgs depend on each other.

`common_fault` tests that at most ALLOWED_SHARE of the orgs are wrong: by each way to be wrong, the orgs that speak most
for it are set aside, so many as may be wrong, and the e-values of the others are multiplied. That is an e-value, since
the product is at most that over right orgs alone; it grows with every org that speaks, however softly. It takes the
orgs' outcomes as independent, given what was said: a fault that all share is what it is to find.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from leadscore.arrays import Flags, Floats
from leadscore_assets.proof.evidence import ALARM_LOG_E, log_mean
from leadscore_assets.proof.tables import REMEDY
from leadscore_assets.source.database import Connection, explaining

FLEET_LOCK = 7_013_007  # any number of our own: whoever holds it may compare the orgs
FALSE_SHARE = 0.1
ALLOWED_SHARE = 0.1


ORGS = """
SELECT figures.org_id, figures.log_e, (evidence.process ->> 'staked')::float8,
    ARRAY(SELECT value::float8 FROM jsonb_array_elements_text(evidence.process -> 'log_capital') AS value)
FROM leadscore.live_performance AS figures
JOIN leadscore.live_evidence AS evidence ON evidence.org_id = figures.org_id AND evidence.model_version = ''
ORDER BY figures.org_id
"""
LIST = """
UPDATE leadscore.live_performance SET is_listed = org_id = ANY (%(listed)s)
WHERE is_listed IS DISTINCT FROM (org_id = ANY (%(listed)s))
"""


class Fleet(NamedTuple):
    """All orgs with judged scores: how many, which to look at, and the e-value against a fault of few of them."""

    orgs: int
    listed: list[str]
    log_e_of_common_fault: float

    @property
    def has_common_fault(self) -> bool:
        """Whether the promises are wrong in more than ALLOWED_SHARE of the orgs."""
        return self.log_e_of_common_fault >= ALARM_LOG_E

    @property
    def in_words(self) -> str:
        """What was found, in a sentence."""
        common = (
            f" Promises are wrong in more than {ALLOWED_SHARE:.0%} of them: look at what they share, such as the feed."
            if self.has_common_fault
            else ""
        )
        return f"{len(self.listed)} of {self.orgs} orgs are on the list of those to look at.{common}"


def compare_orgs(connection: Connection) -> Fleet:
    """Compare all orgs, and mark those to look at. Raises SourceMismatch before the set-up, DatabaseUnavailable."""
    with explaining("comparing the orgs' evidence", REMEDY), connection.transaction():
        # another shard may compare at this moment, from what it saw before
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [FLEET_LOCK])
        rows: list[Any] = connection.execute(ORGS).fetchall()
        if not rows:
            return Fleet(0, [], 0.0)
        is_listed = listed(np.array([row[1] for row in rows]))
        org_ids = [row[0] for row, chosen in zip(rows, is_listed, strict=True) if chosen]
        connection.execute(LIST, {"listed": org_ids})
    by_alternative = np.array([row[3] for row in rows]) - np.log([[row[2]] for row in rows])
    return Fleet(len(rows), org_ids, common_fault(by_alternative))


def listed(log_e_values: Floats) -> Flags:
    """Return which orgs to look at, shape (orgs,), from the logarithms of their e-values."""
    orgs = len(log_e_values)
    order = np.argsort(-log_e_values, kind="stable")
    needed = math.log(orgs / FALSE_SHARE) - np.log(np.arange(1, orgs + 1)) if orgs else np.zeros(0)
    enough = np.flatnonzero(log_e_values[order] >= needed)
    chosen = np.zeros(orgs, bool)
    chosen[order[: enough[-1] + 1 if len(enough) else 0]] = True
    return chosen


def common_fault(log_e_values: Floats) -> float:
    """Return the logarithm of the e-value against at most ALLOWED_SHARE wrong orgs.

    `log_e_values` are those by each alternative, shape (orgs, alternatives).
    """
    set_aside = math.ceil(ALLOWED_SHARE * len(log_e_values))
    kept = np.sort(log_e_values, axis=0)[: len(log_e_values) - set_aside]
    return float(log_mean(kept.sum(axis=0)))
