"""Says what an org's figures of live proof mean, and what to do about them."""

from __future__ import annotations

from datetime import date

import msgspec
import numpy as np

from leadscore.live_performance import Evidence, Fault, LivePerformance, VersionOutcomes
from leadscore_assets.proof.judged_scores import Judged
from leadscore_assets.proof.quality import outcomes_of

FEWEST_LEADS = 50
FAULTS: dict[Fault, str] = {
    "too_high": "fewer convert than was promised",
    "too_low": "more convert than was promised",
    "too_wide": "they differ less from each other than was promised",
}


def said(figures: LivePerformance, scores: Judged, active: str | None) -> LivePerformance:
    """Return the figures with what they mean in words, and what to do; `active` serves the org now."""
    if figures.state == "alarm" and figures.evidence:
        in_words, remedy = _alarm(figures.evidence, scores), _remedy(figures, active)
        return msgspec.structs.replace(figures, in_words=in_words, remedy=remedy)
    if figures.state == "fine":
        in_words = f"What was promised comes true: {_counted(scores)}."
    elif figures.state == "too_young":
        in_words = _too_young(figures, scores)
    else:
        in_words = "No lead of the org was scored yet."
    return msgspec.structs.replace(figures, in_words=in_words)


def _alarm(evidence: Evidence, scores: Judged) -> str:
    since = evidence.since
    concerned = scores if since is None else scores.where(scores.created_on >= np.datetime64(since, "D"))
    of_which = "Of the leads" if since is None else f"Of the leads created since {_day(since)}"
    return (
        f"What was promised does not come true. {of_which}, {FAULTS[evidence.fault]}: {_counted(concerned)}. Were the"
        f" promises right, outcomes like these would ever be seen in one of {np.exp(evidence.log_e):,.0f} orgs."
    )


def _too_young(figures: LivePerformance, scores: Judged) -> str:
    known = (
        f"{_counted(scores)}, which is too few to judge. " if scores.leads else "No lead that was scored is mature. "
    )
    if figures.judgeable_on is None:
        return f"{known}No new leads are scored, so no day can be told on which there will be enough."
    return f"{known}There will be enough around {_day(figures.judgeable_on)}."


def _counted(scores: Judged) -> str:
    first = scores.first
    if not first.leads:
        return "none of them is mature"
    outcomes = outcomes_of(first.probability, first.is_converted)
    low, high = outcomes.converted.low, outcomes.converted.high
    return (
        f"{outcomes.converted.value:.0%} of {outcomes.leads:,} leads converted ({low:.0%} to {high:.0%} allowing for"
        f" chance), {outcomes.promised:.0%} were promised"
    )


def _remedy(figures: LivePerformance, active: str | None) -> str:
    better = better_version(figures, active)
    if better is None or better.gain is None:
        return (
            "Nothing is rolled back by itself, and no other version is known to do better. See whether the features"
            " arrive as they were learned, then train the org again."
        )
    body = f'{{"org_id": "{figures.org_id}", "version": "{better.version}", "reason": "it did better"'
    force = ', "force": true' if better.verdict not in (None, "activate") else ""
    return (
        f"Version {better.version} did better on the same leads: its Brier score is lower by {better.gain.value:.3f}"
        f" ({better.gain.low:.3f} to {better.gain.high:.3f}). Nothing is rolled back by itself; to serve it, send"
        f" POST /api/v1/model/rollback {body}{force}}}"
    )


def better_version(figures: LivePerformance, active: str | None) -> VersionOutcomes | None:
    """Return the shadow that did better than what was served, beyond chance, by the most; None when none did.

    Fewer than FEWEST_LEADS tell nothing, and the version that is `active` by now is no other one.
    """
    better = [
        each
        for each in figures.versions
        if each.gain is not None
        and each.gain.low > 0
        and each.outcomes.leads >= FEWEST_LEADS
        and each.version != active
    ]
    return max(better, key=lambda each: each.gain.value if each.gain else 0.0, default=None)


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
