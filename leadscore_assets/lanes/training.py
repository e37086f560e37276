"""The lane that trains many orgs. Of every org, Dagster gets what a run of its own gives, but no tables and pictures.

The orgs are those on the work list. A run takes one after the other, whoever asked for it, until the list is empty. So
runs on any number of machines share the work, and the orgs of a run that is gone are taken by the others.
"""

import logging
import time
from collections.abc import Collection
from typing import Any

import dagster as dg
from pydantic import Field

from leadscore.errors import (
    ClaimLost,
    Conflict,
    ControlPlaneHeld,
    DatabaseUnavailable,
    InvalidInput,
    RegistryUnavailable,
)
from leadscore.pooling import POOLED
from leadscore.records import window_from
from leadscore.registry.store import Registry
from leadscore.run_tags import ASKER_TAG, DAGSTER_UI, SHARD_TAG
from leadscore.settings import Settings
from leadscore_assets.assets.active_model import active_model
from leadscore_assets.assets.conversion_records import ExtractionConfig
from leadscore_assets.assets.evaluation import EvaluationConfig
from leadscore_assets.assets.org_training import OrgTraining
from leadscore_assets.due_orgs import due_partitions, training_needs
from leadscore_assets.failures import clear_failures, in_words
from leadscore_assets.lanes.events import keep_a_connection, log_events
from leadscore_assets.lanes.lane import PROGRESS_SECONDS, some
from leadscore_assets.lanes.org_chain import Ended, train_org
from leadscore_assets.metadata.training_checks import TRAINING_ENDED, event_of, training_ended_result
from leadscore_assets.partitions import orgs, valid_org_ids
from leadscore_assets.resources import Crm
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.trainings.claims import TrainingClaims, kept_claims
from leadscore_assets.trainings.ended_trainings import EndedTraining
from leadscore_assets.trainings.work_list import (
    MOST_ATTEMPTS,
    Batch,
    DueOrg,
    Progress,
    add_batch,
    end,
    progress,
    take_next,
    waiting,
    waiting_otherwise,
)

PAUSE_SECONDS = 1.0
# Dagster ends a run after an hour (max_runtime_seconds); the sensor resume_trainings starts the next
LONGEST_SECONDS = 2_400.0
# rather the fault of the machine than of the org at hand: another run tries it, and this one takes no more orgs
OF_THE_MACHINE = (DatabaseUnavailable, RegistryUnavailable, ControlPlaneHeld)


class TrainingShardConfig(ExtractionConfig, EvaluationConfig):
    """Configuration of one run: the orgs that it adds to the work list, and on which data they are trained."""

    org_ids: list[str] = Field(
        default=[], description="The orgs to train, due or not; the orgs that are due when it is empty."
    )
    adds_orgs: bool = Field(default=True, description="false only takes orgs that are on the work list already.")

    def batch(self, settings: Settings, asked_by: str) -> Batch:
        """Return what is asked for the orgs that the run adds."""
        as_of = None if self.as_of is None else self.window(settings).as_of
        return Batch(asked_by, as_of, self.training_window_days, self.activate)


def training_config(**config: Any) -> dict[str, Any]:
    """Return the configuration of a run of `train_orgs`, from the fields of TrainingShardConfig."""
    return {"ops": {"train_shard": {"config": config}}}


def training_runs(shards: int, asked_by: str, tick: str | None = None) -> list[dg.RunRequest]:
    """Return so many runs that take orgs from the work list. Of one `tick` they are launched once."""
    return [
        dg.RunRequest(
            run_key=f"{shard}:{tick}" if tick else None,
            job_name=train_orgs.name,
            run_config=training_config(adds_orgs=False),
            tags={ASKER_TAG: asked_by, SHARD_TAG: f"{shard + 1} of {shards}"},
        )
        for shard in range(shards)
    ]


