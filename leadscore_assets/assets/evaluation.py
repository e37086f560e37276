"""evaluation: the candidate judged against the champion on the same holdout leads."""

import dagster as dg

from leadscore.gate import policy_from
from leadscore.registry import Registry
from leadscore.settings import Settings
from leadscore_assets.failures import clear_failures
from leadscore_assets.metadata import GROUP, OWNERS, decision_metadata, quality_metadata, version_link
from leadscore_assets.partitions import orgs
from leadscore_assets.training.candidate import Candidate
from leadscore_assets.training.features import FeatureRows
from leadscore_assets.training.judge import judge


@dg.asset(partitions_def=orgs, group_name=GROUP, owners=OWNERS, kinds={"python"})
def evaluation(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
    lead_features: FeatureRows,
    trained_model: Candidate,
) -> dg.MaterializeResult[Candidate]:
    """The candidate's and the champion's quality on the same holdout leads, and the gate's decision in words.

    A version is judged once; materializing this again shows the stored judgement.
    """
    # matplotlib is needed by this step only
    from leadscore_assets.pictures import evaluation_pictures  # noqa: PLC0415

    with clear_failures():
        judgement = judge(
            registry,
            context.partition_key,
            trained_model.version,
            lead_features,
            policy_from(settings),
            run_id=context.run.run_id,
        )
    context.log.info("%s: %s", judgement.decision.verdict, judgement.decision.text)
    return dg.MaterializeResult(
        value=trained_model,
        metadata={
            **decision_metadata(judgement),
            **evaluation_pictures(judgement),
            **quality_metadata(judgement.report),
            "info": version_link(settings, context.partition_key, trained_model.version),
        },
    )
