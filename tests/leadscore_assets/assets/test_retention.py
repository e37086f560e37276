"""The daily retention: each part is done whatever becomes of the others, and what went is counted."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.definitions import build_defs
from leadscore_assets.source import tables
from leadscore_assets.source.database import connect
from tests.leadscore import conftest as core
from tests.leadscore_assets.made_rows import made_features

KINDS = {
    *("versions", "rows_of_records", "ended_trainings", "batches_of_trainings", "rows_of_evidence"),
    "steps_and_messages_of_runs",
    *("events_of_assets", "results_of_checks", "runs", "files_of_output"),
}
DAYS_AGO = 60


@pytest.fixture
def registry(database: Settings) -> Registry:
    """Give a registry with an org of five versions, none of them active."""
    registry = Registry(database.model_path, wait_seconds=0.05)
    publish: Callable[..., str] = core._publish
    for _ in range(5):
        publish(registry, "acme")
    return registry


@pytest.fixture
def aged(postgres_instance: dg.DagsterInstance, database: Settings, registry: Registry) -> dg.DagsterInstance:
    """Give an instance whose history, records and output of runs are sixty days old."""
    for value in (1, 2):
        event = dg.AssetMaterialization("lead_scores", partition="acme", metadata={"scored": value})
        postgres_instance.report_runless_asset_event(event)
    output = Path(postgres_instance.storage_directory()) / "run-1" / "compute_logs" / "steps.err"
    output.parent.mkdir(parents=True)
    output.write_bytes(b"printed")
    at = (datetime.now(UTC) - timedelta(days=DAYS_AGO)).timestamp()
    os.utime(output, (at, at))
    with connect(database) as connection:
        tables.store(connection, "lead_features", "acme", run_id="r", info={}, rows=made_features(leads=20).rows)
        with connection.transaction():
            connection.execute("UPDATE leadscore.materializations SET stored_at = now() - interval '60 days'")
            connection.execute("""UPDATE dagster.event_logs SET "timestamp" = "timestamp" - interval '60 days'""")
    return postgres_instance


def remove(settings: Settings, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = build_defs(settings).resolve_job_def("remove_what_is_old")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def figures(metadata: Any) -> dict[str, int]:
    return {name: value.value for name, value in metadata.items() if not name.startswith("dagster/")}


def test_each_kind_is_removed_and_counted(aged: dg.DagsterInstance, database: Settings, registry: Registry) -> None:
    result = remove(database, aged)
    [materialization] = result.asset_materializations_for_node("retention")
    found = figures(materialization.metadata)
    assert found.keys() == KINDS | {f"{kind}_bytes" for kind in KINDS}
    assert {kind: found[kind] for kind in KINDS if found[kind]} == {
        "versions": 2,
        "rows_of_records": len(made_features(leads=20).rows),
        "events_of_assets": 1,
        "files_of_output": 1,
    }
    assert all((found[f"{kind}_bytes"] > 0) == (found[kind] > 0) for kind in KINDS)
    assert [registry.removal("acme", version) is None for version in registry.versions("acme")] == [True] * 3 + [
        False
    ] * 2


def test_how_long_each_kind_is_kept_is_a_setting(aged: dg.DagsterInstance, database: Settings) -> None:
    longer = replace(database, keep_versions=5, keep_records_days=61, keep_run_logs_days=61, keep_daily_events_days=61)
    [materialization] = remove(longer, aged).asset_materializations_for_node("retention")
    assert set(figures(materialization.metadata).values()) == {0}


def test_a_part_that_fails_does_not_hold_up_the_others_and_the_run_says_why(
    aged: dg.DagsterInstance, database: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leadscore_assets.definitions.TRAINING_WAIT_SECONDS", 0.05)
    with registry.exclusive("acme"):
        result = remove(database, aged)
    [failed] = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    said = failed.step_failure_data.user_failure_data
    assert said.description.startswith("1 parts of the retention failed, and what they keep grows: the old versions of")
    assert "acme (another change of the org's versions is under way" in said.description
    found = figures(said.metadata)
    assert (found["events_of_assets"], found["files_of_output"]) == (1, 1)
    assert "versions" not in found


def test_where_dagster_keeps_its_history_elsewhere_its_tables_are_left_alone(
    database: Settings, registry: Registry
) -> None:
    from leadscore_assets.commands.set_up_database import set_up  # noqa: PLC0415 (the other tests' fixture does it)

    set_up(database)
    with dg.DagsterInstance.ephemeral() as instance:
        [materialization] = remove(database, instance).asset_materializations_for_node("retention")
    assert figures(materialization.metadata).keys() & KINDS == KINDS - {
        *("steps_and_messages_of_runs", "events_of_assets", "results_of_checks", "runs")
    }
