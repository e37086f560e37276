"""The lane that scores the leads of many orgs. Of every org, Dagster gets what a run of `lead_scores` gives.

That is the materialization with its metadata and data version, and the check.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.assets.active_model import active_model
from leadscore_assets.assets.lead_scores import ScoringConfig, lead_scores
from leadscore_assets.failures import clear_failures
from leadscore_assets.lanes.events import keep_a_connection
from leadscore_assets.lanes.lane import Done, Lane, ShardConfig, orgs_of
from leadscore_assets.metadata.scores import scoring_metadata
from leadscore_assets.resources import Crm
from leadscore_assets.score_ages import scored_event
from leadscore_assets.scoring.input_counts import remove_old_counts
from leadscore_assets.scoring.org_models import OrgModels
from leadscore_assets.scoring.score_org import Scoring, score_org
from leadscore_assets.scoring.stored_scores import remove_old_runs
from leadscore_assets.scoring.tables import create_month_of_history, drop_old_history
from leadscore_assets.served_models import NONE, version_tags
from leadscore_assets.source.database import Connection, connect


class ScoringShardConfig(ScoringConfig, ShardConfig):
    """Configuration of one run: which orgs it takes, and how it scores them."""


def shard_config(**config: Any) -> dict[str, Any]:
    """Return the configuration of a run of `score_open_leads`, from the fields of ScoringShardConfig."""
    return {"ops": {"score_shard": {"config": config}}}


@dg.op(description="Scores the open leads of each org of the shard.")
def score_shard(
    context: dg.OpExecutionContext,
    config: ScoringShardConfig,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
    crm: dg.ResourceParam[Crm],
) -> None:
    """Score the shard's orgs; fail in the end when some could not be scored."""
    with clear_failures(), connect(settings) as connection:
        keep_a_connection(context.instance)
        task = config.task(settings, context.run.run_id)
        create_month_of_history(connection, task.as_of)
        if config.shard == 0:
            _remove_old(connection, task.as_of - timedelta(days=settings.score_history_days), context.log)
        models = OrgModels(registry, is_pooling=settings.pooled_model)

        def score(org_id: str) -> Done:
            return _scored(context, settings, score_org(connection, models, org_id, task))

        lane = Lane(context, connection, "scored")
        lane.take(orgs_of(context, connection, crm, config), score)
        lane.end()


def _scored(context: dg.OpExecutionContext, settings: Settings, scoring: Scoring) -> Done:
    """Return what Dagster gets of an org's scoring."""
    if scoring.fault:
        context.log.error("%s", scoring.fault)
    materialization = dg.AssetMaterialization(
        asset_key=lead_scores.key,
        partition=scoring.org_id,
        metadata=scoring_metadata(settings, scoring),
        tags=version_tags(scoring.content, {active_model.key: scoring.model.data_version if scoring.model else NONE}),
    )
    check = scored_event(settings, scoring.org_id, scoring.as_of, datetime.now(UTC))
    return Done([materialization, check], {"leads": scoring.scored, "rows written": scoring.changed})


def _remove_old(connection: Connection, before: datetime, log: logging.Logger) -> None:
    """Remove what was said and which scorings were recorded before that moment."""
    for part in drop_old_history(connection, before):
        log.info("removed the history of a month: %s", part)
    if removed := remove_old_runs(connection, before):
        log.info("removed %s rows of scoring_run", f"{removed:,}")
    if removed := remove_old_counts(connection, before):
        log.info("removed %s rows of input_counts", f"{removed:,}")


@dg.job(description="Scores the open leads of all orgs, or of those that the configuration names, in shards.")
def score_open_leads() -> None:
    """Score the open leads of a shard's orgs."""
    score_shard()
