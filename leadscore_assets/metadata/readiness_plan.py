"""A refusal as Dagster shows it, with the plan that goes with it: when the org will have enough data.

Whichever step meets it, the org's partition of `evaluation` and its check `minimum_records` carry the verdict, the
reasons and the plan. A refusal holds without a plan, too.
"""

from __future__ import annotations

import logging

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from leadscore.errors import DatabaseUnavailable, SourceMismatch
from leadscore.gate import Decision, policy_from
from leadscore.pooling import POOLED
from leadscore.readiness import Readiness, assess
from leadscore.records import RecordCounts, Window
from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from leadscore_assets.source.outcomes import outcome_counts

NO_DATE = "no date can be given"
EVALUATION = dg.AssetKey("evaluation")
MINIMUM_RECORDS = "minimum_records"


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


class Refused(dg.Failure):
    """The gate refuses the org's data. `counts` are those of its rows where no version could be fitted to them."""

    def __init__(self, decision: Decision, plan: Readiness | None, counts: RecordCounts | None = None) -> None:
        metadata = {"code": "insufficient_data", **_refusal_metadata(decision, plan)}
        super().__init__(in_words(decision, plan), metadata, allow_retries=False)
        self.decision, self.plan, self.counts = decision, plan, counts


def refused_evaluation(org_id: str, refused: Refused) -> dg.AssetMaterialization:
    """Return how the refusal shows on the org's `evaluation` when no version was fitted."""
    metadata = {**_shown(refused), "passed_gate": 0}
    return dg.AssetMaterialization(EVALUATION, _said(refused), metadata, partition=org_id)


def refused_check(
    org_id: str, refused: Refused, target: AssetCheckEvaluationTargetMaterializationData | None = None
) -> dg.AssetCheckEvaluation:
    """Return how the refusal shows on the check of `evaluation`, whose materialization is the `target`."""
    return dg.AssetCheckEvaluation(
        EVALUATION,
        MINIMUM_RECORDS,
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=_said(refused),
        metadata=_shown(refused),
        target_materialization_data=target,
        partition=org_id,
        blocking=True,
    )


def _said(refused: Refused) -> str:
    return refused_in_words(refused.decision, refused.plan)


def _shown(refused: Refused) -> dict[str, str | int | float]:
    shown: dict[str, str | int | float] = {"version": "none", **_refusal_metadata(refused.decision, refused.plan)}
    if refused.counts:
        shown |= {"records": refused.counts.records, "converted_records": refused.counts.converted_records}
    return shown


def refused_in_words(decision: Decision, plan: Readiness | None) -> str:
    """Return what the check says of a refusal."""
    return f"Refused: {in_words(decision, plan)}"


def _refusal_metadata(decision: Decision, plan: Readiness | None) -> dict[str, str | float]:
    return {"verdict": decision.verdict, "reasons": decision.text, **plan_metadata(plan)}
