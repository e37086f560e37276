"""evaluation: the candidate judged against the champion on the same holdout leads."""

import dagster as dg

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
from leadscore_assets.training.judge import judge


@org_asset("model", {"python"})
def evaluation(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
    lead_features: FeatureRows,
    trained_model: Candidate,
) -> dg.MaterializeResult[Candidate]:
    """The candidate's quality, and the gate's decision.

    The candidate is compared with the active version on the same held-out leads. A version is judged only once;
    materializing this asset again shows the stored judgement.
    """
    # matplotlib is needed by this step only
    from leadscore_assets.metadata.pictures import evaluation_pictures, versions_picture  # noqa: PLC0415

    org_id = context.partition_key
    with clear_failures():
        judgement = _judgement(context, settings, registry, lead_features, trained_model.version)
        versions = past_versions(registry, org_id)
    context.log.info("verdict %s: %s", judgement.decision.verdict, judgement.decision.text)
    return dg.MaterializeResult(
        value=trained_model,
        metadata={
            **version_links(settings, org_id, trained_model.version),
            **decision_metadata(judgement),
            **evaluation_pictures(judgement),
            **quality_metadata(judgement.report),
            **history_metadata(versions),
            "versions_over_time": versions_picture(versions),
            "passed_gate": int(judgement.decision.verdict == "activate"),
        },
    )


def _judgement(
    context: dg.AssetExecutionContext, settings: Settings, registry: Registry, features: FeatureRows, version: str
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
    )
    try:
        return registry.record_judgement(org_id, version, judging.judgement, report_files(settings, judging))
    except AlreadyJudged:  # by another run, a moment ago
        return registry.judgement(org_id, version) or judging.judgement