@dg.op(description="Trains the orgs of the work list, one after the other, until it is empty.")
def train_shard(
    context: dg.OpExecutionContext,
    config: TrainingShardConfig,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
) -> None:
    """Add the orgs that the configuration asks for, then work until no org is left; fail when one could not be trained.

    An org that another run is at work on is waited for, because that run may be killed. After LONGEST_SECONDS the run
    leaves the rest to the next one.
    """
    with clear_failures(), connect(settings) as connection, kept_claims(settings, context.run.run_id) as claims:
        keep_a_connection(context.instance)
        if config.adds_orgs:
            _add_orgs(context, config, settings, registry, connection)
        shard = _Shard(context, settings, registry.fenced(claims.check), connection, claims)
        until = time.monotonic() + LONGEST_SECONDS
        while waiting(connection):
            if due := take_next(connection, context.run.run_id):
                shard.take(due)
            else:
                time.sleep(PAUSE_SECONDS)
            if time.monotonic() > until:
                break
        shard.end()


def _add_orgs(
    context: dg.OpExecutionContext,
    config: TrainingShardConfig,
    settings: Settings,
    registry: Registry,
    connection: Connection,
) -> None:
    """Add the orgs that are named, or those that are due.

    Raises InvalidInput for one that cannot be trained, Conflict for one that waits for a training of another kind.
    """
    _check_names(config.org_ids, settings, context.log)
    window = config.window(settings)
    org_ids = config.org_ids or due_partitions(training_needs(settings, registry, window), context.log)
    context.instance.add_dynamic_partitions(orgs.name or "", org_ids)
    batch = config.batch(settings, context.run.tags.get(ASKER_TAG, DAGSTER_UI))
    if otherwise := waiting_otherwise(connection, batch, org_ids):
        raise Conflict(
            f"{len(otherwise)} of the orgs wait for a training that was asked for with another as_of,"
            f" training_window_days or activate: {some(otherwise)}. Nothing was added; ask again when that has ended"
        )
    added = add_batch(connection, batch, org_ids)
    context.log.info("%s orgs are to be trained, and %s of them were not on the work list yet", len(org_ids), added)


def _check_names(org_ids: Collection[str], settings: Settings, log: logging.Logger) -> None:
    """Raise InvalidInput for an org that the CRM does not have, or whose id can be no partition's."""
    known = {*valid_org_ids(Crm(settings).orgs(), log), *([POOLED] if settings.pooled_model else [])}
    if unknown := sorted(set(org_ids) - known):
        raise InvalidInput(
            f"{len(unknown)} of the named orgs have no lead in the CRM, or an id that is not valid: {some(unknown)}."
            f" Correct org_ids; {POOLED} needs POOLED_MODEL=true. Without org_ids, the orgs that are due are trained"
        )


