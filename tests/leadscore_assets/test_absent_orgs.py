"""An org that the CRM does not show keeps its partition for a stated time, and many never go at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg import sql

from leadscore.errors import SourceMismatch
from leadscore.pooling import POOLED
from leadscore.settings import Settings
from leadscore_assets import sensors
from leadscore_assets.absent_orgs import CHECK, absent_orgs
from leadscore_assets.definitions import build_defs
from leadscore_assets.source.database import connect
from standalone.crm import TABLES

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CHECK_KEY = dg.AssetCheckKey(dg.AssetKey("conversion_records"), CHECK)


class Sensor:
    """The sensor `follow_orgs` with its cursor, over a clock that the test sets; what it asks for is done."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, patch: pytest.MonkeyPatch) -> None:
        self.settings, self.instance, self.patch = settings, instance, patch
        self.cursor: str | None = None
        self.log: list[str] = []

    def tick(self, *, days: float = 0) -> Any:
        self.patch.setattr(sensors, "now", lambda: NOW + timedelta(days=days))
        defs = build_defs(self.settings)
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=defs.get_repository_def(),
            resources={"crm": (defs.resources or {})["crm"]},
        ) as context:
            tick = defs.resolve_sensor_def("follow_orgs").evaluate_tick(context)
        self.cursor = tick.cursor
        for request in tick.dynamic_partitions_requests or ():
            if isinstance(request, dg.AddDynamicPartitionsRequest):
                self.instance.add_dynamic_partitions("orgs", request.partition_keys)
            else:
                for key in request.partition_keys:
                    self.instance.delete_dynamic_partition("orgs", key)
        return tick

    @property
    def partitions(self) -> set[str]:
        return set(self.instance.get_dynamic_partitions("orgs"))


