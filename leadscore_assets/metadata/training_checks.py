"""What the checks of a training say, in each lane: the arguments of a check's result, or of its event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from leadscore.gate import Judgement
from leadscore.readiness import Readiness
from leadscore.records import Window
from leadscore_assets.metadata.readiness_plan import plan_metadata, refused_in_words
from leadscore_assets.trainings.ended_trainings import EndedTraining

METRICS_IMPROVE, TRAINING_ENDED = "metrics_improve", "training_ended"
_IN_WORDS = {"activate": "Passed", "hold": "Held", "refuse": "Refused"}

Result = dict[str, Any]


def minimum_records_result(judgement: Judgement, plan: Readiness | None) -> Result:
    """Return whether the gate accepts the data; `plan` says when it will."""
    report = judgement.report
    if judgement.decision.verdict == "refuse":
        said = refused_in_words(judgement.decision, plan)
        return _of_judgement(judgement, False, dg.AssetCheckSeverity.ERROR, said, **plan_metadata(plan))
    enough = f"{report.records:,} records, {report.converted_records:,} of them converted"
    return _of_judgement(judgement, True, dg.AssetCheckSeverity.ERROR, enough)


def metrics_improve_result(judgement: Judgement) -> Result:
    """Return whether the gate's verdict is `activate`."""
    decision = judgement.decision
    withheld = [reason.text for reason in judgement.withheld]
    said = " ".join([f"{_IN_WORDS[decision.verdict]}: {decision.text}", *withheld])
    return _of_judgement(judgement, decision.verdict == "activate", dg.AssetCheckSeverity.WARN, said)


def plausible_times_result(signs: Sequence[str], window: Window) -> Result:
    """Return whether nothing suggests that the CRM's times are in another zone."""
    remedy = (
        f"Check CRM_TIME_ZONE, which is {window.crm_time_zone}, and whether all of the CRM's tables are in that zone"
    )
    said = f"{'; '.join(signs)}. {remedy}" if signs else "the first answers come when answers usually come"
    return {"passed": not signs, "severity": dg.AssetCheckSeverity.WARN, "description": said}


def training_ended_result(ended: EndedTraining | None) -> Result:
    """Return whether the org's last training ended as it should: with a version, or with a refusal of the data."""
    if ended is None:
        return _passed(True, "the org was not trained yet")
    if ended.status == "failed":
        said = f"the last training failed: {ended.reasons.rstrip('.')}. What the org had stays active"
        return {**_passed(False, said), "metadata": {"run_id": ended.run_id, "status": ended.status}}
    return {**_passed(True, f"the last training ended: {ended.status}"), "metadata": {"status": ended.status}}


def event_of(asset_key: dg.AssetKey, check_name: str, org_id: str, result: Result) -> dg.AssetCheckEvaluation:
    """Return a result as an event of the org's check."""
    return dg.AssetCheckEvaluation(asset_key=asset_key, check_name=check_name, partition=org_id, **result)


def _passed(passed: bool, said: str) -> Result:
    return {"passed": passed, "severity": dg.AssetCheckSeverity.ERROR, "description": said}


def _of_judgement(
    judgement: Judgement, passed: bool, severity: dg.AssetCheckSeverity, said: str, **more: str | float
) -> Result:
    report, decision = judgement.report, judgement.decision
    metadata = {
        "version": report.version,
        "verdict": decision.verdict,
        "reasons": decision.text,
        "records": report.records,
        "champion_version": judgement.champion_version or "none",
        **more,
    }
    return {"passed": passed, "severity": severity, "description": said, "metadata": metadata}
