"""The schedules: one trains the orgs that are due, and logs why the others are not; others score and judge leads."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from leadscore.records import window_from
from leadscore.registry.store import Registry
from leadscore.run_tags import SCHEDULE, SHARD_TAG
from leadscore.settings import Settings
from leadscore_assets.due_orgs import due_partitions, training_needs
from leadscore_assets.jobs import judge_scores, retention_job, score_open_leads, train_orgs
from leadscore_assets.lanes.proof import proof_config
from leadscore_assets.lanes.scoring import shard_config
from leadscore_assets.lanes.training import training_runs
from leadscore_assets.partitions import orgs
from leadscore_assets.source.database import connect
from leadscore_assets.trainings.work_list import Batch, add_batch, waiting_otherwise

SUNDAY = 6


def retraining_schedule(cron: str) -> dg.ScheduleDefinition:
    """Return the schedule that runs at `cron`, in UTC."""

    @dg.schedule(
        name="retrain_due_orgs",
        job=train_orgs,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Trains each org that has enough records, and new outcomes since its last training, in"
        " TRAINING_SHARDS runs.",
    )
    def retrain_due_orgs(
        context: dg.ScheduleEvaluationContext,
        settings: dg.ResourceParam[Settings],
        registry: dg.ResourceParam[Registry],
    ) -> list[dg.RunRequest] | dg.SkipReason:
        needs = training_needs(settings, registry, window_from(settings))
        due = due_partitions(needs, context.log)
        if not due:
            return dg.SkipReason(f"none of the {len(needs)} orgs is due; the tick's log gives the reason for each")
        # the sensor may not have seen an org yet; adding a key that is there changes nothing
        context.instance.add_dynamic_partitions(orgs.name or "", due)
        tick = context.scheduled_execution_time.isoformat()
        batch = Batch(SCHEDULE, batch_id=f"schedule:{tick}")
        with connect(settings) as connection:
            if otherwise := waiting_otherwise(connection, batch, due):
                context.log.warning("a trial, or a training on past data, comes first for: %s", ", ".join(otherwise))
            added = add_batch(connection, batch, due)
        context.log.info("%s of the %s due orgs were added to the work list", added, len(due))
        return training_runs(min(settings.training_shards, len(due)), SCHEDULE, tick)

    return retrain_due_orgs


def scoring_schedule(cron: str) -> dg.ScheduleDefinition:
    """Return the schedule that scores the open leads of all orgs at `cron`, in UTC."""

    @dg.schedule(
        name="score_open_leads_daily",
        job=score_open_leads,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Scores the open leads of all orgs, in SCORING_SHARDS runs; on Sundays, every lead again.",
    )
    def score_open_leads_daily(
        context: dg.ScheduleEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> list[dg.RunRequest]:
        is_full = context.scheduled_execution_time.weekday() == SUNDAY
        return _by_shards(context, settings, lambda **shard: shard_config(is_full=is_full, **shard))

    return score_open_leads_daily


def proof_schedule(cron: str) -> dg.ScheduleDefinition:
    """Return the schedule that judges the scores of all orgs at `cron`, in UTC."""

    @dg.schedule(
        name="judge_scores_daily",
        job=judge_scores,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Compares what was said of leads with what became of them, in SCORING_SHARDS runs.",
    )
    def judge_scores_daily(
        context: dg.ScheduleEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> list[dg.RunRequest]:
        return _by_shards(context, settings, proof_config)

    return judge_scores_daily


def retention_schedule(cron: str) -> dg.ScheduleDefinition:
    """Return the schedule that removes what is old at `cron`, in UTC."""
    return dg.ScheduleDefinition(
        name="remove_what_is_old_daily",
        job=retention_job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Removes old versions, rows and history, as the settings KEEP_… say.",
    )


def _by_shards(
    context: dg.ScheduleEvaluationContext, settings: Settings, config_of: Callable[..., dict[str, Any]]
) -> list[dg.RunRequest]:
    """Return a run for each shard of the orgs."""
    tick, shards = context.scheduled_execution_time.isoformat(), settings.scoring_shards
    return [
        dg.RunRequest(
            run_key=f"{shard}:{tick}",
            run_config=config_of(shard=shard, shards=shards),
            tags={SHARD_TAG: f"{shard + 1} of {shards}"},
        )
        for shard in range(shards)
    ]
