"""The schedule trains every org that is due, says why the others are not, and waits for no sensor."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from leadscore.pooling import POOLED
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.definitions import build_defs
from leadscore_assets.source.database import connect

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def evaluate_schedule(settings: Settings, instance: dg.DagsterInstance, at: datetime) -> Any:
    defs = build_defs(settings)
    schedule = defs.resolve_schedule_def("retrain_due_orgs")
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=at,
        repository_def=defs.get_repository_def(),
        resources={"settings": settings, "registry": Registry(settings.model_path)},
    ) as context:
        return schedule.evaluate_tick(context)


def test_the_schedule_trains_orgs_that_are_ready(crm_settings: Settings, stored_instance: dg.DagsterInstance) -> None:
    """They wait on the work list, and no more runs are made than there are orgs. A repeated tick doubles nothing."""
    settings = as_of_now(crm_settings)

    tick = evaluate_schedule(settings, stored_instance, NOW)

    [request] = tick.run_requests
    assert (request.job_name, request.tags["leadscore/asked_by"]) == ("train_orgs", "schedule")
    assert work_list(settings) == ["sound"]
    assert evaluate_schedule(settings, stored_instance, NOW).run_requests == tick.run_requests
    assert work_list(settings) == ["sound"]


def test_a_tick_that_is_repeated_after_its_trainings_ended_adds_no_org_again(
    crm_settings: Settings, stored_instance: dg.DagsterInstance
) -> None:
    settings = as_of_now(crm_settings)
    evaluate_schedule(settings, stored_instance, NOW)
    with connect(settings) as connection:
        connection.execute("DELETE FROM leadscore.due_training")
    evaluate_schedule(settings, stored_instance, NOW)
    assert work_list(settings) == []


def test_the_schedule_leaves_alone_an_org_with_nothing_new(
    crm_settings: Settings, stored_instance: dg.DagsterInstance, train: Any
) -> None:
    train("sound")

    tick = evaluate_schedule(as_of_now(crm_settings), stored_instance, NOW)

    assert tick.run_requests == []
    assert tick.skip_message == "none of the 3 orgs is due; the tick's log gives the reason for each"


def test_a_training_that_broke_off_does_not_count_as_one(
    crm_settings: Settings, stored_instance: dg.DagsterInstance, train: Any
) -> None:
    """Features were made, but no version was judged: the org is due all the same."""
    train("sound", only=["conversion_records"])
    train("sound", only=["lead_features"])
    train("sound", only=["trained_model"])

    tick = evaluate_schedule(as_of_now(crm_settings), stored_instance, NOW)

    assert tick.run_requests
    assert work_list(crm_settings) == ["sound"]


def test_the_schedule_finds_an_org_that_the_sensor_has_not_seen(
    crm_settings: Settings, stored_instance: dg.DagsterInstance
) -> None:
    stored_instance.delete_dynamic_partition("orgs", "sound")

    evaluate_schedule(as_of_now(crm_settings), stored_instance, NOW)

    assert "sound" in stored_instance.get_dynamic_partitions("orgs")


def test_the_schedule_is_monthly_and_on_unless_a_setting_says_otherwise(database: Settings) -> None:
    schedule = build_defs(database).resolve_schedule_def("retrain_due_orgs")

    assert schedule.cron_schedule == "0 2 1 * *"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def work_list(settings: Settings) -> list[str]:
    with connect(settings, read_only=True) as connection:
        return [str(org_id) for (org_id,) in connection.execute("SELECT org_id FROM leadscore.due_training")]


def as_of_now(settings: Settings) -> Settings:
    return replace(settings, as_of=NOW)


def test_the_schedule_trains_the_pool_with_the_orgs(
    pooled_settings: Settings, stored_instance: dg.DagsterInstance
) -> None:
    requests = evaluate_schedule(pooled_settings, stored_instance, NOW).run_requests
    assert len(requests) == pooled_settings.training_shards
    assert sorted(work_list(pooled_settings)) == [POOLED, "sound"]


def test_all_open_leads_are_scored_daily_in_shards_and_fully_on_sundays(database: Settings) -> None:
    defs = build_defs(replace(database, scoring_shards=3, score_schedule="15 4 * * *"))
    schedule = defs.resolve_schedule_def("score_open_leads_daily")
    assert (schedule.cron_schedule, schedule.default_status) == ("15 4 * * *", dg.DefaultScheduleStatus.RUNNING)
    is_full = {}
    for day in (1, 7):  # a Monday, a Sunday
        at = datetime(2026, 6, day, 4, 15, tzinfo=UTC)
        with dg.build_schedule_context(
            scheduled_execution_time=at, resources={"settings": replace(database, scoring_shards=3)}
        ) as context:
            requests = schedule.evaluate_tick(context).run_requests
        configs = [request.run_config["ops"]["score_shard"]["config"] for request in requests]
        assert [(config["shard"], config["shards"]) for config in configs] == [(0, 3), (1, 3), (2, 3)]
        assert len({request.run_key for request in requests}) == 3
        is_full[day] = {config["is_full"] for config in configs}
    assert is_full == {1: {False}, 7: {True}}


def test_what_is_old_is_removed_daily_unless_a_setting_says_otherwise(database: Settings) -> None:
    schedule = build_defs(database).resolve_schedule_def("remove_what_is_old_daily")

    assert (schedule.cron_schedule, schedule.job_name) == ("15 4 * * *", "remove_what_is_old")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    nightly = replace(database, retention_schedule="0 1 * * 6")
    assert build_defs(nightly).resolve_schedule_def("remove_what_is_old_daily").cron_schedule == "0 1 * * 6"