@pytest.fixture
def sensor(crm_settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Sensor:
    return Sensor(crm_settings, instance, monkeypatch)


def delete_leads(settings: Settings, *org_ids: str) -> None:
    with connect(settings) as connection:
        for org_id in org_ids:
            connection.execute("UPDATE dossier SET org_id = 'kept for later ' || org_id WHERE org_id = %s", [org_id])


def restore_leads(settings: Settings) -> None:
    with connect(settings) as connection:
        connection.execute("UPDATE dossier SET org_id = replace(org_id, 'kept for later ', '')")


def test_an_absent_org_goes_after_its_time_and_not_before(sensor: Sensor) -> None:
    sensor.instance.add_dynamic_partitions("orgs", ["gone"])
    first = sensor.tick()
    assert first.skip_message == (
        "the partitions already match the CRM's 3 orgs; 1 org has a partition but no leads (gone), the first since"
        " 2026-06-01 00:00 UTC; a partition is removed after 7 days"
    )
    sensor.tick(days=6.9)
    assert "gone" in sensor.partitions
    sensor.tick(days=7)
    assert sensor.partitions == {"sound", "small", "one-class"}
    assert sensor.tick(days=8).skip_message == "the partitions already match the CRM's 3 orgs"


def test_an_org_that_comes_back_counts_anew(sensor: Sensor, crm_settings: Settings) -> None:
    sensor.tick()
    delete_leads(crm_settings, "small")
    sensor.tick(days=1)
    restore_leads(crm_settings)
    sensor.tick(days=5)
    delete_leads(crm_settings, "small")
    sensor.tick(days=9)
    assert "small" in sensor.partitions
    sensor.tick(days=16)
    assert "small" not in sensor.partitions


def test_an_empty_crm_costs_no_partition_however_long_it_is_empty(sensor: Sensor, crm_settings: Settings) -> None:
    sensor.tick()
    delete_leads(crm_settings, "sound", "small", "one-class")
    ticks = [sensor.tick(days=days) for days in (1, 7, 30, 300)]
    assert sensor.partitions == {"sound", "small", "one-class"}
    assert "at most 1 may be removed at once, and none is when more are due" in ticks[-1].skip_message
    assert "MAX_ORGS_REMOVED_SHARE" in ticks[-1].skip_message


def test_a_check_says_so_once_and_again_when_it_is_over(sensor: Sensor, crm_settings: Settings) -> None:
    sensor.tick()
    delete_leads(crm_settings, "sound", "small")
    (failed,) = sensor.tick(days=1).asset_events
    assert (failed.asset_check_key, failed.passed, failed.severity) == (CHECK_KEY, False, dg.AssetCheckSeverity.ERROR)
    assert failed.metadata["absent_orgs"].value == ["small", "sound"]
    assert sensor.tick(days=2).asset_events == []
    restore_leads(crm_settings)
    (passed,) = sensor.tick(days=3).asset_events
    assert passed.passed
    assert sensor.tick(days=4).asset_events == []


def test_new_orgs_come_in_while_others_are_withheld(sensor: Sensor, crm_settings: Settings) -> None:
    sensor.tick()
    delete_leads(crm_settings, "sound", "small")
    sensor.instance.delete_dynamic_partition("orgs", "one-class")
    sensor.tick(days=30)
    assert sensor.partitions == {"sound", "small", "one-class"}


def test_the_pooled_models_partition_goes_with_its_setting(sensor: Sensor) -> None:
    sensor.settings = replace(sensor.settings, pooled_model=True)
    sensor.tick()
    assert POOLED in sensor.partitions
    sensor.settings = replace(sensor.settings, pooled_model=False)
    sensor.tick()
    assert POOLED not in sensor.partitions


def test_a_cursor_of_another_release_is_begun_anew(sensor: Sensor) -> None:
    sensor.cursor = "no document"
    assert sensor.tick().skip_message == "the partitions already match the CRM's 3 orgs"


@pytest.mark.parametrize(
    ("partitions", "gone", "share", "removed"),
    [(10, 2, 0.2, 2), (10, 3, 0.2, 0), (4, 1, 0.2, 1), (4, 2, 0.2, 0), (3, 1, 0.0, 1), (3, 3, 1.0, 3), (1, 1, 0.2, 1)],
)
def test_never_more_go_at_once_than_the_share_and_one_always_may(
    partitions: int, gone: int, share: float, removed: int
) -> None:
    present = [f"org-{number}" for number in range(partitions)]
    settings = Settings(org_absent_days=0, max_orgs_removed_share=share)
    assert len(absent_orgs(present, present[gone:], {}, NOW, settings).removed) == removed


def test_the_check_can_be_run_by_hand(crm_settings: Settings, instance: dg.DagsterInstance) -> None:
    job = build_defs(crm_settings).get_repository_def().get_implicit_global_asset_job_def()
    selected = job.get_subset(asset_check_selection={CHECK_KEY}, asset_selection=set())
    delete_leads(crm_settings, "sound", "small")
    result = selected.execute_in_process(instance=instance, raise_on_error=False)
    (evaluation,) = result.get_asset_check_evaluations()
    assert not evaluation.passed


def test_a_training_does_not_run_the_check(train: Any) -> None:
    evaluations = train("sound").get_asset_check_evaluations()
    assert {evaluation.check_name for evaluation in evaluations} == {
        "minimum_records",
        "metrics_improve",
        "training_ended",
        "plausible_times",
    }


@pytest.fixture
def reader(crm_settings: Settings) -> Iterator[Settings]:
    """Give the settings of a role that may read the CRM and does not own it."""
    name = f"reader_of_{crm_settings.db_name}"
    role = sql.Identifier(name)
    with psycopg.connect(**crm_settings.database_arguments(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p'").format(role))
        for table in TABLES:
            connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(sql.Identifier(table), role))
        yield replace(crm_settings, db_user=name, db_password="p")
        connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_a_policy_that_begins_to_hide_leads_is_an_error_and_partitions_stay(
    sensor: Sensor, crm_settings: Settings, reader: Settings
) -> None:
    sensor.settings = replace(reader, org_absent_days=0)
    sensor.tick()
    with connect(crm_settings) as connection:
        connection.execute("ALTER TABLE dossier ENABLE ROW LEVEL SECURITY")
        connection.execute("CREATE POLICY by_tenant ON dossier USING (org_id = current_setting('app.tenant', true))")
    with pytest.raises(Exception, match="row-level security") as caught:
        sensor.tick()
    assert isinstance(caught.value.__cause__ or caught.value, SourceMismatch)
    assert sensor.partitions == {"sound", "small", "one-class"}
