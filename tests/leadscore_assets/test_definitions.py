"""What Dagster finds when it loads us: the graph, its descriptions, and who starts runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from leadscore.errors import SourceMismatch
from leadscore.features import CONTRACT
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets import definitions
from leadscore_assets.definitions import build_defs
from leadscore_assets.source.database import connect

GRAPH = {
    "conversion_records": set(),
    "lead_features": {"conversion_records"},
    "trained_model": {"lead_features"},
    "evaluation": {"lead_features", "trained_model"},
    "active_model": {"evaluation"},
}
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def defs(database: Settings) -> dg.Definitions:
    return build_defs(database)


def test_the_five_assets_stand_in_the_datas_order(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()

    found = {
        key.path[-1]: {parent.path[-1] for parent in graph.get(key).parent_keys} for key in graph.get_all_asset_keys()
    }
    assert found == GRAPH


@pytest.mark.parametrize("asset", GRAPH)
def test_each_asset_says_what_it_is(defs: dg.Definitions, asset: str) -> None:
    """It has an owner, a kind, a group, a description, and the orgs as partitions."""
    spec = defs.resolve_asset_graph().get(dg.AssetKey(asset))

    assert spec.owners == ["team:leadscore"]
    assert spec.kinds
    assert spec.group_name == "leadscore"
    assert spec.description
    assert spec.partitions_def == dg.DynamicPartitionsDefinition(name="orgs")


@pytest.mark.parametrize("asset", ["conversion_records", "lead_features"])
def test_a_table_has_the_contracts_columns(defs: dg.Definitions, asset: str) -> None:
    schema = defs.resolve_asset_graph().get(dg.AssetKey(asset)).metadata["dagster/column_schema"]

    assert [column.name for column in schema.columns] == ["lead_id", "landmark_days", "converted", *CONTRACT.names]


def test_steps_share_one_process(defs: dg.Definitions) -> None:
    """An interpreter per step would cost many times what the steps do."""
    assert defs.resolve_job_def("train").executor_def.name == "in_process"


def test_the_checks_guard_the_evaluation(defs: dg.Definitions) -> None:
    """Only the check for enough records blocks; a held candidate is no failure."""
    graph = defs.resolve_asset_graph()
    checks = {key.name: graph.get(key) for key in graph.asset_check_keys}

    assert {name: check.blocking for name, check in checks.items()} == {
        "minimum_records": True,
        "metrics_improve": False,
    }
    assert {key.asset_key for key in graph.asset_check_keys} == {dg.AssetKey("evaluation")}


def evaluate_sensor(settings: Settings, instance: dg.DagsterInstance) -> Any:
    defs = build_defs(settings)
    sensor = defs.resolve_sensor_def("follow_orgs")
    crm = defs.resources["crm"] if defs.resources else None
    with dg.build_sensor_context(
        instance=instance, repository_def=defs.get_repository_def(), resources={"crm": crm}
    ) as context:
        return sensor.evaluate_tick(context)


def keys_of(requests: Any, kind: type) -> list[str]:
    return [key for request in requests if isinstance(request, kind) for key in request.partition_keys]


def test_the_sensor_adds_new_orgs_and_removes_those_that_are_gone(
    crm_settings: Settings, instance: dg.DagsterInstance
) -> None:
    instance.add_dynamic_partitions("orgs", ["gone"])
    instance.delete_dynamic_partition("orgs", "small")

    tick = evaluate_sensor(crm_settings, instance)

    requests = tick.dynamic_partitions_requests
    assert keys_of(requests, dg.AddDynamicPartitionsRequest) == ["small"]
    assert keys_of(requests, dg.DeleteDynamicPartitionsRequest) == ["gone"]


def test_the_sensor_has_nothing_to_say_when_the_orgs_are_known(
    crm_settings: Settings, instance: dg.DagsterInstance
) -> None:
    tick = evaluate_sensor(crm_settings, instance)

    assert tick.skip_message == "the 3 orgs of the CRM are known"


def test_an_org_whose_id_cannot_be_a_key_is_left_out(crm_settings: Settings, instance: dg.DagsterInstance) -> None:
    """Such an org never becomes a partition, a folder or a part of an address."""
    with connect(crm_settings) as connection:
        for org_id in ("../etc", "fine.one"):
            connection.execute(
                "UPDATE dossier SET org_id = %s WHERE id = (SELECT max(id) FROM dossier WHERE org_id = 'sound')",
                [org_id],
            )

    tick = evaluate_sensor(crm_settings, instance)

    assert keys_of(tick.dynamic_partitions_requests, dg.AddDynamicPartitionsRequest) == ["fine.one"]


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


def test_the_schedule_trains_orgs_that_have_enough_records(
    crm_settings: Settings, stored_instance: dg.DagsterInstance
) -> None:
    """One run for each, with a key that a repeated tick cannot double; the small org is left alone."""
    settings = as_of_now(crm_settings)

    tick = evaluate_schedule(settings, stored_instance, NOW)

    assert {request.partition_key for request in tick.run_requests} == {"sound", "one-class"}
    assert len({request.run_key for request in tick.run_requests}) == 2
    assert evaluate_schedule(settings, stored_instance, NOW).run_requests == tick.run_requests


def test_the_schedule_leaves_alone_an_org_with_nothing_new(
    crm_settings: Settings, stored_instance: dg.DagsterInstance, train: Any
) -> None:
    train("sound")
    train("one-class")

    tick = evaluate_schedule(as_of_now(crm_settings), stored_instance, NOW)

    assert tick.run_requests == []
    assert tick.skip_message == "none of the 3 orgs is due; the tick's log says why for each"


def test_a_training_that_broke_off_does_not_count_as_one(
    crm_settings: Settings, stored_instance: dg.DagsterInstance, train: Any
) -> None:
    """Features were made, but no version was judged: the org is due all the same."""
    train("sound", only=["conversion_records"])
    train("sound", only=["lead_features"])
    train("sound", only=["trained_model"])

    tick = evaluate_schedule(as_of_now(crm_settings), stored_instance, NOW)

    assert "sound" in {request.partition_key for request in tick.run_requests}


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


def as_of_now(settings: Settings) -> Settings:
    return replace(settings, as_of=NOW)


def test_a_records_sql_that_is_not_there_is_refused_when_dagster_loads_us(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RECORDS_SQL", str(tmp_path / "none.sql"))

    with pytest.raises(SourceMismatch, match="Correct RECORDS_SQL, or unset it"):
        definitions.defs()
