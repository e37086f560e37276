"""active_model: the activation. It obeys the verdict that was stored when the version was judged.

Materializing this asset alone is therefore as safe as running the whole job. When the candidate is held, the partition
is materialized, too, with the version that still scores the org's leads as its data version.
"""

import dagster as dg

from leadscore.errors import Damaged
from leadscore.registry.activation import Applied, apply_verdict
from leadscore.registry.active_model import ActiveModel
from leadscore.registry.active_model import active_model as model_that_scores
from leadscore.registry.store import Pointer, Registry
from leadscore.settings import Settings
from leadscore_assets.assets.org_asset import org_asset
from leadscore_assets.dataset import Candidate
from leadscore_assets.failures import clear_failures
from leadscore_assets.metadata.figures import version_links
from leadscore_assets.metadata.readiness_plan import plan_for, refused

NONE = "none"


@org_asset("serving", {"python"})
def active_model(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
    evaluation: Candidate,
) -> dg.MaterializeResult[None]:
    """The version that scores the org's leads.

    A held candidate does not replace it; the metadata then names the held version and the reasons.
    """
    org_id, version = context.partition_key, evaluation.version
    with clear_failures():
        applied = apply_verdict(registry, org_id, version, by=f"run {context.run.run_id}")
        is_active = applied.pointer is not None and applied.pointer.version == version
        if applied.judgement and applied.judgement.decision.verdict == "refuse" and not is_active:
            window = registry.manifest(org_id, version).window
            raise refused(applied.judgement.decision, plan_for(settings, org_id, window, context.log))
        model = _model_that_scores(context, settings, registry, applied.pointer)
    context.log.info(
        "the verdict on version %s is %s; version %s scores the org's leads",
        version,
        _verdict(applied),
        _version(model),
    )
    return dg.MaterializeResult(
        metadata={**_metadata(model, applied, version), **version_links(settings, org_id, version)},
        data_version=dg.DataVersion(_data_version(model)),
    )


def _model_that_scores(
    context: dg.AssetExecutionContext, settings: Settings, registry: Registry, own: Pointer | None
) -> ActiveModel | None:
    org_id = context.partition_key
    try:
        return model_that_scores(
            org_id, lambda owner: own if owner == org_id else registry.active(owner), is_pooling=settings.pooled_model
        )
    except Damaged as error:  # the pooled model's: no fault of this org, whose leads nothing scores meanwhile
        context.log.warning("the pooled model cannot score the org's leads: %s", error.message)
        return None


def _verdict(applied: Applied) -> str:
    return applied.judgement.decision.verdict if applied.judgement else "was never judged"


def _version(model: ActiveModel | None) -> str:
    return model.pointer.version if model else NONE


def _data_version(model: ActiveModel | None) -> str:
    return f"pooled:{_version(model)}" if model and model.scope == "pooled" else _version(model)


def _metadata(model: ActiveModel | None, applied: Applied, candidate: str) -> dict[str, str]:
    is_held = applied.judgement is not None and applied.judgement.decision.verdict == "hold"
    return {
        "version": _version(model),
        "model_scope": model.scope if model else NONE,
        "verdict": _verdict(applied),
        "reasons": applied.judgement.decision.text if applied.judgement else NONE,
        **({"held_version": candidate} if is_held and candidate != _version(model) else {}),
        **(_pointer_metadata(model.pointer) if model else {}),
    }


def _pointer_metadata(pointer: Pointer) -> dict[str, str]:
    return {
        "previous_version": pointer.previous or NONE,
        "activated_at": pointer.activated_at,
        "by": pointer.by,
        "activation_reason": pointer.reason,
    }
