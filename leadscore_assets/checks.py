"""The checks: of the gate on an evaluation, of the CRM's orgs, leads and times, and of what is scored and came true.

The gate's checks only show its verdict; the asset `active_model` obeys it.

`minimum_records` fails as an error and blocks the run, because the data does not suffice. `metrics_improve` only warns:
a held candidate is an ordinary outcome, and its run succeeds.
"""

import warnings
from datetime import UTC, datetime

import dagster as dg

from leadscore.gate import Judgement
from leadscore.pooling import POOLED
from leadscore.records import window_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets import changed_orgs, plausible_times, score_ages
from leadscore_assets.absent_orgs import CHECK, AbsentOrgs, absent_orgs
from leadscore_assets.assets.active_model import active_model
from leadscore_assets.assets.conversion_records import conversion_records
from leadscore_assets.assets.evaluation import evaluation
from leadscore_assets.assets.lead_scores import lead_scores
from leadscore_assets.assets.live_performance import live_performance
from leadscore_assets.changed_orgs import ChangedOrgs
from leadscore_assets.dataset import Candidate, ConversionRecords
from leadscore_assets.failures import clear_failures
from leadscore_assets.metadata import inputs, live
from leadscore_assets.metadata.readiness_plan import MINIMUM_RECORDS, plan_for
from leadscore_assets.metadata.training_checks import (
    TRAINING_ENDED,
    metrics_improve_result,
    minimum_records_result,
    plausible_times_result,
    training_ended_result,
)
from leadscore_assets.partitions import orgs, valid_org_ids
from leadscore_assets.proof.drift import stored_inputs
from leadscore_assets.proof.prove_org import stored_figures
from leadscore_assets.proof.sent_features import compare_sent_features
from leadscore_assets.resources import Crm
from leadscore_assets.retention import absent_leads
from leadscore_assets.retention.absent_leads import AbsentLeads
from leadscore_assets.scoring.stored_scores import last_scorings
from leadscore_assets.source.database import connect
from leadscore_assets.trainings.ended_trainings import last_ended

# checks per partition are a preview in the release that is pinned; the tests hold what we use of it
warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=".*partitions_def.*")


@dg.asset_check(
    asset=evaluation,
    name=MINIMUM_RECORDS,
    partitions_def=orgs,
    blocking=True,
    description="The org has enough records of both outcomes to train and judge a version.",
)
def minimum_records(
    context: dg.AssetCheckExecutionContext,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
    evaluation: Candidate,
) -> dg.AssetCheckResult:
    """Fail, and block the assets downstream, when the gate refuses the data; show the readiness plan."""
    judgement = _judgement(registry, context.partition_key, evaluation)
    plan = None
    if judgement.decision.verdict == "refuse":
        window = registry.manifest(context.partition_key, evaluation.version).window
        plan = plan_for(settings, context.partition_key, window, context.log)
    return dg.AssetCheckResult(**minimum_records_result(judgement, plan))


@dg.asset_check(
    asset=evaluation,
    partitions_def=orgs,
    description="The candidate passes the gate.\n\nIt is compared with the active version on the same held-out leads.",
)
def metrics_improve(
    context: dg.AssetCheckExecutionContext, registry: dg.ResourceParam[Registry], evaluation: Candidate
) -> dg.AssetCheckResult:
    """Warn when the gate's verdict is not `activate`."""
    return dg.AssetCheckResult(**metrics_improve_result(_judgement(registry, context.partition_key, evaluation)))


