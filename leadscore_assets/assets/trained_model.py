"""trained_model: a candidate version, fitted to the rows outside the holdout and written to the registry."""

import dagster as dg

from leadscore.gate import policy_from, refuse_unfittable
from leadscore.left_out import causes_of
from leadscore.registry.store import Registry
from leadscore.registry.version import FOREST_FILE, Manifest
from leadscore.settings import Settings
from leadscore_assets.assets.org_asset import org_asset
from leadscore_assets.changed_orgs import check_same_customer
from leadscore_assets.dataset import Candidate, FeatureRows
from leadscore_assets.failures import clear_failures
from leadscore_assets.metadata.figures import (
    counts_metadata,
    importance_table,
    version_links,
    window_metadata,
)
from leadscore_assets.metadata.readiness_plan import plan_for, refused, show_refusal
from leadscore_assets.source.control_plane import check_same_registry


@org_asset("model", {"python", "scikitlearn"})
def trained_model(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
    lead_features: FeatureRows,
) -> dg.MaterializeResult[Candidate]:
    """A candidate version: a random forest with its full provenance.

    It is not active until the gate lets it pass.
    """
    # scikit-learn takes seconds to import, and only this step needs it
    from leadscore_assets.training.train import train, training_side  # noqa: PLC0415

    with clear_failures():
        check_same_registry(settings, registry)
        check_same_customer(settings, registry, context.partition_key)
    counts = lead_features.counts
    refusal = refuse_unfittable(
        counts.records,
        counts.converted_records,
        *training_side(lead_features),
        policy=policy_from(settings),
        causes=causes_of(counts),
    )
    if refusal:
        plan = plan_for(settings, context.partition_key, lead_features.window, context.log)
        show_refusal(context, refusal, plan, counts)
        raise refused(refusal, plan)
    with clear_failures():
        # a damaged pointer or history would fail the activation, after all the work
        registry.history(context.partition_key)
        manifest = train(registry, context.partition_key, lead_features, run_id=context.run.run_id)
    context.log.info("published version %s as a candidate", manifest.version)
    return dg.MaterializeResult(
        value=Candidate(manifest.version),
        metadata={**_metadata(manifest), **version_links(settings, context.partition_key, manifest.version)},
        data_version=dg.DataVersion(manifest.version),
    )


def _metadata(manifest: Manifest) -> dict[str, dg.MetadataValue | str | int]:
    return {
        "version": manifest.version,
        **counts_metadata(manifest.counts),
        **window_metadata(manifest.window),
        "training_rows": manifest.split.training_rows,
        "holdout_rows": manifest.split.holdout_rows,
        "holdout_records": manifest.split.holdout_records,
        "parameters": dg.MetadataValue.json(manifest.parameters),
        "libraries": dg.MetadataValue.json(manifest.libraries),
        "code_version": manifest.code_version,
        "contract_fingerprint": manifest.contract_fingerprint,
        "forest_sha256": manifest.files[FOREST_FILE],
        "feature_importance": importance_table(manifest.importance),
    }
