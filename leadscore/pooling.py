"""The pooled model: one more model, trained on the leads of all orgs, for orgs without their own active model.

It also is what an org's own training begins with: the org's version is the pooled forest taught by the org's rows, see
`leadscore_assets.training.teaching`. Such a version is the org's, names the pooled version that it stands on, and needs
it no more.

It has an id of its own, and the same assets, gate and registry as an org's model. For each org, the leaves of its
forest are shifted so that the mean probability of the org's leads is the org's own rate. The training computes these
base values, and stores one per org with the version.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np

from leadscore.arrays import Floats
from leadscore.engine.scorer import Scorer
from leadscore.formats import FORMAT

# no org of the CRM can have this id: theirs begin with a letter or a digit
POOLED = "_pooled"
# p(1 - p) / t²: what the pool expects weighs so much against an org's rate p when the two differ by about t; for a rate
# of 0.2 and a difference of 0.09
PRIOR_LEADS = 20
# leaves of exactly 0 and 1 stay, so that some rates are out of reach; they are approached so far, and no further
MAX_STEP = 10.0
TOLERANCE = 1e-14
MOST_TRIES = 64

Scope = Literal["own", "taught", "pooled"]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class BaseValues(msgspec.Struct, frozen=True):
    """The base value of each org of the pool. Other orgs are served with the unshifted forest."""

    orgs: dict[str, Share]
    format: int = FORMAT


class StandsOn(msgspec.Struct, frozen=True):
    """The pooled version that an org's version was taught from, and the SHA-256 of that version's manifest."""

    version: str
    manifest_sha256: str


def scope_of(owner: str, stands_on: object = None) -> Scope:
    """Return what a model is that is kept under the id `owner`: an org's own, with `stands_on` a taught one, or pooled.

    `stands_on` names the pooled version that it was taught from, None for none.
    """
    if owner == POOLED:
        return "pooled"
    return "own" if stands_on is None else "taught"


def is_of_the_org(scope: str) -> bool:
    """Return whether a model of that scope is a version of the org: one of its own, or one that it taught."""
    return scope != "pooled"


def shift_to_base_value(scorer: Scorer, base_value: float) -> Scorer:
    """Return `scorer` with every leaf moved by the same step on the log-odds scale, so that it has `base_value`.

    It scores by a forest still, so its probabilities, its contributions and their sum are exact. Each tree ranks leads
    as before; their mean does so nearly, because the step is taken in every tree and not on the mean. Where leaves of
    exactly 0 and 1 put the base value out of reach, it comes as near as a step of MAX_STEP brings it.
    """
    step = _step_to(scorer.leaf_values, scorer.leaf_shares, base_value)
    return scorer.with_moved_leaves(lambda values: moved(values, step))


def base_value_of_org(scorer: Scorer, rows: Floats, conversion_rate: float, leads: int) -> float:
    """Return the base value at which the org's `rows`, shape (rows, features), get its own rate on average.

    `conversion_rate` is the share of the rows that converted, of `leads` leads. It counts as if PRIOR_LEADS more leads
    converted as the forest expects, so that a few leads move little.
    """
    step = step_to_rate(scorer.nodes.values, scorer.node_shares_of(rows), conversion_rate, leads)
    return float(scorer.leaf_shares @ moved(scorer.leaf_values, step))


def step_to_rate(values: Floats, shares: Floats, conversion_rate: float, leads: int) -> float:
    """Return the step on the log-odds scale that gives the org's rows its own rate on average.

    `values` are those of the forest's nodes, `shares` their weights in the mean probability of the org's rows. The rate
    counts as `base_value_of_org` says.
    """
    expected = float((shares * values).sum())
    wanted = (leads * conversion_rate + PRIOR_LEADS * expected) / (leads + PRIOR_LEADS)
    return _step_to(values, shares, wanted)


def _step_to(values: Floats, shares: Floats, mean: float) -> float:
    """Return the step on the log-odds scale that brings the mean of `values`, weighed by `shares`, to `mean`.

    Newton's method, kept between the steps that are known to be too low and too high.
    """
    low, step, high = -MAX_STEP, 0.0, MAX_STEP
    for _ in range(MOST_TRIES):
        now = moved(values, step)
        missing = mean - float((shares * now).sum())
        if abs(missing) < TOLERANCE:
            break
        low, high = (step, high) if missing > 0 else (low, step)
        slope = float((shares * now * (1 - now)).sum())
        by_newton = step + missing / slope if slope else high
        step = by_newton if low < by_newton < high else (low + high) / 2
    return step


def moved(values: Floats, step: float) -> Floats:
    """Return the probabilities whose log-odds are `step` above those of `values`; 0 and 1 stay."""
    odds = np.exp(step)
    probabilities: Floats = values * odds / (1 - values + values * odds)
    return probabilities
