"""Dagster shows the same of an org, whether it was trained in a run of its own or in one of many orgs."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DataProvenance

from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.assets import TRAINING
from leadscore_assets.definitions import build_defs
from leadscore_assets.lanes.training import training_config
from leadscore_assets.metadata.figures import without_tables
from leadscore_assets.source.database import connect
from leadscore_assets.trainings.ended_trainings import EndedTraining, last_ended
from tests.leadscore_assets.conftest import NOW

CHECKS = {
    "conversion_records": ["plausible_times"],
    "evaluation": ["minimum_records", "metrics_improve"],
    "active_model": ["training_ended"],
}
# what differs from run to run
OF_THE_RUN = {
    "version",
    "info",
    "report",
    "as_of",
    "activated_at",
    "by",
    "candidate",
    "run_id",
    "champion_version",
    "served",
}
NAMES = [asset.key.path[-1] for asset in TRAINING]


def train_many(settings: Settings, instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    job = build_defs(settings).resolve_job_def("train_orgs")
    run_config = training_config(as_of=NOW.isoformat(), **config)
    return job.execute_in_process(instance=instance, run_config=run_config, raise_on_error=False)


def shown_of(instance: dg.DagsterInstance, org_id: str) -> dict[str, Any]:
    """Return what Dagster shows of the org: each asset's metadata and versions, and each check's last result."""
    return {name: _asset(instance, name, org_id) for name in NAMES} | {
        check: _check(instance, asset, check, org_id) for asset, checks in CHECKS.items() for check in checks
    }


def _asset(instance: dg.DagsterInstance, name: str, org_id: str) -> dict[str, Any] | None:
    of_the_org = dg.AssetRecordsFilter(dg.AssetKey(name), asset_partitions=[org_id])
    records = instance.fetch_materializations(of_the_org, limit=1).records
    if not records or (materialization := records[0].asset_materialization) is None:
        return None
    provenance = DataProvenance.from_tags(materialization.tags or {})
    metadata = without_tables(materialization.metadata)
    return {
        "metadata": {key: value.value for key, value in metadata.items() if key not in OF_THE_RUN},
        "names": set(metadata),
        "data_version": (materialization.tags or {}).get("dagster/data_version"),
        "code_version": provenance and provenance.code_version,
        "made_from": provenance and {key.path[-1] for key in provenance.input_data_versions},
    }


def _check(instance: dg.DagsterInstance, asset: str, name: str, org_id: str) -> Any:
    key = dg.AssetCheckKey(dg.AssetKey(asset), name)
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=20)
    record = next((record for record in history if record.partition == org_id), None)
    found = record.evaluation if record else None
    if record is None or not isinstance(found, dg.AssetCheckEvaluation):
        return None  # in a run that failed before, a check is planned for ever
    said = (found.description or "").split("version")[0]
    return record.status.value, found.passed, found.severity.value, said


def data_versions(shown: dict[str, Any]) -> dict[str, str]:
    return {name: shown[name]["data_version"] for name in NAMES if shown[name]}


@pytest.mark.parametrize("org_id", ["sound", "small", "one-class"])
def test_dagster_shows_the_same_of_an_org_after_either_lane(
    train: Any, crm_settings: Settings, instance: dg.DagsterInstance, registry: Registry, org_id: str
) -> None:
    """An org whose version is activated, one that is refused once a version is judged, and one without a version."""
    with dg.DagsterInstance.ephemeral() as other:
        other.add_dynamic_partitions("orgs", [org_id])
        train_many(crm_settings, other, org_ids=[org_id])
        by_lane = shown_of(other, org_id)
    versions = registry.versions(org_id)
    alone = Settings(**{**vars(crm_settings), "model_path": crm_settings.model_path.with_name("alone")})
    train(org_id, settings=alone)
    by_run = shown_of(instance, org_id)
    ids = {name: data_versions(shown) for name, shown in (("lane", by_lane), ("run", by_run))}
    assert ids["lane"].keys() == ids["run"].keys()
    for name in ("conversion_records", "lead_features"):
        assert ids["lane"][name] == ids["run"][name]
    if versions:
        assert ids["lane"]["trained_model"] == versions[0]
        assert ids["run"]["trained_model"] == Registry(alone.model_path).versions(org_id)[0]
    for shown in (by_lane, by_run):
        for name in NAMES:
            if shown[name]:
                del shown[name]["data_version"]
    assert by_lane == by_run


def test_a_held_version_ends_alike(train: Any, crm_settings: Settings, instance: dg.DagsterInstance) -> None:
    train("sound")
    train("sound")
    by_run = shown_of(instance, "sound")
    train_many(crm_settings, instance, org_ids=["sound"])
    by_lane = shown_of(instance, "sound")
    for shown in (by_run, by_lane):
        for name in ("trained_model", "evaluation"):
            del shown[name]["data_version"]
            shown[name]["metadata"].pop("held_version", None)
        shown["active_model"]["metadata"].pop("held_version")
    assert by_run == by_lane
    assert by_lane["metrics_improve"][1:3] == (False, "WARN")
    assert by_lane["training_ended"][1] is True


def ended(settings: Settings, org_id: str) -> EndedTraining | None:
    with connect(settings, read_only=True) as connection:
        return last_ended(connection, org_id)


def test_a_person_can_go_on_where_the_lane_was(
    train: Any, crm_settings: Settings, instance: dg.DagsterInstance
) -> None:
    """The lane stores what the assets store, so one of them can be materialized alone."""
    train_many(crm_settings, instance, org_ids=["sound"])
    assert train("sound", only=["lead_features"]).success
    assert train("sound", only=["trained_model", "evaluation", "active_model"]).success
    last = ended(crm_settings, "sound")
    assert last is not None
    assert (last.status, last.asked_by) == ("held", "Dagster UI")


def test_dagster_takes_no_partition_of_the_lane_for_stale_or_unchecked(
    crm_settings: Settings, instance: dg.DagsterInstance
) -> None:
    train_many(crm_settings, instance, org_ids=["sound"])
    keys = [dg.AssetCheckKey(dg.AssetKey(asset), name) for asset, names in CHECKS.items() for name in names]
    infos = instance.event_log_storage.get_asset_check_partition_info(keys)
    assert {(info.check_key.name, info.partition_key, info.latest_execution_status.value) for info in infos} == {
        (key.name, "sound", "SUCCEEDED") for key in keys
    }
    assert {info.check_key.name for info in infos if not info.is_current} == set()
