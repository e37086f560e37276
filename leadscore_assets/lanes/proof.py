"""The lane that judges the scores of many orgs. Of every org, Dagster gets what a run of `live_performance` gives.

In the end the orgs are compared with each other: which to look at, and whether a fault is common to many.
"""

from datetime import timedelta
from typing import Any

import dagster as dg

from leadscore.live_inputs import LiveInputs
from leadscore.live_performance import LivePerformance
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.assets.lead_scores import lead_scores
from leadscore_assets.assets.live_performance import ProofConfig, live_performance
from leadscore_assets.failures import clear_failures
from leadscore_assets.lanes.events import keep_a_connection
from leadscore_assets.lanes.lane import Done, Lane, ShardConfig, in_parts, orgs_of
from leadscore_assets.metadata.inputs import inputs_event
from leadscore_assets.metadata.live import came_true_event, data_version, live_metadata, skew_event
from leadscore_assets.proof.drift import judge_inputs
from leadscore_assets.proof.fleet import compare_orgs
from leadscore_assets.proof.promises import Promises
from leadscore_assets.proof.prove_org import prove_org
from leadscore_assets.proof.sent_features import SkewFound, compare_sent_features
from leadscore_assets.proof.tables import remove_old_scores
from leadscore_assets.resources import Crm
from leadscore_assets.served_models import NONE, shown_data_versions, version_tags
from leadscore_assets.source.database import connect


class ProofShardConfig(ProofConfig, ShardConfig):
    """Configuration of one run: which orgs it takes, and as of when it judges them."""


def proof_config(**config: Any) -> dict[str, Any]:
    """Return the configuration of a run of `judge_scores`, from the fields of ProofShardConfig."""
    return {"ops": {"judge_shard": {"config": config}}}


@dg.op(description="Judges the scores of each org of the shard whose outcomes are mature.")
def judge_shard(
    context: dg.OpExecutionContext,
    config: ProofShardConfig,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
    crm: dg.ResourceParam[Crm],
) -> None:
    """Judge the scores of the shard's orgs; fail in the end when some could not be judged."""
    with clear_failures(), connect(settings) as connection:
        keep_a_connection(context.instance)
        window, promises = config.window(settings), Promises(registry)
        if config.shard == 0:
            remove_old_scores(connection, window.as_of - timedelta(days=settings.score_history_days))

        org_ids = orgs_of(context, connection, crm, config)
        scores = shown_data_versions(context.instance, lead_scores.key, org_ids)

        def judge(org_id: str) -> Done:
            return in_parts(
                lambda: _proved(settings, prove_org(connection, promises, org_id, window), scores.get(org_id, NONE)),
                lambda: _arrived(judge_inputs(connection, registry, org_id, window)),
                lambda: _compared(compare_sent_features(connection, org_id, window)),
            )

        lane = Lane(context, connection, "judged")
        lane.take(org_ids, judge)
        context.log.info("%s", compare_orgs(connection).in_words)
        lane.end()


def _proved(settings: Settings, figures: LivePerformance, scores: str) -> Done:
    """Return what Dagster gets of an org's figures; `scores` is the data version of its scores."""
    materialization = dg.AssetMaterialization(
        asset_key=live_performance.key,
        partition=figures.org_id,
        metadata=live_metadata(settings, figures),
        tags=version_tags(data_version(figures), {lead_scores.key: scores}),
    )
    counts = {
        "mature leads": figures.overall.leads if figures.overall else 0,
        "alarms": int(figures.state == "alarm"),
    }
    return Done([materialization, came_true_event(figures)], counts)


def _arrived(inputs: LiveInputs) -> Done:
    return Done([inputs_event(inputs)], {"shifted orgs": int(inputs.state == "shifted")})


def _compared(skew: SkewFound) -> Done:
    return Done([skew_event(skew)], {"compared requests": skew.compared})


@dg.job(description="Judges the scores of all orgs, or of those that the configuration names, in shards.")
def judge_scores() -> None:
    """Judge the scores of a shard's orgs."""
    judge_shard()
