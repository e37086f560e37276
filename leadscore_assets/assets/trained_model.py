"""trained_model: a candidate version, fitted to the rows outside the holdout and written to the registry."""

import dagster as dg

from leadscore.gate import policy_from, refuse_unfittable
from leadscore.left_out import causes_of
from leadscore.registry.store import Registry
from leadscore.registry.version import FOREST_FILE, Manifest
from leadscore.settings import Settings
from leadscore_assets.assets.org_asset import org_asset
from leadscore_assets.assets.org_training import Made, OrgTraining
from leadscore_assets.assets.training_step import training_step
from leadscore_assets.changed_orgs import check_same_customer
from leadscore_assets.dataset import Candidate, FeatureRows
from leadscore_assets.metadata.figures import (
    counts_metadata,
    importance_table,
    version_links,
    window_metadata,
)
from leadscore_assets.metadata.readiness_plan import Refused, plan_for
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
    with training_step(context, settings, registry) as step:
        return trained(step.training, lead_features).result()


def trained(training: OrgTraining, features: FeatureRows) -> Made[Candidate]:
    """Return the version that was fitted to the rows and published.

    Raises Refused when none can be fitted; ControlPlaneHeld, OrgChanged, Damaged, ClaimLost, RegistryBusy,
    RegistryUnavailable, DatabaseUnavailable.
    """
    # scikit-learn takes seconds to import, and only this step needs it
    from leadscore_assets.training.teacher import teacher_for  # noqa: PLC0415 (as said above)
    from leadscore_assets.training.train import train  # noqa: PLC0415 (as said above)

    check_same_registry(training.settings, training.registry)
    check_same_customer(training.settings, training.registry, training.org_id)
    _refuse_unfittable(training, features)
    # a damaged pointer or history would fail the activation, after all the work
    training.registry.history(training.org_id)
    teacher = (
        teacher_for(training.registry, training.org_id, features, training.log)
        if training.settings.pooled_model
        else None
    )
    manifest = train(training.registry, training.org_id, features, teacher=teacher, run_id=training.run_id)
    training.log.info("published version %s as a candidate", manifest.version)
    links = version_links(training.settings, training.org_id, manifest.version)
    return Made(Candidate(manifest.version), {**_metadata(manifest), **links}, manifest.version)


def _refuse_unfittable(training: OrgTraining, features: FeatureRows) -> None:
    from leadscore_assets.training.train import training_side  # noqa: PLC0415 (as above)

    counts = features.counts
    refusal = refuse_unfittable(
        counts.records,
        counts.converted_records,
        *training_side(features),
        policy=policy_from(training.settings),
        causes=causes_of(counts),
    )
    if refusal:
        plan = plan_for(training.settings, training.org_id, features.window, training.log)
        raise Refused(refusal, plan, counts)


def _metadata(manifest: Manifest) -> dict[str, dg.MetadataValue | str | int]:
    return {
        "version": manifest.version,
        **({"taught_from_pooled_version": manifest.stands_on.version} if manifest.stands_on else {}),
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
