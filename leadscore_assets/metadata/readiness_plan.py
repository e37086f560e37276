"""The plan that goes with a refusal: when the org will have enough data. A refusal holds without a plan, too."""

from __future__ import annotations

import logging

import dagster as dg

from leadscore.errors import DatabaseUnavailable, SourceMismatch
from leadscore.gate import Decision, policy_from
from leadscore.pooling import POOLED
from leadscore.readiness import Readiness, assess
from leadscore.records import Window
from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from leadscore_assets.source.outcomes import outcome_counts

NO_DATE = "no date can be given"


def plan_for(settings: Settings, org_id: str, window: Window, log: logging.Logger) -> Readiness | None:
    """Return when the org will have enough data; None for the pooled model, or without a database."""
    if org_id == POOLED:
        return None
    try:
        with connect(settings, read_only=True) as connection:
            counts = outcome_counts(connection, org_id, window)
    except (DatabaseUnavailable, SourceMismatch) as error:
        log.warning("the refusal has no readiness plan: %s", error.message)
        return None
    return assess(counts, window, policy_from(settings).requirements)


def in_words(decision: Decision, plan: Readiness | None) -> str:
    """Return why the gate refused, followed by the plan."""
    return plan.added_to(decision.text) if plan else decision.text


def plan_metadata(plan: Readiness | None) -> dict[str, str | float]:
    """Return the plan in words and figures."""
    if plan is None:
        return {}
    return {
        "plan": plan.message,
        "ready_on": str(plan.expected_on or NO_DATE),
        "records_per_week": plan.pace.records_per_week,
        "converted_per_week": plan.pace.converted_per_week,
    }


def refused(decision: Decision, plan: Readiness | None) -> dg.Failure:
    """Return the failure of a step whose data the gate refuses."""
    metadata = {"code": "insufficient_data", "verdict": decision.verdict, "reasons": decision.text}
    return dg.Failure(in_words(decision, plan), {**metadata, **plan_metadata(plan)}, allow_retries=False)
