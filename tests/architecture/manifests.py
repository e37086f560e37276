"""The manifests as Kubernetes would get them: what kustomize makes of a folder, and what Dagster's chart of our values.

Neither kustomize nor helm is needed here: both do little with our files, and this module does the same little.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from leadscore.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "deploy" / "kubernetes"
OVERLAY = FOLDER / "overlays" / "example"
WITH_VOLUME = FOLDER / "overlays" / "example-with-volume"
VALUES = FOLDER / "dagster-values.yaml"
# by what kustomize tells the items of a list apart
KEYS = ("mountPath", "name")
OF_THE_CLUSTER = {"Namespace"}

Manifest = dict[str, Any]


def built(folder: Path) -> list[Manifest]:
    """Return what `kubectl apply -k` would send for the folder."""
    wanted = _kustomization(folder)
    manifests = _resources(folder, wanted)
    for component in wanted.get("components", []):
        parts = _kustomization(folder / component)
        manifests += _resources(folder / component, parts)
        _patch(manifests, folder / component, parts)
    _patch(manifests, folder, wanted)
    for manifest in manifests:
        _name_images(manifest, wanted.get("images", []))
        _put_into(manifest, wanted.get("namespace"))
    return manifests


def pod_of(manifest: Manifest) -> dict[str, Any] | None:
    """Return the pod's specification of a Deployment or a Job; None for anything else."""
    spec = manifest.get("spec", {}).get("template", {}).get("spec")
    return spec if manifest["kind"] in {"Deployment", "Job"} else None


def pods_of(manifests: list[Manifest]) -> dict[str, dict[str, Any]]:
    """Return the specifications of the pods by the names of what makes them."""
    return {manifest["metadata"]["name"]: pod for manifest in manifests if (pod := pod_of(manifest))}


def environment_of(container: dict[str, Any], manifests: list[Manifest], secret: str = "s3cret") -> dict[str, str]:
    """Return the container's environment, with `secret` for whatever is in a Secret."""
    maps = {manifest["metadata"]["name"]: manifest["data"] for manifest in manifests if manifest["kind"] == "ConfigMap"}
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found |= maps[source["configMapRef"]["name"]]
    for variable in container.get("env", []):
        found[variable["name"]] = variable.get("value", secret)
    return found


def chart_values(*, with_volume: bool = False) -> dict[str, Any]:
    """Return our values for Dagster's chart; `with_volume` uncomments the lines for a registry on a volume."""
    text = VALUES.read_text()
    if with_volume:
        text, count = re.subn(r"# (- \{name: models, .*\}\n)", r"\1", text)
        assert count == 2
    return dict(yaml.safe_load(text))


def charts_instance(values: dict[str, Any]) -> dict[str, Any]:
    """Return the dagster.yaml that the chart's template makes of the values."""
    daemon, database = values["dagsterDaemon"], values["postgresql"]
    queue = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]
    monitoring = daemon["runMonitoring"]
    names = ("class", "config", "module")
    storage = {
        "username": database["postgresqlUsername"],
        "password": {"env": "DAGSTER_PG_PASSWORD"},
        "hostname": database["postgresqlHost"],
        "db_name": database["postgresqlDatabase"],
        "port": database["service"]["port"],
        "params": database["postgresqlParams"],
        "scheme": database["postgresqlScheme"],
    }
    classes = {
        "run_storage": ("dagster_postgres.run_storage", "PostgresRunStorage"),
        "event_log_storage": ("dagster_postgres.event_log", "PostgresEventLogStorage"),
        "schedule_storage": ("dagster_postgres.schedule_storage", "PostgresScheduleStorage"),
    }
    return {
        **{
            part: dict(zip(names, (name, {"postgres_db": storage}, module), strict=True))
            for part, (module, name) in classes.items()
        },
        "scheduler": {"module": "dagster.core.scheduler", "class": "DagsterDaemonScheduler"},
        "run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": _launcher(values)},
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": daemon["runCoordinator"]["type"],
            "config": {_snake(name): value for name, value in queue.items()},
        },
        "compute_logs": {
            "module": "dagster.core.storage.noop_compute_log_manager",
            "class": values["computeLogManager"]["type"],
        },
        "run_monitoring": {_snake(name): value for name, value in monitoring.items()},
        "schedules": {_snake(name): value for name, value in daemon["schedules"].items()},
        "sensors": {_snake(name): value for name, value in daemon["sensors"].items()},
        "telemetry": values["telemetry"],
        "retention": {
            part: {"purge_after_days": values["retention"][part]["purgeAfterDays"]} for part in ("schedule", "sensor")
        },
        **values["additionalInstanceConfig"],
    }


def _launcher(values: dict[str, Any]) -> dict[str, Any]:
    given = values["runLauncher"]["config"]["k8sRunLauncher"]
    name = values["global"]["fullnameOverride"]
    return {
        "load_incluster_config": given["loadInclusterConfig"],
        "job_namespace": "leadscore",
        "image_pull_policy": given["imagePullPolicy"],
        "service_account_name": name,
        "dagster_home": values["global"]["dagsterHome"],
        "instance_config_map": f"{name}-instance",
        "postgres_password_secret": values["global"]["postgresqlSecretName"],
        "env_config_maps": [source["name"] for source in given["envConfigMaps"]],
        "volume_mounts": given["volumeMounts"],
        "volumes": given["volumes"],
        "labels": given["labels"],
        "resources": given["resources"],
        "fail_pod_on_run_failure": given["failPodOnRunFailure"],
        "security_context": given["securityContext"],
        "run_k8s_config": {_snake(name): value for name, value in given["runK8sConfig"].items()},
    }


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _kustomization(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "kustomization.yaml").read_text()))


def _resources(folder: Path, wanted: dict[str, Any]) -> list[Manifest]:
    return [manifest for name in wanted.get("resources", []) for manifest in _resource(folder / name)]


def _resource(path: Path) -> Iterator[Manifest]:
    yield from built(path) if path.is_dir() else yaml.safe_load_all(path.read_text())


def _patch(manifests: list[Manifest], folder: Path, wanted: dict[str, Any]) -> None:
    for patch in wanted.get("patches", []):
        change = yaml.safe_load((folder / patch["path"]).read_text())
        (place,) = (place for place, manifest in enumerate(manifests) if _name(manifest) == _name(change))
        manifests[place] = _merged(manifests[place], change)


def _name(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def _merged(base: Any, change: Any) -> Any:
    """Return the base with the change, as a strategic merge patch makes it."""
    if isinstance(base, dict) and isinstance(change, dict):
        both = {name: _merged(base[name], change[name]) for name in base.keys() & change.keys()}
        return {**base, **change, **both}
    if isinstance(base, list) and isinstance(change, list) and all(isinstance(item, dict) for item in base + change):
        key = next(key for key in KEYS if all(key in item for item in base + change))
        items = {item[key]: item for item in base}
        items |= {item[key]: _merged(items.get(item[key], {}), item) for item in change}
        return list(items.values())
    return deepcopy(change)


def _name_images(manifest: Manifest, images: list[dict[str, str]]) -> None:
    names = {image["name"]: f"{image['newName']}:{image['newTag']}" for image in images}
    for container in (pod_of(manifest) or {}).get("containers", []):
        container["image"] = names.get(container["image"], container["image"])


def _put_into(manifest: Manifest, namespace: str | None) -> None:
    if namespace and manifest["kind"] not in OF_THE_CLUSTER:
        manifest["metadata"]["namespace"] = namespace
        for subject in manifest.get("subjects", []):
            subject["namespace"] = namespace
