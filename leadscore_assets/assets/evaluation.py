"""evaluation: the candidate judged against the champion on the same holdout leads."""

import hashlib

import dagster as dg
import msgspec
from pydantic import Field

from leadscore.errors import AlreadyJudged
from leadscore.gate import Judgement, policy_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.assets.org_asset import org_asset
from leadscore_assets.assets.org_training import Made, OrgTraining
from leadscore_assets.assets.training_step import training_step
from leadscore_assets.dataset import Candidate, FeatureRows
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
    with training_step(context, settings, registry) as step:
        made, judgement = evaluated(step.training, lead_features, trained_model, is_trial=not config.activate)
        if judgement.decision.verdict == "refuse":
            step.end("insufficient_data", judgement.decision.text, trained_model.version)
        selected = context.run.asset_selection
        is_activating = not selected or ACTIVE_MODEL in selected  # without a selection it is the whole job
        shown = pictures(step.training, judgement, is_activating=is_activating)
        return Made(made.value, {**made.metadata, **shown}, made.data_version).result()


def evaluated(
    training: OrgTraining, features: FeatureRows, candidate: Candidate, *, is_trial: bool
) -> tuple[Made[Candidate], Judgement]:
    """Return the candidate as it was judged before or, the first time, judge it and store that with the report.

    See `judge` for the errors.
    """
    judgement = _judgement(training, features, candidate.version, is_trial=is_trial)
    training.log.info("verdict %s: %s", judgement.decision.verdict, judgement.decision.text)
    metadata = {
        **decision_metadata(judgement, _plan(training, judgement)),
        **version_links(training.settings, training.org_id, candidate.version),
        **quality_metadata(judgement.report),
        "passed_gate": int(judgement.decision.verdict == "activate"),
    }
    return Made(candidate, metadata, hashlib.sha256(msgspec.json.encode(judgement)).hexdigest()), judgement


def pictures(training: OrgTraining, judgement: Judgement, *, is_activating: bool) -> dict[str, dg.MetadataValue]:
    """Return the judgement in pictures, and the org's versions over time; the run may make this one active."""
    version = judgement.report.version
    was_active = version in training.registry.history(training.org_id).activated_versions
    is_activated = is_activating and judgement.may_become_active and not was_active
    versions = past_versions(training.registry, training.org_id, version if is_activated else None)
    return {**evaluation_pictures(judgement), **history_metadata(versions), **versions_pictures(versions)}


def _plan(training: OrgTraining, judgement: Judgement) -> dict[str, str | float]:
    """Return when the org will have enough data, for a version that was refused."""
    if judgement.decision.verdict != "refuse":
        return {}
    window = training.registry.manifest(training.org_id, judgement.report.version).window
    return plan_metadata(plan_for(training.settings, training.org_id, window, training.log))


def _judgement(training: OrgTraining, features: FeatureRows, version: str, *, is_trial: bool) -> Judgement:
    # scikit-learn is needed the first time only
    from leadscore_assets.report.describe import described  # noqa: PLC0415 (as said above)

    registry, org_id, settings = training.registry, training.org_id, training.settings
    stored = registry.judgement(org_id, version)
    if stored is not None:
        return stored
    judging = judge(
        registry,
        org_id,
        version,
        features,
        policy_from(settings),
        run_id=training.run_id,
        is_pooling=settings.pooled_model,
        is_trial=is_trial,
    )
    judgement, files = described(settings, judging)
    try:
        return registry.record_judgement(org_id, version, judgement, files)
    except AlreadyJudged:  # by another run, a moment ago
        return registry.judgement(org_id, version) or judgement
