"""The sensor keeps the partitions in step with the CRM's orgs, and with the pool while the setting is on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from leadscore.pooling import POOLED
from leadscore.records import window_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.dataset import ORG_COLUMN
from leadscore_assets.definitions import build_defs
from leadscore_assets.due_orgs import training_needs
from leadscore_assets.resources import Crm
from leadscore_assets.source.database import connect


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
    assert own == (["one-class", "sound", POOLED] if is_on else ["one-class", "sound"])
    if is_on:
        rows = Crm(chosen).conversion_records(POOLED, window_from(chosen)).rows
        assert set(rows[ORG_COLUMN]) == {"one-class", "sound"}
        assert needs[-1].records == rows["lead_id"].nunique()
