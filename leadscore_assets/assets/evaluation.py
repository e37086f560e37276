"""evaluation: the candidate judged against the champion on the same holdout leads."""

import dagster as dg
from pydantic import Field

from leadscore.errors import AlreadyJudged
from leadscore.gate import Judgement, policy_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.assets.org_asset import org_asset
from leadscore_assets.dataset import Candidate, FeatureRows
from leadscore_assets.failures import clear_failures
from leadscore_assets.metadata.figures import (
    decision_metadata,
    history_metadata,
    quality_metadata,
    version_links,
)
from leadscore_assets.metadata.history import past_versions
from leadscore_assets.metadata.pictures import evaluation_pictures, versions_pictures
from leadscore_assets.metadata.readiness_plan import plan_for, plan_metadata
from leadscore_assets.served_models import KEY as ACTIVE_MODEL
from leadscore_assets.training.judge import judge


class EvaluationConfig(dg.Config):
    """Configuration of one run."""

    activate: bool = Field(
        default=True,
        description="false judges the candidate only: then nothing activates it later, except a rollback to it or a run"
        " with `activate_anyway`.",
    )


@org_asset("model", {"python"})
def evaluation(  # noqa: PLR0917 (Dagster hands them over by their names)
    context: dg.AssetExecutionContext,
    config: EvaluationConfig,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
    lead_features: FeatureRows,
    trained_model: Candidate,
) -> dg.MaterializeResult[Candidate]:
    """The candidate's quality, and the gate's decision.

    The candidate is compared with the active version on the same held-out leads. A version is judged only once;
    materializing this asset again shows the stored judgement.
    """
    org_id = context.partition_key
    with clear_failures():
        judgement = _judgement(
            context, settings, registry, lead_features, trained_model.version, is_trial=not config.activate
        )
        versions = past_versions(registry, org_id, _activated(context, registry, judgement))
    context.log.info("verdict %s: %s", judgement.decision.verdict, judgement.decision.text)
    return dg.MaterializeResult(
        value=trained_model,
        metadata={
            **decision_metadata(judgement, _plan(context, settings, registry, judgement)),
            **version_links(settings, org_id, trained_model.version),
            **evaluation_pictures(judgement),
            **quality_metadata(judgement.report),
            **history_metadata(versions),
            **versions_pictures(versions),
            "passed_gate": int(judgement.decision.verdict == "activate"),
        },
    )


def _activated(context: dg.AssetExecutionContext, registry: Registry, judgement: Judgement) -> str | None:
    """Return the version if this run will make it active: it has the asset that does so, and nothing is against it."""
    version, selected = judgement.report.version, context.run.asset_selection
    was_active = version in registry.history(context.partition_key).activated_versions
    is_activating = not selected or ACTIVE_MODEL in selected  # without a selection it is the whole job
    return version if is_activating and judgement.may_become_active and not was_active else None


def _plan(
    context: dg.AssetExecutionContext, settings: Settings, registry: Registry, judgement: Judgement
) -> dict[str, str | float]:
    """Return when the org will have enough data, for a version that was refused."""
    if judgement.decision.verdict != "refuse":
        return {}
    org_id = context.partition_key
    with clear_failures():
        window = registry.manifest(org_id, judgement.report.version).window
    return plan_metadata(plan_for(settings, org_id, window, context.log))


def _judgement(
    context: dg.AssetExecutionContext,
    settings: Settings,
    registry: Registry,
    features: FeatureRows,
    version: str,
    *,
    is_trial: bool,
) -> Judgement:
    """Return how the version was judged before or, the first time, judge it and store that with the report."""
    # scikit-learn is needed the first time only
    from leadscore_assets.report.describe import report_files  # noqa: PLC0415

    org_id = context.partition_key
    stored = registry.judgement(org_id, version)
    if stored is not None:
        return stored
    judging = judge(
        registry,
        org_id,
        version,
        features,
        policy_from(settings),
        run_id=context.run.run_id,
        is_pooling=settings.pooled_model,
        is_trial=is_trial,
    )
    try:
        return registry.record_judgement(org_id, version, judging.judgement, report_files(settings, judging))
    except AlreadyJudged:  # by another run, a moment ago
        return registry.judgement(org_id, version) or judging.judgement