@dg.asset_check(
    asset=active_model,
    name=TRAINING_ENDED,
    partitions_def=orgs,
    description="The org's last training could be done.\n\nSo could one that held its version, or refused the data.",
)
def training_ended(context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    """Fail when the org's last training, in whichever run, could not be done."""
    with clear_failures(), connect(settings, read_only=True) as connection:
        ended = last_ended(connection, context.partition_key)
    return dg.AssetCheckResult(**training_ended_result(ended))


@dg.asset_check(
    asset=conversion_records,
    name=plausible_times.CHECK,
    partitions_def=orgs,
    description="The CRM's times are in the zone of CRM_TIME_ZONE, as far as the times of the answers tell.",
)
def times_are_plausible(
    context: dg.AssetCheckExecutionContext, crm: dg.ResourceParam[Crm], conversion_records: ConversionRecords
) -> dg.AssetCheckResult:
    """Warn when the first answers come before the leads' creation, or only some whole hours after it."""
    window, org_id = conversion_records.window, context.partition_key
    with clear_failures():
        signs = [] if org_id == POOLED else plausible_times.zone_signs(crm.answer_lags(org_id, window))
    return dg.AssetCheckResult(**plausible_times_result(signs, window))


@dg.asset_check(
    asset=conversion_records,
    name=CHECK,
    description="The CRM has leads of the orgs that have partitions.\n\nThe sensor follow_orgs says when this changes.",
)
def orgs_have_leads(context: dg.AssetCheckExecutionContext, crm: dg.ResourceParam[Crm]) -> dg.AssetCheckResult:
    """Fail when so many orgs are absent that their partitions would not be removed at once."""
    with clear_failures():
        with_leads = valid_org_ids(crm.orgs(), context.log)
    partitions = set(context.instance.get_dynamic_partitions(orgs.name or "")) - {POOLED}
    absent = absent_orgs(partitions, with_leads, {}, datetime.now(UTC), crm.settings)
    return dg.AssetCheckResult(
        passed=not absent.is_too_many, description=_absence(absent), metadata=_absence_metadata(absent)
    )


def orgs_have_leads_event(absent: AbsentOrgs) -> dg.AssetCheckEvaluation:
    """Return what this check finds, as an event of its own; severe when it fails."""
    return dg.AssetCheckEvaluation(
        asset_key=conversion_records.key,
        check_name=CHECK,
        passed=not absent.is_too_many,
        severity=dg.AssetCheckSeverity.ERROR,
        description=_absence(absent),
        metadata={name: dg.MetadataValue.json(ids) for name, ids in _absence_metadata(absent).items()},
    )


def _absence(absent: AbsentOrgs) -> str:
    return str(absent) or "every org that has a partition has leads"


def _absence_metadata(absent: AbsentOrgs) -> dict[str, list[str]]:
    return {"absent_orgs": list(absent.since)}


@dg.asset_check(
    asset=conversion_records,
    name=absent_leads.CHECK,
    description="The CRM has the leads whose rows we keep.\n\nThe sensor erase_gone_leads says when this changes.",
)
def leads_are_in_crm(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    """Fail when so many leads are absent that they would not be erased at once."""
    with clear_failures():
        absent = absent_leads.absent_leads(settings, datetime.now(UTC))
    return dg.AssetCheckResult(
        passed=not absent.is_too_many, description=str(absent), metadata=_absent_leads_metadata(absent)
    )


def leads_are_in_crm_event(absent: AbsentLeads) -> dg.AssetCheckEvaluation:
    """Return what this check finds, as an event of its own; severe when it fails."""
    return dg.AssetCheckEvaluation(
        asset_key=conversion_records.key,
        check_name=absent_leads.CHECK,
        passed=not absent.is_too_many,
        severity=dg.AssetCheckSeverity.ERROR,
        description=str(absent),
        metadata=_absent_leads_metadata(absent),
    )


def _absent_leads_metadata(absent: AbsentLeads) -> dict[str, int | dg.MetadataValue]:
    return {
        "held_leads": absent.held,
        "absent_leads": absent.absent,
        "due_leads": absent.due,
        "most_at_once": absent.most_at_once,
        "absent_leads_by_org": dg.MetadataValue.json(absent.by_org),
    }


@dg.asset_check(
    asset=conversion_records,
    name=changed_orgs.CHECK,
    description="The CRM has a lead by which each org is known.\n\nThe sensor follow_identities says when it changes.",
)
def orgs_keep_their_leads(
    context: dg.AssetCheckExecutionContext, crm: dg.ResourceParam[Crm], registry: dg.ResourceParam[Registry]
) -> dg.AssetCheckResult:
    """Fail when an org's id may have been given to another customer; nothing is withdrawn here."""
    with clear_failures():
        with_leads = valid_org_ids(crm.orgs(), context.log)
        changed = changed_orgs.follow_identities(crm.settings, with_leads)
        found = changed_orgs.assess(crm.settings, registry, changed, len(with_leads))
    return dg.AssetCheckResult(
        passed=not found.all,
        severity=_change_severity(found),
        description=str(found),
        metadata=_change_metadata(found),
    )


def orgs_keep_their_leads_event(changed: ChangedOrgs) -> dg.AssetCheckEvaluation:
    """Return what this check finds, as an event of its own; severe when nothing could be withdrawn."""
    return dg.AssetCheckEvaluation(
        asset_key=conversion_records.key,
        check_name=changed_orgs.CHECK,
        passed=not changed.all,
        severity=_change_severity(changed),
        description=str(changed),
        metadata={name: dg.MetadataValue.json(ids) for name, ids in _change_metadata(changed).items()},
    )


def _change_severity(changed: ChangedOrgs) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if changed.is_too_many else dg.AssetCheckSeverity.WARN


def _change_metadata(changed: ChangedOrgs) -> dict[str, list[str]]:
    return {"withdrawn_orgs": changed.withdrawn, "not_withdrawn_orgs": changed.not_withdrawn}


@dg.asset_check(
    asset=lead_scores,
    name=score_ages.CHECK,
    partitions_def=orgs,
    description="The org's scores are as new as SCORE_SCHEDULE asks for.\n\nThe sensor watch_scores says when not.",
)
def scores_are_fresh(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Warn when the org's leads were last scored before the time at which they were due."""
    org_id = context.partition_key
    with clear_failures(), connect(settings, read_only=True) as connection:
        scorings = last_scorings(connection)
    stale = score_ages.stale_scores(settings, scorings, {org_id} - {POOLED}, datetime.now(UTC))
    said = stale.get(org_id, "the leads were scored when they were due")
    return dg.AssetCheckResult(passed=not stale, severity=dg.AssetCheckSeverity.WARN, description=said)


@dg.asset_check(
    asset=live_performance,
    name=live.CHECK,
    partitions_def=orgs,
    description="What was promised of the org's leads comes true, as far as chance allows one to tell.\n\nIn a healthy"
    " org the check ever fails with a probability of about a thousandth a year.",
)
def came_true(context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    """Warn when the outcomes of mature leads contradict the probabilities that were said."""
    with clear_failures(), connect(settings, read_only=True) as connection:
        figures = stored_figures(connection, context.partition_key)
    return dg.AssetCheckResult(**live.came_true_result(figures))


@dg.asset_check(
    asset=lead_scores,
    name=live.SKEW_CHECK,
    partitions_def=orgs,
    description="Requests bring the features that the CRM's data give, in a sample that is computed again by the SQL of"
    " the training.\n\nThe job judge_scores compares them daily.",
)
def features_as_computed(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Warn of features that a caller computes otherwise."""
    with clear_failures(), connect(settings) as connection:
        found = compare_sent_features(connection, context.partition_key, window_from(settings))
    event = live.skew_event(found)
    return dg.AssetCheckResult(
        passed=event.passed, severity=event.severity, description=event.description, metadata=event.metadata
    )


@dg.asset_check(
    asset=lead_scores,
    name=inputs.CHECK,
    partitions_def=orgs,
    description="What arrives for the org is like what its version learned from, as far as chance allows one to tell."
    "\n\nAmong a thousand healthy orgs, the check fails about once a year at most.",
)
def inputs_as_learned(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """Warn when features arrive otherwise than they were learned, and that moves the score."""
    with clear_failures(), connect(settings, read_only=True) as connection:
        figures = stored_inputs(connection, context.partition_key)
    return dg.AssetCheckResult(**inputs.inputs_result(figures))


ALL = (
    minimum_records,
    metrics_improve,
    training_ended,
    orgs_have_leads,
    leads_are_in_crm,
    orgs_keep_their_leads,
    times_are_plausible,
    scores_are_fresh,
    came_true,
    features_as_computed,
    inputs_as_learned,
)


def _judgement(registry: Registry, org_id: str, candidate: Candidate) -> Judgement:
    judgement = registry.judgement(org_id, candidate.version)
    if judgement is None:
        raise dg.Failure(
            f"version {candidate.version} was not judged; materialize evaluation first", allow_retries=False
        )
    return judgement
