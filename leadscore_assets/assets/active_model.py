"""active_model: the activation. It obeys the judgement that was stored when the version was judged.

Materializing this asset alone is therefore as safe as running the whole job. When the candidate does not become active,
the partition is materialized, too, with the version that still scores the org's leads as its data version.
"""

import dagster as dg
from pydantic import Field

from leadscore.registry.activation import Applied, apply_verdict
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore.training_status import TrainingStatus
from leadscore_assets.assets.org_asset import org_asset
from leadscore_assets.assets.org_training import Made, OrgTraining
from leadscore_assets.assets.training_step import training_step
from leadscore_assets.dataset import Candidate
from leadscore_assets.metadata.readiness_plan import Refused, plan_for
from leadscore_assets.served_models import served_model


class ActivationConfig(dg.Config):
    """Configuration of one run."""

    activate_anyway: bool = Field(
        default=False,
        description="Also activate a version that was only tried, or whose data is older than the active version's, if"
        " it passed the gate.",
    )


@org_asset("serving", {"python"})
def active_model(
    context: dg.AssetExecutionContext,
    config: ActivationConfig,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
    evaluation: Candidate,
) -> dg.MaterializeResult[None]:
    """The version that scores the org's leads.

    The candidate becomes active if it passed the gate. A version that was held, only tried, or taken back by a rollback
    does not; the metadata then say so.
    """
    with training_step(context, settings, registry) as step:
        made, applied = activated(step.training, evaluation, activate_anyway=config.activate_anyway)
        step.end(*ended_as(applied), evaluation.version)
        return made.result()


def activated(
    training: OrgTraining, candidate: Candidate, *, activate_anyway: bool = False
) -> tuple[Made[None], Applied]:
    """Return what scores the org's leads once the candidate's verdict was obeyed, and what became of the candidate.

    Raises Refused when the gate refused its data; see `apply_verdict` for other errors.
    """
    org_id, version = training.org_id, candidate.version
    applied = apply_verdict(
        training.registry, org_id, version, by=f"run {training.run_id}", activate_anyway=activate_anyway
    )
    if applied.judgement and applied.outcome == "refused":
        window = training.registry.manifest(org_id, version).window
        raise Refused(applied.judgement.decision, plan_for(training.settings, org_id, window, training.log))
    served = served_model(training.settings, training.registry, org_id, training.log)
    training.log.info("%s: %s. %s.", version, _IN_WORDS[applied.outcome], served.in_words)
    metadata = {**served.metadata(training.settings), **_of_the_candidate(applied, version)}
    return Made(None, metadata, served.data_version), applied


def ended_as(applied: Applied) -> tuple[TrainingStatus, str]:
    """Return how a training ended whose candidate became this, and why."""
    reasons = applied.judgement.decision.text if applied.judgement else ""
    if applied.judgement and applied.outcome == "withheld":
        reasons = " ".join(reason.text for reason in applied.judgement.withheld)
    return "activated" if applied.outcome in ("activated", "active_already") else "held", reasons


_IN_WORDS = {
    "activated": "activated by this run",
    "active_already": "active already",
    "held": "held by the gate",
    "refused": "refused",
    "withheld": "not activated",
    "taken_back": "it was active before and was taken back, so only a rollback makes it active again",
}


def _of_the_candidate(applied: Applied, version: str) -> dict[str, str]:
    """Return what became of the candidate, and why; of one that was taken back, its old verdict no longer matters."""
    shown = {"candidate": version, "outcome": _IN_WORDS[applied.outcome]}
    if applied.outcome == "taken_back":
        return shown
    shown |= {"verdict": "was never judged", "reasons": "none"}
    if judgement := applied.judgement:
        withheld = [reason.text for reason in judgement.withheld] if applied.outcome == "withheld" else []
        shown |= {"verdict": judgement.decision.verdict, "reasons": " ".join([*withheld, judgement.decision.text])}
    return shown | ({f"{applied.outcome}_version": version} if applied.outcome in ("held", "withheld") else {})
