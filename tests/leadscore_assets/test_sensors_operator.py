"""The operator's sensors: one keeps the schedules' rows true, others tell of runs that failed or were canceled."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.test_utils import create_run_for_test

from leadscore.settings import Settings
from leadscore_assets.assets.training_step import STEPS
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.definitions import build_defs
from leadscore_assets.source.database import connect


@pytest.fixture
def settings(database: Settings) -> Settings:
    set_up(database)
    return database


def test_every_schedule_has_a_row(settings: Settings, stored_instance: dg.DagsterInstance) -> None:
    defs = build_defs(settings)
    said = []
    for _ in range(2):
        with dg.build_sensor_context(
            instance=stored_instance, repository_def=defs.get_repository_def(), resources={"settings": settings}
        ) as context:
            said.append(defs.resolve_sensor_def("watch_schedules").evaluate_tick(context).skip_message)
    count = len(defs.schedules or [])
    assert said == [f"{count} of {count} schedules changed", f"0 of {count} schedules changed"]
    with connect(settings) as connection:
        found = dict(connection.execute("SELECT schedule, cron FROM leadscore.schedule_health").fetchall())
    declared = {schedule.name: schedule.cron_schedule for schedule in defs.schedules or []}
    assert found == declared


@pytest.mark.parametrize(
    ("sensor", "status", "event"),
    [
        ("log_failed_runs", dg.DagsterRunStatus.FAILURE, DagsterEventType.RUN_FAILURE),
        ("log_canceled_trainings", dg.DagsterRunStatus.CANCELED, DagsterEventType.RUN_CANCELED),
    ],
)
def test_a_run_that_did_not_succeed_is_told_in_one_line(
    settings: Settings,
    instance: dg.DagsterInstance,
    capsys: pytest.CaptureFixture[str],
    *,
    sensor: str,
    status: dg.DagsterRunStatus,
    event: DagsterEventType,
) -> None:
    run = create_run_for_test(instance, "train", tags={"dagster/partition": "acme"}, status=status)
    tell(settings, instance, sensor, run, event)
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(f"run {run.run_id} (train of org acme, asked for by Dagster UI) did not succeed: It died.")
    with connect(settings) as connection:
        assert connection.execute("SELECT org_id, status FROM leadscore.ended_training").fetchall() == [
            ("acme", "failed")
        ]


def test_a_canceled_run_is_told_when_it_trains_whoever_chose_its_assets(
    settings: Settings, instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dagster's UI starts assets in a job of its own, which no sensor can name."""
    for job, names in (("__ASSET_JOB", STEPS), ("__ASSET_JOB", STEPS[:2]), ("score_open_leads", ())):
        selection = frozenset(map(dg.AssetKey, names)) or None
        tags = {"dagster/partition": "acme"} if names else {}
        run = create_run_for_test(
            instance, job, tags=tags, asset_selection=selection, status=dg.DagsterRunStatus.CANCELED
        )
        tell(settings, instance, "log_canceled_trainings", run, DagsterEventType.RUN_CANCELED)
    [line] = capsys.readouterr().err.splitlines()
    assert "(__ASSET_JOB of org acme, asked for by Dagster UI) did not succeed: It died." in line


def tell(
    settings: Settings, instance: dg.DagsterInstance, sensor: str, run: dg.DagsterRun, event: DagsterEventType
) -> None:
    definition: Any = build_defs(settings).resolve_sensor_def(sensor)
    context = dg.build_run_status_sensor_context(
        sensor_name=sensor,
        dagster_event=DagsterEvent(event.value, run.job_name, message="It died."),
        dagster_instance=instance,
        dagster_run=run,
        resources={"settings": settings},
    )
    definition(context)
