"""The sensors keep the partitions in step with the CRM's orgs and the pool's setting, and erase what is gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from leadscore.pooling import POOLED
from leadscore.records import window_from
from leadscore.registry.store import Pointer, Registry
from leadscore.settings import Settings
from leadscore_assets import sensors
from leadscore_assets.dataset import ORG_COLUMN
from leadscore_assets.definitions import build_defs
from leadscore_assets.due_orgs import training_needs
from leadscore_assets.resources import Crm
from leadscore_assets.retention.absent_leads import CHECK
from leadscore_assets.source.database import connect
from leadscore_assets.source.tables import infos, load
from tests.leadscore_assets.conftest import NOW


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

    tick = evaluate_sensor(replace(crm_settings, org_absent_days=0), instance)

    requests = tick.dynamic_partitions_requests
    assert keys_of(requests, dg.AddDynamicPartitionsRequest) == ["small"]
    assert keys_of(requests, dg.DeleteDynamicPartitionsRequest) == ["gone"]


def test_the_sensor_has_nothing_to_say_when_the_orgs_are_known(
    crm_settings: Settings, instance: dg.DagsterInstance
) -> None:
    tick = evaluate_sensor(crm_settings, instance)

    assert tick.skip_message == "the partitions already match the CRM's 3 orgs"


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


def test_the_pool_is_a_partition_while_the_setting_is_on(
    pooled_settings: Settings, instance: dg.DagsterInstance
) -> None:
    """It comes and goes as an org does; what was stored of it stays."""
    assert evaluate_sensor(pooled_settings, instance).skip_message == "the partitions already match the CRM's 4 orgs"

    [gone] = evaluate_sensor(replace(pooled_settings, pooled_model=False), instance).dynamic_partitions_requests
    assert isinstance(gone, dg.DeleteDynamicPartitionsRequest)
    assert gone.partition_keys == [POOLED]
    instance.delete_dynamic_partition("orgs", POOLED)
    [added] = evaluate_sensor(pooled_settings, instance).dynamic_partitions_requests
    assert isinstance(added, dg.AddDynamicPartitionsRequest)
    assert added.partition_keys == [POOLED]


def take_the_id(settings: Settings) -> None:
    with connect(settings) as connection:
        connection.execute("UPDATE dossier SET org_id = %s WHERE org_id = 'small'", [POOLED])


@pytest.mark.parametrize("is_on", [False, True])
def test_an_org_of_the_crm_that_has_the_pools_id_is_left_out(
    pooled_settings: Settings, instance: dg.DagsterInstance, is_on: bool
) -> None:
    """Such an org is no partition, is not pooled, and is never taken for the pool."""
    chosen = replace(pooled_settings, pooled_model=is_on, org_absent_days=0)
    take_the_id(chosen)
    instance.delete_dynamic_partition("orgs", POOLED)
    added = [request.partition_keys for request in evaluate_sensor(chosen, instance).dynamic_partitions_requests]
    assert added == [[POOLED], ["small"]] if is_on else [["small"]]
    needs = training_needs(chosen, Registry(chosen.model_path), window_from(chosen))
    own = [need.org_id for need in needs]
    assert own == ([POOLED, "one-class", "sound"] if is_on else ["one-class", "sound"])
    if is_on:
        rows = Crm(chosen).conversion_records(POOLED, window_from(chosen)).rows
        assert set(rows[ORG_COLUMN]) == {"one-class", "sound"}
        assert needs[0].records == rows["lead_id"].nunique()


def test_the_health_of_all_orgs_with_partitions_is_refreshed(
    pooled_settings: Settings, instance: dg.DagsterInstance
) -> None:
    defs = build_defs(pooled_settings)
    resources = {name: (defs.resources or {})[name] for name in ("settings", "registry")}
    instance.delete_dynamic_partition("orgs", "small")
    said = []
    for _ in range(2):
        with dg.build_sensor_context(
            instance=instance, repository_def=defs.get_repository_def(), resources=resources
        ) as context:
            said.append(defs.resolve_sensor_def("refresh_org_health").evaluate_tick(context).skip_message)
    assert said == ["2 of 2 orgs changed", "0 of 2 orgs changed"]
    with connect(pooled_settings) as connection:
        assert connection.execute("SELECT org_id FROM leadscore.org_health ORDER BY 1").fetchall() == [
            ("one-class",),
            ("sound",),
        ]


CHECK_KEY = dg.AssetCheckKey(dg.AssetKey("conversion_records"), CHECK)


class Eraser:
    """The sensor `erase_gone_leads` with its cursor, over a clock that the test sets."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, patch: pytest.MonkeyPatch) -> None:
        self.settings, self.instance, self.patch = settings, instance, patch
        self.cursor: str | None = None

    def tick(self, *, days: float) -> Any:
        self.patch.setattr(sensors, "now", lambda: NOW + timedelta(days=days))
        defs = build_defs(self.settings)
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=defs.get_repository_def(),
            resources={"settings": self.settings},
        ) as context:
            tick = defs.resolve_sensor_def("erase_gone_leads").evaluate_tick(context)
        self.cursor = tick.cursor
        return tick


