"""A run that failed is told in one line and counted, and a training that died is recorded; a refused one is neither."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from leadscore.settings import Settings
from leadscore.training_status import TrainingStatus
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.failed_runs import tell_of_failure, trains_an_org
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.trainings.ended_trainings import EndedTraining, record_ended

DIED = "The run's process died.\nTraceback: lead 4711 is Ann"
CHAIN = ("conversion_records", "lead_features", "trained_model", "evaluation", "active_model")


@pytest.fixture
def connection(database: Settings) -> Iterator[Connection]:
    set_up(database)
    with connect(database) as connection:
        yield connection


def run_of(instance: dg.DagsterInstance, job: str = "train", org_id: str | None = "acme", **given: Any) -> Any:
    tags = {"dagster/partition": org_id, "leadscore/asked_by": "schedule"} if org_id else {}
    return create_run_for_test(instance, job, tags=tags, status=dg.DagsterRunStatus.FAILURE, **given)


def totals(connection: Connection) -> dict[str, int]:
    query = "SELECT status, trainings FROM leadscore.training_total WHERE trainings > 0"
    return dict(connection.execute(query).fetchall())


def failed_runs(connection: Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT job, runs FROM leadscore.failed_run_total").fetchall())


def ended(run: dg.DagsterRun, status: TrainingStatus) -> EndedTraining:
    return EndedTraining(run_id=run.run_id, org_id="acme", asked_by="schedule", status=status, reasons="said")


def test_a_training_that_died_is_recorded_as_failed_once(connection: Connection, instance: dg.DagsterInstance) -> None:
    run = run_of(instance)
    line = f"run {run.run_id} (train of org acme, asked for by schedule) did not succeed: The run's process died."
    assert [tell_of_failure(connection, instance, run, DIED) for _ in range(2)] == [line, line]
    assert (totals(connection), failed_runs(connection)) == ({"failed": 1}, {"train": 1})
    assert connection.execute("SELECT status, asked_by, reasons FROM leadscore.ended_training").fetchall() == [
        ("failed", "schedule", "The run's process died.")
    ]
    key = dg.AssetCheckKey(dg.AssetKey("active_model"), "training_ended")
    [shown] = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert (shown.partition, shown.status.value) == ("acme", "FAILED")


def test_what_a_run_said_of_its_end_stays(connection: Connection, instance: dg.DagsterInstance) -> None:
    refused, failed, activated = run_of(instance), run_of(instance), run_of(instance)
    record_ended(connection, ended(refused, "insufficient_data"))
    record_ended(connection, ended(failed, "failed"))
    record_ended(connection, ended(activated, "activated"))
    assert tell_of_failure(connection, instance, refused, DIED) is None
    # a run may fail after its version was activated
    assert None not in {tell_of_failure(connection, instance, run, DIED) for run in (failed, activated)}
    assert totals(connection) == {"insufficient_data": 1, "failed": 1, "activated": 1}
    assert failed_runs(connection) == {"train": 2}
    assert connection.execute("SELECT DISTINCT reasons FROM leadscore.ended_training").fetchall() == [("said",)]


def test_a_run_that_trains_no_single_org_is_counted_alone(connection: Connection, instance: dg.DagsterInstance) -> None:
    run = run_of(instance, "score_open_leads", org_id=None)
    line = tell_of_failure(connection, instance, run, DIED)
    told = f"run {run.run_id} (score_open_leads, asked for by Dagster UI) did not succeed: The run's process died."
    assert line == told
    assert (totals(connection), failed_runs(connection)) == ({}, {"score_open_leads": 1})


def test_assets_that_are_chosen_in_the_ui_are_a_training_when_they_train_and_activate(
    instance: dg.DagsterInstance,
) -> None:
    def chosen(*names: str) -> bool:
        return trains_an_org(instance, run_of_assets(instance, *names))

    assert chosen(*CHAIN)
    assert not any([chosen(*CHAIN[:3]), chosen(*CHAIN[3:]), chosen("lead_scores")])
    assert not trains_an_org(instance, run_of(instance, "judge_scores"))


def test_what_goes_on_with_a_failed_training_is_one_and_what_goes_on_with_less_is_none(
    instance: dg.DagsterInstance,
) -> None:
    def continued(root: dg.DagsterRun, *names: str) -> bool:
        tags = {"dagster/root_run_id": root.run_id, "dagster/is_asset_resume_retry": "true"}
        return trains_an_org(instance, run_of_assets(instance, *names, tags=tags))

    training, activation = run_of_assets(instance, *CHAIN), run_of_assets(instance, *CHAIN[3:])
    assert continued(training, *CHAIN[3:])
    assert continued(training, *CHAIN)
    assert not continued(training, *CHAIN[3:4])
    assert not continued(activation, *CHAIN[4:])


def run_of_assets(instance: dg.DagsterInstance, *names: str, **given: Any) -> dg.DagsterRun:
    selection = frozenset(map(dg.AssetKey, names))
    return create_run_for_test(instance, "__ASSET_JOB", asset_selection=selection, **given)
