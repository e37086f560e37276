"""Runs under Kubernetes: Dagster takes the instance that its chart makes of our values, and its pods are as ours are.

The cluster is not here, so nothing is asked of it; the Job that a run would be is looked at in its place.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import kubernetes
import kubernetes_validate
import psycopg
import pytest
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster_k8s import K8sRunLauncher
from kubernetes.config import incluster_config

from leadscore.settings import PROJECT_ROOT, Settings, read_settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.lanes.scoring import shard_config
from standalone.crm import create_tables
from standalone.processes import Child
from tests.architecture.manifests import OVERLAY, built, chart_values, charts_instance, environment_of, pods_of

IMAGE = "registry.example/leadscore-pipeline:0.2.0"
RELEASES = ("1.30", kubernetes_validate.latest_version())
HOLDER = "SELECT registry_path FROM leadscore.control_plane"


@pytest.fixture
def home(database: Settings, tmp_path: Path) -> Path:
    """Give a DAGSTER_HOME with the chart's instance over this test's database, which was set up."""
    set_up(database)
    instance = charts_instance(chart_values())
    for part in ("run_storage", "event_log_storage", "schedule_storage"):
        instance[part]["config"]["postgres_db"] |= {
            "hostname": database.db_host,
            "port": database.db_port,
            "username": database.db_user,
            "db_name": database.db_name,
        }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(instance))
    return tmp_path


@pytest.fixture
def environment(database: Settings, home: Path) -> dict[str, str]:
    """Give the environment that our settings and Secrets make in a pod, over this test's database."""
    pod = pods_of(built(OVERLAY))["leadscore-control-plane"]
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "DAGSTER_HOME": str(home),
        **environment_of(pod["containers"][0], built(OVERLAY), secret=database.db_password),
        "DB_HOST": database.db_host,
        "DB_PORT": str(database.db_port),
        "DB_NAME": database.db_name,
        "DB_USER": database.db_user,
        "MODEL_PATH": str(database.model_path),
    }


@pytest.fixture
def instance(environment: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Give the instance in a process that believes to be in a cluster."""
    for name in ("token", "ca.crt"):
        (home / name).write_text("of the cluster")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(home / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(home / "ca.crt"))
    environment |= {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def run_of_a_shard(instance: dg.DagsterInstance) -> dg.DagsterRun:
    """Return a run of a lane, as the daemon takes it from the queue."""
    code_server = GrpcServerCodeLocationOrigin(host="leadscore", port=4000, location_name="leadscore")
    pointer = ModuleCodePointer("leadscore_assets.definitions", "defs", str(PROJECT_ROOT))
    origin = JobPythonOrigin(
        "score_open_leads",
        RepositoryPythonOrigin(sys.executable, pointer, container_image=IMAGE, entry_point=["dagster"]),
    )
    return create_run_for_test(
        instance,
        job_name="score_open_leads",
        run_config=shard_config(shard=0, shards=4),
        status=dg.DagsterRunStatus.STARTING,
        remote_job_origin=RemoteRepositoryOrigin(code_server, "__repository__").get_job_origin("score_open_leads"),
        job_code_origin=origin,
    )


@pytest.fixture
def job(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give the Job that the launcher would send for a shard."""
    launcher = instance.run_launcher
    assert isinstance(launcher, K8sRunLauncher)
    sent: list[kubernetes.client.V1Job] = []

    def send(body: kubernetes.client.V1Job, namespace: str) -> None:
        assert namespace == "leadscore"
        sent.append(body)

    monkeypatch.setattr(launcher._api_client, "create_namespaced_job_with_retries", send)
    launcher.launch_run(LaunchRunContext(run_of_a_shard(instance), workspace=None))
    with kubernetes.client.ApiClient() as client:
        return dict(client.sanitize_for_serialization(sent[0]))


def test_dagster_takes_the_instance_that_the_chart_makes(instance: dg.DagsterInstance) -> None:
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_concurrent_runs == 5
    assert queue.tag_concurrency_limits == [
        {"key": "dagster/partition", "value": {"applyLimitPerUniqueValue": True}, "limit": 1},
        {"key": "leadscore/shard", "limit": 4},
    ]
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_max_resume_run_attempts == 0
    assert not instance.run_retries_enabled
    assert not instance.telemetry_enabled
    assert not instance.nux_enabled
    assert instance.get_runs(limit=1) == []


def test_a_shard_is_a_pod_that_kubernetes_schemas_take(job: dict[str, Any]) -> None:
    for release in RELEASES:
        kubernetes_validate.validate(job, release, strict=True)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == IMAGE
    assert container["args"][:3] == ["dagster", "api", "execute_run"]
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["activeDeadlineSeconds"] > 0


def test_a_runs_pod_is_as_confined_as_ours_and_has_their_settings(job: dict[str, Any]) -> None:
    ours = pods_of(built(OVERLAY))["leadscore-control-plane"]
    pod, ours_container = job["spec"]["template"]["spec"], ours["containers"][0]
    (container,) = pod["containers"]
    assert pod["securityContext"] == ours["securityContext"]
    assert container["securityContext"] == ours_container["securityContext"]
    assert container["resources"]["limits"].keys() == {"memory"}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert {"configMapRef": {"name": "leadscore-settings"}} in container["envFrom"]
    secrets = {variable["name"] for variable in container["env"] if "valueFrom" in variable}
    assert secrets == {"DB_PASSWORD", "DAGSTER_PG_PASSWORD"}
    places = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"secretRef": {"name": "leadscore-object-store", "optional": True}} in container["envFrom"]
    assert places == {"/tmp", "/dagster/storage"}  # the launcher sends the instance as an argument
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_a_run_ends_well_in_a_pod_that_may_not_ask_the_cluster(
    database: Settings, instance: dg.DagsterInstance, environment: dict[str, str], job: dict[str, Any]
) -> None:
    with psycopg.connect(**database.database_arguments()) as connection:
        create_tables(connection)
    del environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
    (run,) = instance.get_runs()
    words = job["spec"]["template"]["spec"]["containers"][0]["args"]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, [entry.message for entry in instance.all_logs(run.run_id)]
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is dg.DagsterRunStatus.SUCCESS


def test_the_control_plane_is_held_and_the_daemons_probe_sees_whose_it_is(
    database: Settings, environment: dict[str, str], home: Path
) -> None:
    pod = pods_of(built(OVERLAY))["leadscore-control-plane"]
    python, *arguments = pod["containers"][0]["command"]
    assert python == "python"
    daemon = chart_values()["dagsterDaemon"]
    assert daemon["startupProbe"]["exec"] == daemon["livenessProbe"]["exec"]
    probe = [sys.executable, *daemon["livenessProbe"]["exec"]["command"][1:]]

    def asked(**changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            probe,
            cwd=PROJECT_ROOT,
            env={**environment, **changed},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    child = Child("control-plane", [sys.executable, *arguments], environment, home / "log")
    try:
        while not (rows := holders(database)):
            child.raise_if_ended()
        assert rows == [(str(database.model_path.resolve()),)]
        assert asked().returncode == 0
        refused = asked(MODEL_PATH=str(replace(database, model_path=home / "others").model_path))
        assert refused.returncode == 1
        assert "has a control plane with another registry" in refused.stderr
    finally:
        child.stop()
    assert holders(database) == []
    assert read_settings(environment).db_name == database.db_name


def holders(database: Settings) -> list[Any]:
    with psycopg.connect(**database.database_arguments()) as connection:
        is_made = connection.execute("SELECT to_regclass('leadscore.control_plane') IS NOT NULL").fetchone()
        return connection.execute(HOLDER).fetchall() if is_made == (True,) else []
