"""A CRM with simulated orgs, and a way to run the definitions for one of them inside the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from leadscore.features import CONTRACT
from leadscore.pooling import POOLED
from leadscore.records import window_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.definitions import build_defs
from leadscore_assets.resources import Crm
from leadscore_assets.source.database import connect
from leadscore_assets.training.contract_check import check_rows
from leadscore_assets.training.train import train as train_version
from standalone.crm import create_tables
from standalone.orgs import Org
from standalone.simulator import into_database, simulate
from standalone.state_dir import dagster_home
from tests.leadscore_assets.made_rows import made_features
from tests.leadscore_assets.scored_org import scored, template

__all__ = ["scored", "template"]  # fixtures

NOW = datetime(2026, 6, 1, tzinfo=UTC)
AS_OF = {"ops": {"conversion_records": {"config": {"as_of": NOW.isoformat()}}}}

SOUND = Org("sound", leads=900, conversion_rate=0.35)
SMALL = Org("small", leads=90, records=37, history_days=120)
ONE_CLASS = Org("one-class", leads=500, conversion_rate=0.0)

Train = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def crm_settings(database: Settings) -> Settings:
    """Give settings for a CRM with three orgs: one that can be trained, one too small, one with a single class."""
    set_up(database)
    with connect(database) as connection:
        create_tables(connection)
        into_database(connection, simulate([SOUND, SMALL, ONE_CLASS], seed=7, now=NOW))
    return database


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Give a Dagster instance in memory that knows the three orgs."""
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("orgs", [SOUND.org_id, SMALL.org_id, ONE_CLASS.org_id])
        yield instance


@pytest.fixture
def pooled_settings(crm_settings: Settings, instance: dg.DagsterInstance) -> Settings:
    """Give settings that pool the orgs, whose pool is a partition."""
    instance.add_dynamic_partitions("orgs", [POOLED])
    return replace(crm_settings, pooled_model=True, as_of=NOW)


@pytest.fixture
def defs(database: Settings) -> dg.Definitions:
    """Give the definitions over an empty database."""
    return build_defs(database)


@pytest.fixture
def version(crm_settings: Settings, registry: Registry) -> str:
    """Give a version that was trained on an org of the simulated CRM."""
    records = Crm(crm_settings).conversion_records("sound", window_from(crm_settings, as_of=NOW))
    return train_version(registry, "sound", check_rows(records, CONTRACT)).version


@pytest.fixture(scope="session")
def make_features() -> Callable[..., FeatureRows]:
    """Give `make_features(leads=400, days=120, seed=1, prefix="lead")`."""
    return made_features


@pytest.fixture
def stored_instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Give a Dagster instance on disk, which schedules need, that knows the three orgs."""
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        instance.add_dynamic_partitions("orgs", [SOUND.org_id, SMALL.org_id, ONE_CLASS.org_id])
        yield instance


@pytest.fixture
def registry(crm_settings: Settings) -> Registry:
    """Give the registry that the definitions write to."""
    return Registry(crm_settings.model_path)


@pytest.fixture
def train(crm_settings: Settings, instance: dg.DagsterInstance) -> Train:
    """Give a function that runs the job `train` for an org, or only some of its assets."""

    def run(
        org_id: str,
        *,
        only: list[str] | None = None,
        run_config: Any = AS_OF,
        op_config: Any = None,
        settings: Settings = crm_settings,
    ) -> dg.ExecuteInProcessResult:
        job = build_defs(settings).resolve_job_def("train")
        selection = None if only is None else [dg.AssetKey(name) for name in only]
        chosen = run_config if selection is None or dg.AssetKey("conversion_records") in selection else None
        chosen = {"ops": op_config} if op_config else chosen
        return job.execute_in_process(
            instance=instance,
            partition_key=org_id,
            run_config=chosen,
            asset_selection=selection,
            raise_on_error=False,
        )

    return run


@pytest.fixture
def postgres_instance(database: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Give Dagster's instance on a database that was set up; it has made its tables."""
    set_up(database)
    database.state_dir.mkdir()
    for name in ("host", "port", "name", "user", "password"):
        monkeypatch.setenv(f"DB_{name.upper()}", str(getattr(database, f"db_{name}")))
    with dg.DagsterInstance.from_config(str(dagster_home(database))) as instance:
        yield instance
