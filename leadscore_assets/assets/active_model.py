"""active_model: the activation. It asks the gate itself, so that a run of this asset alone is just as safe."""

from collections.abc import Iterator

import dagster as dg

from leadscore.errors import NotActivatable
from leadscore.formats import COMPARED_SINCE_FORMAT
from leadscore.gate import Decision, Judgement, decide, policy_from
from leadscore.registry.activation import activate
from leadscore.registry.store import Pointer, Registry
from leadscore.settings import Settings
from leadscore_assets.dataset import Candidate
from leadscore_assets.failures import clear_failures
from leadscore_assets.metadata.figures import GROUP, OWNERS, version_links
from leadscore_assets.metadata.readiness_plan import plan_for, refused
from leadscore_assets.partitions import orgs


@dg.asset(partitions_def=orgs, group_name=GROUP, owners=OWNERS, kinds={"python"}, output_required=False)
def active_model(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
    evaluation: Candidate,
) -> Iterator[dg.MaterializeResult[None] | dg.AssetObservation]:
    """The version that is served.

    A held candidate leaves it as it is: the run is green, and an observation says why.
    """
    org_id, version = context.partition_key, evaluation.version
    with clear_failures():
        pointer = registry.active(org_id)
        if pointer is None or pointer.version != version:
            decision = _ask_the_gate(registry.judgement(org_id, version), version, settings)
            if decision.verdict == "refuse":
                window = registry.manifest(org_id, version).window
                raise refused(decision, plan_for(settings, org_id, window, context.log))
            if decision.verdict == "hold":
                yield _held(context, version, decision, pointer)
                return
            pointer = _activate(registry, org_id, version, context.run.run_id)
    context.log.info("version %s is active", version)
    yield dg.MaterializeResult(
        metadata={**_pointer_metadata(pointer), **version_links(settings, org_id, version)},
        data_version=dg.DataVersion(version),
    )


def _ask_the_gate(judgement: Judgement | None, version: str, settings: Settings) -> Decision:
    if judgement is None:
        raise NotActivatable(f"version {version} was not judged; materialize evaluation first")
    if judgement.format < COMPARED_SINCE_FORMAT:
        raise NotActivatable(f"version {version} was judged by an earlier release, by other rules; train again")
    return decide(judgement.report, judgement.comparison, judgement.champion_problem, policy_from(settings))


def _activate(registry: Registry, org_id: str, version: str, run_id: str) -> Pointer:
    judged = registry.judgement(org_id, version)
    against = judged.champion_version if judged else None
    return activate(registry, org_id, version, expected_active=against, by=f"run {run_id}")


def _held(
    context: dg.AssetExecutionContext, version: str, decision: Decision, pointer: Pointer | None
) -> dg.AssetObservation:
    active = pointer.version if pointer else "none"
    context.log.info("version %s is held, %s stays active: %s", version, active, decision.text)
    return dg.AssetObservation(
        asset_key=context.asset_key,
        partition=context.partition_key,
        metadata={
            "held_version": version,
            "active_version": active,
            "verdict": decision.verdict,
            "reasons": decision.text,
        },
    )


def _pointer_metadata(pointer: Pointer) -> dict[str, str]:
    return {
        "version": pointer.version,
        "previous_version": pointer.previous or "none",
        "activated_at": pointer.activated_at,
        "by": pointer.by,
        "reasons": pointer.reason,
    }