@pytest.fixture
def eraser(crm_settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Eraser:
    return Eraser(crm_settings, instance, monkeypatch)


def delete_leads(settings: Settings, org_id: str) -> None:
    with connect(settings) as connection:
        connection.execute("UPDATE dossier SET org_id = 'hidden' WHERE org_id = %s", [org_id])


def test_an_org_that_is_gone_is_erased_without_a_run_and_without_a_partition(eraser: Eraser, train: Any) -> None:
    for org_id in ("sound", "small"):
        train(org_id, only=["conversion_records"])
    assert eraser.tick(days=0).skip_message.startswith("the CRM has all ")
    delete_leads(eraser.settings, "small")
    eraser.instance.delete_dynamic_partition("orgs", "small")
    assert "the CRM no longer has 37 of the " in eraser.tick(days=1).skip_message

    tick = eraser.tick(days=8)

    assert tick.skip_message.startswith("erased ")
    assert tick.skip_message.endswith(
        " of 37 leads from conversion_records; erased 1 row from materializations;"
        " erased 2 rows of 2 leads from org_identities"
    )
    with connect(eraser.settings) as connection:
        assert set(infos(connection, "conversion_records")) == {"sound"}
        assert load(connection, "conversion_records", "sound")[0] is not None


def test_too_many_absent_leads_are_kept_and_a_check_says_so_once(eraser: Eraser, train: Any) -> None:
    train("sound", only=["conversion_records"])
    delete_leads(eraser.settings, "sound")
    tick = eraser.tick(days=0)
    (failed,) = tick.asset_events
    assert (failed.asset_check_key, failed.passed, failed.severity) == (CHECK_KEY, False, dg.AssetCheckSeverity.ERROR)
    figures = {name: entry.value for name, entry in failed.metadata.items()}
    held = figures["held_leads"]
    assert figures == {
        "held_leads": held,
        "absent_leads": held,
        "due_leads": 0,
        "most_at_once": int(held * 0.2),
        "absent_leads_by_org": {"sound": held},
    }
    assert "MAX_ORGS_REMOVED_SHARE" in failed.description
    assert eraser.tick(days=30).asset_events == []
    with connect(eraser.settings) as connection:
        connection.execute("UPDATE dossier SET org_id = 'sound' WHERE org_id = 'hidden'")
    (passed,) = eraser.tick(days=31).asset_events
    assert passed.passed
    assert eraser.tick(days=32).asset_events == []


def test_the_eraser_looks_once_an_hour_and_runs_from_the_start(defs: dg.Definitions) -> None:
    sensor = defs.resolve_sensor_def("erase_gone_leads")
    assert sensor.minimum_interval_seconds == 3_600
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def report_versions(settings: Settings, instance: dg.DagsterInstance) -> Any:
    defs = build_defs(settings)
    with dg.build_sensor_context(
        instance=instance,
        repository_def=defs.get_repository_def(),
        resources={"settings": settings, "registry": Registry(settings.model_path)},
    ) as context:
        return defs.resolve_sensor_def("report_active_versions").evaluate_tick(context)


def point(settings: Settings, org_id: str, version: str) -> None:
    registry = Registry(settings.model_path)
    with registry.exclusive(org_id):
        pointer = Pointer(version, None, "2026-06-02T08:00:00+00:00", "request 7", "odd scores", "0" * 64)
        registry.swap_pointer(org_id, pointer, registry.history(org_id))


def test_a_rollback_shows_in_dagster_as_a_materialization_of_the_org(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    settings = Settings(model_path=tmp_path)
    assert report_versions(settings, instance).skip_message == (
        "active_model shows what scores the leads of all 3 orgs"
    )
    point(settings, "sound", "20260301000000")
    tick = report_versions(settings, instance)
    [event] = tick.asset_events
    assert (event.asset_key.path, event.partition) == (["active_model"], "sound")
    assert (event.tags or {})["dagster/data_version"] == "20260301000000"
    assert tick.skip_message == "reported 1 orgs"


def test_an_org_without_a_partition_is_not_reported(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    point(Settings(model_path=tmp_path), "gone", "20260301000000")
    assert report_versions(Settings(model_path=tmp_path), instance).asset_events == []


def test_a_tick_reports_so_many_orgs_and_the_next_one_the_others(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "REPORTS_AT_A_TIME", 2)
    settings = Settings(model_path=tmp_path)
    for org_id in ("sound", "small", "one-class"):
        point(settings, org_id, "20260301000000")
    tick = report_versions(settings, instance)
    assert tick.skip_message == "reported 2 orgs; 1 more follow"
    for event in tick.asset_events:
        instance.report_runless_asset_event(event)
    [last] = report_versions(settings, instance).asset_events
    assert {last.partition, *(event.partition for event in tick.asset_events)} == {"sound", "small", "one-class"}


def test_the_reporter_looks_every_half_minute_and_runs_from_the_start() -> None:
    assert sensors.report_active_versions.minimum_interval_seconds == 30
    assert sensors.report_active_versions.default_status is dg.DefaultSensorStatus.RUNNING