class _Shard:
    """One run's share of the work."""

    def __init__(
        self,
        context: dg.OpExecutionContext,
        settings: Settings,
        registry: Registry,
        connection: Connection,
        claims: TrainingClaims,
    ) -> None:
        self._context, self._settings, self._registry = context, settings, registry
        self._connection, self._claims = connection, claims
        self._ended: dict[str, EndedTraining] = {}
        self._told = time.monotonic()
        self._batches: dict[str, tuple[float, int]] = {}

    def take(self, due: DueOrg) -> None:
        """Train the org, record how it ended in Dagster and in our tables, and free it."""
        self._batches.setdefault(due.batch_id, (time.monotonic(), progress(self._connection, due.batch_id).left))
        self._claims.adopt(due.org_id, due.fence)
        try:
            self._record(due, self._trained(due))
        except ClaimLost as error:
            self._context.log.warning("%s", error.message)  # the org is another run's now, or waits again
        finally:
            self._claims.drop(due.org_id)
        self._tell(due.batch_id)

    def end(self) -> None:
        """Record the totals. Raises dg.Failure when an org could not be trained."""
        failed = [f"{org_id} ({one.reasons})" for org_id, one in self._ended.items() if one.status == "failed"]
        counts = {status: sum(one.status == status for one in self._ended.values()) for status in _SHOWN}
        batches = [in_words_of(progress(self._connection, batch_id)) for batch_id in self._batches]
        for said in batches:
            self._context.log.info("%s", said)
        shown = {"batch": "; ".join(batches)} if batches else {}
        self._context.add_output_metadata({"orgs": len(self._ended), **counts, **shown})
        if failed:
            raise dg.Failure(
                f"{len(failed)} of {len(self._ended)} orgs could not be trained: {some(failed)}. What they had stays"
                " active; the log says why",
                allow_retries=False,
            )

    def _trained(self, due: DueOrg) -> Ended:
        if due.is_given_up:
            said = f"{due.attempts - 1} runs that took the org ended without a word, perhaps for lack of memory."
            return Ended("failed", said, None, [])
        training = OrgTraining(
            due.org_id, self._context.run.run_id, self._settings, self._registry, _log_of(self._context, due.org_id)
        )
        try:
            window = window_from(self._settings, due.as_of, due.training_window_days)
            return train_org(training, self._connection, window, is_trial=not due.activate)
        except ClaimLost:
            raise
        except Exception as error:
            if self._connection.closed:
                raise DatabaseUnavailable(
                    f"{in_words(error)} Org {due.org_id} and those after it stay on the work list"
                ) from error
            if isinstance(error, OF_THE_MACHINE) and due.attempts < MOST_ATTEMPTS:
                self._context.log.warning("org %s and those after it stay on the work list", due.org_id)
                raise
            self._context.log.warning("org %s was not trained: %s", due.org_id, in_words(error))
            return Ended("failed", in_words(error), None, [])

    def _record(self, due: DueOrg, ended: Ended) -> None:
        one = EndedTraining(
            run_id=self._context.run.run_id,
            org_id=due.org_id,
            batch_id=due.batch_id,
            asked_by=due.asked_by,
            started_at=due.claimed_at,
            status=ended.status,
            reasons=ended.reasons,
            version=ended.version,
        )
        check = event_of(active_model.key, TRAINING_ENDED, due.org_id, training_ended_result(one))
        log_events(self._context, [*ended.events, check])
        end(self._connection, due, one)
        self._ended[due.org_id] = one

    def _tell(self, batch_id: str) -> None:
        now = time.monotonic()
        if now - self._told < PROGRESS_SECONDS:
            return
        self._told = now
        so_far, (since, left_then) = progress(self._connection, batch_id), self._batches[batch_id]
        done = left_then - so_far.left
        left_seconds = (now - since) / done * so_far.left if done > 0 else None
        self._context.log.info("%s", in_words_of(so_far, left_seconds))


_SHOWN = ("activated", "held", "insufficient_data", "failed")


def in_words_of(batch: Progress, left_seconds: float | None = None) -> str:
    """Return how far a batch is, for its run's log."""
    said = (
        f"{batch.orgs - batch.left:,} of {batch.orgs:,} orgs, {batch.activated:,} activated, {batch.held:,} held,"
        f" {batch.insufficient_data:,} refused, {batch.failed:,} failed"
    )
    if left_seconds is None or not batch.left:
        return said
    return f"{said}, about {max(1, round(left_seconds / 60))} min left"


class _OfOrg(logging.Handler):
    """Passes the warnings about one of many orgs on to the run's log, which says of which org they are."""

    def __init__(self, log: logging.Logger, org_id: str) -> None:
        super().__init__(logging.WARNING)
        self._log, self._org_id = log, org_id

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(record.levelno, "org %s: %s", self._org_id, record.getMessage())


def _log_of(context: dg.OpExecutionContext, org_id: str) -> logging.Logger:
    log = logging.Logger("training", logging.WARNING)
    log.addHandler(_OfOrg(context.log, org_id))
    return log


@dg.job(
    description="Trains the orgs that are due, or those that the configuration names, and activates better versions."
)
def train_orgs() -> None:
    """Train the orgs of the work list."""
    train_shard()
