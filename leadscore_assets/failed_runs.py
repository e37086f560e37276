"""What is said and recorded of a run that failed or was canceled."""

from __future__ import annotations

import dagster as dg
from dagster._core.storage.tags import PARTITION_NAME_TAG

from leadscore.run_tags import ASKER_TAG, DAGSTER_UI
from leadscore_assets.assets.training_step import is_training
from leadscore_assets.health.schedules import count_failed_run
from leadscore_assets.jobs import train_job
from leadscore_assets.last_materialization import of_last_materialization
from leadscore_assets.metadata.training_checks import TRAINING_ENDED, event_of, training_ended_result
from leadscore_assets.served_models import KEY as ACTIVE_MODEL
from leadscore_assets.source.database import Connection, explaining
from leadscore_assets.source.tables import REMEDY
from leadscore_assets.trainings.ended_trainings import EndedTraining, record_ended

STATUS = "SELECT status FROM leadscore.ended_training WHERE run_id = %s AND org_id = %s"


def tell_of_failure(
    connection: Connection, instance: dg.DagsterInstance, run: dg.DagsterRun, message: str
) -> str | None:
    """Record and count the run's failure, and return it in a line; None for a training whose data was refused.

    `message` is Dagster's. Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    org_id = run.tags.get(PARTITION_NAME_TAG)
    reason = message.partition("\n")[0]
    if org_id and trains_an_org(instance, run) and not _is_failure(connection, instance, run, org_id, reason):
        return None
    count_failed_run(connection, run.job_name, run.run_id)
    of_org = f" of org {org_id}" if org_id else ""
    return f"run {run.run_id} ({run.job_name}{of_org}, asked for by {_asker(run)}) did not succeed: {reason}"


def trains_an_org(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Return whether the run trains an org: as a run of the job, or of its assets, chosen in Dagster's UI."""
    is_of_assets = run.job_name == train_job.name or bool(run.asset_selection)
    return is_of_assets and is_training(instance, run)


def _is_failure(
    connection: Connection, instance: dg.DagsterInstance, run: dg.DagsterRun, org_id: str, reason: str
) -> bool:
    """Record the training as failed, here and on its check in Dagster, unless the run said how it ended.

    Returns whether it was more than a refusal.
    """
    ended = EndedTraining(run_id=run.run_id, org_id=org_id, asked_by=_asker(run), status="failed", reasons=reason)
    if record_ended(connection, ended):
        check = event_of(ACTIVE_MODEL, TRAINING_ENDED, org_id, training_ended_result(ended))
        instance.report_runless_asset_event(of_last_materialization(instance, check))
        return True
    with explaining("reading how a training ended", REMEDY), connection.transaction():
        found = connection.execute(STATUS, [run.run_id, org_id]).fetchone()
    return found is None or found[0] != "insufficient_data"


def _asker(run: dg.DagsterRun) -> str:
    return run.tags.get(ASKER_TAG, DAGSTER_UI)
