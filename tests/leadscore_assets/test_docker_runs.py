"""Runs in containers of their own: what Docker is told, by the instance that compose gives to Dagster for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import dagster as dg
import docker
import pytest
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from docker.models.containers import _create_container_args

from leadscore.settings import PROJECT_ROOT
from leadscore_assets.docker_runs import RunContainers

INSTANCE = PROJECT_ROOT / "deploy" / "dagster.docker-runs.yaml"
COMPOSE = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())
CHANGES = yaml.safe_load((PROJECT_ROOT / "deploy" / "compose.docker-runs.yml").read_text())


class ToldDocker:
    """A Docker that only notes what it is told to create."""

    def __init__(self) -> None:
        self.containers = self
        self.id = "0a1b"
        self.told: dict[str, Any] = {}
        self.starts = 0

    def create(self, **told: Any) -> ToldDocker:
        self.told = told
        return self

    def start(self) -> None:
        self.starts += 1


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Give what Docker is told of a run, by the launcher that the instance's file names."""
    launcher = yaml.safe_load(INSTANCE.read_text())["run_launcher"]
    fake = ToldDocker()
    monkeypatch.setattr(docker.client, "from_env", lambda: fake)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("CONVERSION_STATUSES", "WON,SIGNED")
    monkeypatch.setenv("DB_PASSWORD", "s3cret")
    monkeypatch.delenv("CRM_TIME_ZONE", raising=False)
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides={"run_launcher": launcher}) as instance:
        assert isinstance(instance.run_launcher, RunContainers)
        instance.run_launcher.launch_run(LaunchRunContext(run_of(instance), workspace=None))
    assert fake.starts == 1
    return fake.told


def run_of(instance: dg.DagsterInstance) -> dg.DagsterRun:
    code_server = GrpcServerCodeLocationOrigin(host="code-server", port=4000, location_name="leadscore")
    pointer = ModuleCodePointer("leadscore_assets.definitions", "defs", "/app")
    origin = RepositoryPythonOrigin(sys.executable, pointer, entry_point=["python", "-m", "dagster"])
    return create_run_for_test(
        instance,
        job_name="train",
        status=dg.DagsterRunStatus.STARTING,
        remote_job_origin=RemoteRepositoryOrigin(code_server, "__repository__").get_job_origin("train"),
        job_code_origin=JobPythonOrigin("train", origin),
    )


def test_every_setting_that_is_set_reaches_the_run_and_no_other(told: dict[str, Any]) -> None:
    assert told["environment"]["CONVERSION_STATUSES"] == "WON,SIGNED"
    assert told["environment"]["DB_PASSWORD"] == "s3cret"
    assert "CRM_TIME_ZONE" not in told["environment"]
    assert "DAGSTER_HOME" in told["environment"]


def test_docker_knows_all_that_it_is_told(told: dict[str, Any]) -> None:
    arguments = _create_container_args({**told, "version": "1.44"})
    assert arguments["command"][:5] == ["python", "-m", "dagster", "api", "execute_run"]
    assert arguments["host_config"]["ReadonlyRootfs"] is True
    assert arguments["host_config"]["CapDrop"] == ["ALL"]
    assert arguments["host_config"]["AutoRemove"] is True


def test_the_instance_is_the_usual_one_but_for_the_launcher() -> None:
    usual = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())
    with_containers = yaml.safe_load(INSTANCE.read_text())
    del with_containers["run_launcher"]
    assert with_containers == usual, "make the same change in both files"


def test_a_runs_container_is_as_composes_are(told: dict[str, Any]) -> None:
    daemon = COMPOSE["services"]["dagster-daemon"]
    assert told["image"] == daemon["image"]
    assert told["network"] == f"{COMPOSE['name']}_default"
    volumes = {volume.removeprefix(f"{COMPOSE['name']}_") for volume in told["volumes"]}
    assert volumes == set(daemon["volumes"])
    for key in ("cap_drop", "init", "read_only", "security_opt"):
        assert told[key] == daemon[key]
    assert [f"{place}:{size}" for place, size in told["tmpfs"].items()] == daemon["tmpfs"]


def test_only_who_starts_and_stops_runs_may_use_docker() -> None:
    services = CHANGES["services"]
    socket = "/var/run/docker.sock:/var/run/docker.sock"
    users = {name for name, service in services.items() if socket in service["volumes"]}
    assert users == {name for name, service in services.items() if "group_add" in service}
    assert users == {"dagster-daemon", "dagster-webserver"}
    instance = f"./{INSTANCE.relative_to(PROJECT_ROOT)}:/dagster/dagster.yaml:ro"
    assert all(instance in service["volumes"] for service in services.values())


def test_every_service_that_reads_the_instance_gets_it() -> None:
    services = COMPOSE["services"]
    of_dagster = {name for name, service in services.items() if service["image"] == "leadscore-pipeline"}
    assert set(CHANGES["services"]) == of_dagster - {"backup"}
