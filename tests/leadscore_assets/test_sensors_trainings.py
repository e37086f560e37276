"""The sensor of the work list starts as many runs as are missing, and no more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.definitions import build_defs
from leadscore_assets.source.database import connect
from leadscore_assets.trainings.work_list import Batch, add_batch


@pytest.fixture
def waiting_orgs(database: Settings) -> Settings:
    """Give settings with three shards, and a database where four orgs wait."""
    set_up(database)
    with connect(database) as connection:
        add_batch(connection, Batch("test"), ["a", "b", "c", "d"])
    return replace(database, training_shards=3)


def evaluate(settings: Settings, instance: dg.DagsterInstance) -> Any:
    defs = build_defs(settings)
    with dg.build_sensor_context(
        instance=instance, repository_def=defs.get_repository_def(), resources={"settings": settings}
    ) as context:
        return defs.resolve_sensor_def("resume_trainings").evaluate_tick(context)


def test_an_empty_list_starts_nothing(database: Settings, instance: dg.DagsterInstance) -> None:
    set_up(database)
    assert evaluate(database, instance).skip_message == "no org is on the work list of trainings"


def test_the_runs_that_are_missing_are_started(waiting_orgs: Settings, instance: dg.DagsterInstance) -> None:
    requests = evaluate(waiting_orgs, instance).run_requests
    assert [(request.job_name, request.run_key) for request in requests] == [("train_orgs", None)] * 3
    queued = create_run_for_test(instance, "train_orgs", status=dg.DagsterRunStatus.NOT_STARTED)
    create_run_for_test(instance, "train_orgs", status=dg.DagsterRunStatus.SUCCESS)
    create_run_for_test(instance, "train", status=dg.DagsterRunStatus.STARTED)
    assert len(evaluate(waiting_orgs, instance).run_requests) == 2
    for _ in range(2):
        create_run_for_test(instance, "train_orgs", status=dg.DagsterRunStatus.STARTED)
    assert evaluate(waiting_orgs, instance).skip_message == "3 runs work on the 4 orgs of the work list"
    instance.report_run_canceled(queued)
    assert len(evaluate(waiting_orgs, instance).run_requests) == 1


def test_no_more_runs_are_started_than_orgs_are_left(waiting_orgs: Settings, instance: dg.DagsterInstance) -> None:
    with connect(waiting_orgs) as connection:
        connection.execute("DELETE FROM leadscore.due_training WHERE org_id <> 'a'")
    assert len(evaluate(waiting_orgs, instance).run_requests) == 1
