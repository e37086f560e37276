"""Says in a sentence what a version is good for, by the report of its judgement."""

from __future__ import annotations

from leadscore.gate import Judgement
from leadscore.pooling import Scope, is_of_the_org

# with fewer conversions a share says little, and a single lead could be recognised
FEWEST_CONVERSIONS = 10


def promise(judgement: Judgement | None, scope: Scope) -> str:
    """Return what the version that scores an org's leads is good for; `scope` says whose version it is."""
    subject = "it" if is_of_the_org(scope) else "the pooled model"
    by_lead = judgement.report.by_lead if judgement else None
    if by_lead is None:
        return "How well it ranks leads was not measured by lead; train again to know."
    if by_lead.top_reached is None or by_lead.conversions < FEWEST_CONVERSIONS:
        return "How well it ranks leads cannot be said yet: too few of the held-out leads converted."
    share = f"{by_lead.top_leads / by_lead.leads:.0%}"
    return f"Of new leads, the {share} that {subject} puts first hold {by_lead.top_reached:.0%} of the conversions."


def measured_on(judgement: Judgement | None) -> str:
    """Return on how many leads that was measured; empty where it was not."""
    by_lead = judgement.report.by_lead if judgement else None
    if by_lead is None or by_lead.conversions < FEWEST_CONVERSIONS:
        return ""
    return f"Measured on {by_lead.leads:,} leads that it was not trained on, {by_lead.conversions:,} of them converted."
