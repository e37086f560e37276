"""The lane that scores the leads of many orgs: each shard is a run that takes its orgs one after the other.

A run per org would cost seconds for each. Of every org, Dagster gets what a run of `lead_scores` gives: the
materialization with its metadata and data version, and the check. An org that fails harms no other; its run fails in
the end, and names it.
"""

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from leadscore.errors import InvalidInput
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.assets.lead_scores import ScoringConfig, lead_scores
from leadscore_assets.failures import clear_failures, in_words
from leadscore_assets.metadata.scores import scoring_metadata
from leadscore_assets.partitions import orgs, valid_org_ids
from leadscore_assets.resources import Crm
from leadscore_assets.score_ages import scored_event
from leadscore_assets.scoring.org_models import OrgModels
from leadscore_assets.scoring.score_org import Scoring, Task, score_org
from leadscore_assets.scoring.stored_scores import last_scorings, remove_old_runs, scored_orgs
from leadscore_assets.scoring.tables import create_month_of_history, drop_old_history
from leadscore_assets.served_models import DATA_VERSION_TAG, NONE
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.training.provenance import code_version

PROGRESS_SECONDS = 10.0
SHOWN_FAILURES = 5
# Dagster documents these tags, and exports no names for them
CODE_VERSION_TAG, INPUT_VERSION_TAG = "dagster/code_version", "dagster/input_data_version/active_model"


class ShardConfig(ScoringConfig):
    """Configuration of one run: which orgs it takes, and how it scores them."""

    shard: int = Field(default=0, ge=0, description="Number of this shard, from 0.")
    shards: int = Field(default=1, ge=1, description="Number of shards that divide the orgs among them.")
    org_ids: list[str] = Field(default=[], description="The orgs to score; all orgs when it is empty.")


def shard_config(**config: Any) -> dict[str, Any]:
    """Return the configuration of a run of `score_open_leads`, from the fields of ShardConfig."""
    return {"ops": {"score_shard": {"config": config}}}


@dg.op(description="Scores the open leads of each org of the shard.")
def score_shard(
    context: dg.OpExecutionContext,
    config: ShardConfig,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
    crm: dg.ResourceParam[Crm],
) -> None:
    """Score the shard's orgs; fail in the end when some could not be scored."""
    with clear_failures(), connect(settings) as connection:
        task = config.task(settings, context.run.run_id)
        create_month_of_history(connection, task.as_of)
        if config.shard == 0:
            _remove_old(connection, task.as_of - timedelta(days=settings.score_history_days), context.log)
        mine = _orgs_to_score(connection, crm, config.org_ids, context.log)[config.shard :: config.shards]
        # the sensor may not have seen an org yet; adding a key that is there changes nothing
        context.instance.add_dynamic_partitions(orgs.name or "", mine)
        lane = Lane(context, settings, registry, connection, task)
        for org_id in mine:
            lane.score(org_id, of=len(mine))
    context.add_output_metadata(lane.metadata())
    if lane.failed:
        raise dg.Failure(
            f"{len(lane.failed)} of {len(mine)} orgs could not be scored: {_first(lane.failed)}."
            " Their former scores stay; the log says why",
            allow_retries=False,
        )


def _remove_old(connection: Connection, before: datetime, log: logging.Logger) -> None:
    """Remove what was said and which scorings were recorded before that moment."""
    for part in drop_old_history(connection, before):
        log.info("removed the history of a month: %s", part)
    if removed := remove_old_runs(connection, before):
        log.info("removed %s rows of scoring_run", f"{removed:,}")


def _orgs_to_score(connection: Connection, crm: Crm, named: Sequence[str], log: logging.Logger) -> list[str]:
    """Return the orgs that were named or, without any, all orgs. Raises InvalidInput for one that nobody knows."""
    in_crm = set(valid_org_ids(crm.orgs(), log))
    if not named:
        return sorted(in_crm | set(scored_orgs(connection)))
    unknown = sorted(set(named) - in_crm - last_scorings(connection).keys())
    if unknown:
        raise InvalidInput(
            f"{len(unknown)} of the named orgs have no lead in the CRM, and were never scored: {_some(unknown)}."
            " Correct org_ids; without it, all orgs are scored"
        )
    return sorted(set(named))


class Lane:
    """Scores orgs one after the other, and records each in Dagster."""

    def __init__(
        self,
        context: dg.OpExecutionContext,
        settings: Settings,
        registry: Registry,
        connection: Connection,
        task: Task,
    ) -> None:
        self._context, self._settings, self._connection, self._task = context, settings, connection, task
        self._models = OrgModels(registry, is_pooling=settings.pooled_model)
        self._started = self._told = time.monotonic()
        self._leads = self._changed = self._orgs = 0
        self.failed: dict[str, str] = {}

    def score(self, org_id: str, *, of: int) -> None:
        """Score one org of `of`; remember it when it fails."""
        try:
            scoring = score_org(self._connection, self._models, org_id, self._task)
        except Exception as error:
            self._fail(org_id, in_words(error))
            if self._connection.closed:
                raise
        else:
            self._record(scoring)
            self._leads, self._changed = self._leads + scoring.scored, self._changed + scoring.changed
        self._orgs += 1
        self._tell(of)

    def _fail(self, org_id: str, why: str) -> None:
        self.failed[org_id] = why
        self._context.log.warning("org %s was not scored: %s", org_id, why)

    def _record(self, scoring: Scoring) -> None:
        if scoring.fault:
            self._context.log.error("%s", scoring.fault)
        tags = {
            DATA_VERSION_TAG: scoring.content,
            CODE_VERSION_TAG: code_version(),
            INPUT_VERSION_TAG: scoring.model.data_version if scoring.model else NONE,
        }
        self._context.log_event(
            dg.AssetMaterialization(
                asset_key=lead_scores.key,
                partition=scoring.org_id,
                metadata=scoring_metadata(self._settings, scoring),
                tags=tags,
            )
        )
        event = scored_event(self._settings, scoring.org_id, scoring.as_of, datetime.now(UTC))
        self._context.log_event(event)  # type: ignore[arg-type]  # it takes every event of an asset

    def _tell(self, of: int) -> None:
        now = time.monotonic()
        if now - self._told < PROGRESS_SECONDS and self._orgs < of:
            return
        self._told = now
        seconds_left = (now - self._started) / self._orgs * (of - self._orgs)
        self._context.log.info(
            "%s of %s orgs, %s leads, %s rows written, %s failed; about %.0f s left",
            f"{self._orgs:,}",
            f"{of:,}",
            f"{self._leads:,}",
            f"{self._changed:,}",
            len(self.failed),
            seconds_left,
        )

    def metadata(self) -> dict[str, int]:
        """Return the totals of the shard."""
        return {
            "orgs": self._orgs,
            "failed_orgs": len(self.failed),
            "leads": self._leads,
            "changed_rows": self._changed,
        }


def _first(failed: dict[str, str]) -> str:
    return _some([f"{org_id} ({why})" for org_id, why in failed.items()])


def _some(items: Sequence[str]) -> str:
    return "; ".join(items[:SHOWN_FAILURES]) + ("; …" if len(items) > SHOWN_FAILURES else "")


@dg.job(description="Scores the open leads of all orgs, or of those that the configuration names, in shards.")
def score_open_leads() -> None:
    """Score one shard."""
    score_shard()
