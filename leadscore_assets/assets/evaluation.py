"""evaluation: the candidate judged against the champion on the same holdout leads."""

import dagster as dg

from leadscore.gate import policy_from
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
    """How good the candidate is, and the gate's decision.

    The candidate and the champion are compared on the same held-out leads. A version is judged once; materializing this
    again shows the stored judgement.
    """
    # matplotlib and scikit-learn are needed by this step only
    from leadscore_assets.metadata.pictures import evaluation_pictures, versions_picture  # noqa: PLC0415
    from leadscore_assets.report.describe import report_describer  # noqa: PLC0415

    org_id = context.partition_key
    with clear_failures():
        judgement = judge(
            registry,
            org_id,
            trained_model.version,
            lead_features,
            policy_from(settings),
            run_id=context.run.run_id,
            describe=report_describer(settings),
            is_pooling=settings.pooled_model,
        )
        versions = past_versions(registry, org_id)
    context.log.info("%s: %s", judgement.decision.verdict, judgement.decision.text)
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
