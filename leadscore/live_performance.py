"""What came true of the scores that an org was given: the figures that the pipeline makes and the server shows.

Only mature leads count: those whose conversion window is over, whether they were closed long before or are open still.
Leads of one day become mature together, so that none counts early because it was closed soon.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

import msgspec

from leadscore.comparison import Estimate
from leadscore.pooling import Scope

# fine and alarm: enough outcomes to judge; too_young: not yet; no_scores: nothing was said of any lead yet
LiveState = Literal["fine", "alarm", "too_young", "no_scores"]
# what was wrong: fewer or more leads converted than was said, or leads differ less than was said
Fault = Literal["too_high", "too_low", "too_wide"]


class Outcomes(msgspec.Struct, frozen=True):
    """Of a group of leads, how many there are, and the shares that were promised to convert and that did.

    `promised` is the mean of the probabilities that were said; `converted` has a 95 % interval (Wilson).
    """

    leads: int
    promised: float
    converted: Estimate


class Group(msgspec.Struct, frozen=True):
    """The outcomes of a grade, a month (of the leads' creation) or an age (in days), which `name` names."""

    name: str
    outcomes: Outcomes


class Evidence(msgspec.Struct, frozen=True):
    """How strongly the outcomes speak against what was said: the logarithm of an e-value, with its leads.

    While what is said is right within the tolerance, the probability that it ever exceeds log(n) is 1/n at most.
    `fault` and `since` say how what was said differs most from what came true, and from which creation day on.
    """

    leads: int
    log_e: float
    fault: Fault
    since: date | None = None


class Quality(msgspec.Struct, frozen=True):
    """How good probabilities were, over all rows, with 95 % intervals over leads.

    `roc_auc` is None while only one outcome was seen. `base_rate_brier` is the score of always saying the share that
    converted.
    """

    brier_score: Estimate
    roc_auc: Estimate | None
    base_rate_brier: float


class VersionOutcomes(msgspec.Struct, frozen=True):
    """What came true of one version's scores, beside what its holdout had promised.

    `role` is `served`, or `shadow` for a version whose scores nobody saw: it was held, or active before. For a shadow,
    `gain` is how much lower its Brier score is than that of what was served, on the same rows.
    """

    version: str
    scope: Scope
    role: Literal["served", "shadow"]
    first_said: date
    last_said: date
    rows: int
    outcomes: Outcomes
    quality: Quality
    evidence: Evidence | None = None
    holdout_brier: float | None = None
    holdout_roc_auc: float | None = None
    verdict: str | None = None
    gain: Estimate | None = None


class Capacity(msgspec.Struct, frozen=True):
    """How the leads that were named first did, and the others; `by` says which leads those are.

    Named leads are called first, which makes them convert more often: the difference is not the model's alone.
    """

    by: str
    named: Outcomes
    others: Outcomes


class LivePerformance(msgspec.Struct, frozen=True, kw_only=True):
    """One org's scores and what came true of them, as of a moment.

    `judged_through` is the last creation day (UTC) whose leads are mature; `judgeable_on` the day on which there will
    be enough of them, None when no day can be told. `in_words` says the result, `remedy` what to do about it.
    """

    org_id: str
    as_of: datetime
    state: LiveState
    in_words: str
    remedy: str = ""
    judged_through: date | None = None
    judgeable_on: date | None = None
    alarmed_on: date | None = None
    evidence: Evidence | None = None
    overall: Outcomes | None = None
    quality: Quality | None = None
    by_grade: list[Group] = []
    by_month: list[Group] = []
    by_age: list[Group] = []
    capacity: Capacity | None = None
    versions: list[VersionOutcomes] = []
