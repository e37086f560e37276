"""A step of the training of one org in a run of its own: it holds the run's claim on the org, and says how it ended.

The run's first step takes the claim, and its last one frees it. So does a step that fails, or ends the training early.
A run that does not train and activate, such as one to look at an org's records, counts as no training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg
from dagster._core.storage.tags import ASSET_RESUME_RETRY_TAG, RESUME_RETRY_TAG, ROOT_RUN_ID_TAG

from leadscore.errors import AlreadyTraining
from leadscore.registry.store import Registry
from leadscore.run_tags import ASKER_TAG, DAGSTER_UI
from leadscore.settings import Settings
from leadscore.training_status import TrainingStatus
from leadscore_assets.assets.org_training import OrgTraining
from leadscore_assets.failures import clear_failures, in_words
from leadscore_assets.last_materialization import last_materialization
from leadscore_assets.metadata.readiness_plan import EVALUATION, Refused, refused_check, refused_evaluation
from leadscore_assets.metadata.training_checks import TRAINING_ENDED, event_of, training_ended_result
from leadscore_assets.served_models import KEY as ACTIVE_MODEL
from leadscore_assets.source.database import connect
from leadscore_assets.trainings.claims import TrainingClaims, kept_claims
from leadscore_assets.trainings.ended_trainings import EndedTraining, record_ended

STEPS = ("conversion_records", "lead_features", "trained_model", "evaluation", "active_model")


def steps_of(run: dg.DagsterRun) -> list[str]:
    """Return the steps of a training that the run does, in their order."""
    chosen = run.step_keys_to_execute or [key.path[-1] for key in run.asset_selection or ()] or STEPS
    return [step for step in STEPS if step in chosen]


def is_training(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Return whether the run trains and activates, or goes on with a training that failed after it had trained."""
    steps = steps_of(run)
    if not _is_continued(run) or "active_model" not in steps:
        return counts_as_training(steps)
    root = instance.get_run_by_id(run.tags.get(ROOT_RUN_ID_TAG, run.run_id))
    return root is not None and counts_as_training(steps_of(root))


def counts_as_training(steps: Sequence[str]) -> bool:
    """Return whether these steps train and activate."""
    return {"trained_model", "active_model"} <= set(steps)


def _is_continued(run: dg.DagsterRun) -> bool:
    """Return whether the run was re-executed from the failure of another."""
    return bool({RESUME_RETRY_TAG, ASSET_RESUME_RETRY_TAG} & run.tags.keys())


class TrainingStep:
    """One step, and what it does for the training as a whole."""

    def __init__(
        self, context: dg.AssetExecutionContext, settings: Settings, registry: Registry, claims: TrainingClaims
    ) -> None:
        self._context, self._claims = context, claims
        self.org_id, self._run_id = context.partition_key, context.run.run_id
        self.training = OrgTraining(self.org_id, self._run_id, settings, registry.fenced(claims.check), context.log)
        steps, name = steps_of(context.run), context.asset_key.path[-1]
        self._is_first, self._is_last = steps[0] == name, steps[-1] == name
        self._is_of_a_training = is_training(context.instance, context.run)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the claim on the org while the block runs; free it when it fails, or is the run's last."""
        if self._is_first:
            self._take()
        else:
            self._claims.resume(self.org_id)
        try:
            yield
        except BaseException:
            self._claims.release(self.org_id)
            raise
        if self._is_last:
            self._claims.release(self.org_id)

    def _take(self) -> None:
        try:
            self._claims.take(self.org_id)
        except AlreadyTraining as error:
            # said now, before the other training ends, whose end is then the org's last
            self.end("failed", in_words(error))
            raise

    def end(self, status: TrainingStatus, reasons: str, version: str | None = None) -> None:
        """Record how the training ended, if the run is one, and free the claim."""
        if self._is_of_a_training:
            asked_by = self._context.run.tags.get(ASKER_TAG, DAGSTER_UI)
            ended = EndedTraining(
                run_id=self._run_id,
                org_id=self.org_id,
                asked_by=asked_by,
                status=status,
                reasons=reasons,
                version=version,
            )
            with connect(self.training.settings) as connection:
                record_ended(connection, ended)
            if status not in ("activated", "held"):  # the check's own step will not run
                result = training_ended_result(ended)
                self._context.log_event(event_of(ACTIVE_MODEL, TRAINING_ENDED, self.org_id, result))
        self._claims.release(self.org_id)

    def show(self, refused: Refused) -> None:
        """Show a refusal on `evaluation`, which no step of this run will do."""
        self._context.log_event(refused_evaluation(self.org_id, refused))
        target = last_materialization(self._context.instance, EVALUATION, self.org_id)
        self._context.log_event(refused_check(self.org_id, refused, target))


@contextmanager
def training_step(context: dg.AssetExecutionContext, settings: Settings, registry: Registry) -> Iterator[TrainingStep]:
    """Give the step while its block runs. What goes wrong is recorded as the end of the training, in clear words."""
    with clear_failures(), kept_claims(settings, context.run.run_id) as claims:
        step = TrainingStep(context, settings, registry, claims)
        with step.claimed():
            try:
                yield step
            except Refused as refused:
                if refused.counts:
                    step.show(refused)
                step.end("insufficient_data", refused.decision.text)
                raise
            except Exception as error:
                step.end("failed", in_words(error))
                raise
