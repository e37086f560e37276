"""active_model: the activation. It obeys the judgement that was stored when the version was judged.

Materializing this asset alone is therefore as safe as running the whole job. When the candidate does not become active,
the partition is materialized, too, with the version that still scores the org's leads as its data version.
"""

import dagster as dg
from pydantic import Field

from leadscore.registry.activation import Applied, apply_verdict
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.assets.org_asset import org_asset
from leadscore_assets.dataset import Candidate
from leadscore_assets.failures import clear_failures
from leadscore_assets.metadata.readiness_plan import plan_for, refused
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
    org_id, version = context.partition_key, evaluation.version
    with clear_failures():
        applied = apply_verdict(
            registry, org_id, version, by=f"run {context.run.run_id}", activate_anyway=config.activate_anyway
        )
        if applied.judgement and applied.outcome == "refused":
            window = registry.manifest(org_id, version).window
            raise refused(applied.judgement.decision, plan_for(settings, org_id, window, context.log))
        served = served_model(settings, registry, org_id, context.log)
    context.log.info("%s: %s. %s.", version, _IN_WORDS[applied.outcome], served.in_words)
    return dg.MaterializeResult(
        metadata={**served.metadata(settings), **_of_the_candidate(applied, version)},
        data_version=dg.DataVersion(served.data_version),
    )


_IN_WORDS = {
    "activated": "activated by this run",
    "active_already": "active already",
    "held": "held, because it is not surely better",
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
