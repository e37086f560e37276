"""The manifests in deploy/kubernetes: the schemas take them, and they agree with the app, the images, the settings."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from leadscore.registry.store import Registry
from leadscore.settings import PROJECT_ROOT, Settings, read_settings
from leadscore.tokens import SCOPES, Tokens
from leadscore_assets.webserver.guard import Guard, Names
from serving.app import create_app
from tests.architecture.conftest import Image
from tests.architecture.manifests import (
    FOLDER,
    OVERLAY,
    WITH_VOLUME,
    built,
    chart_values,
    charts_instance,
    environment_of,
    pods_of,
)
from tests.docs.documents import blocks

Manifests = list[dict[str, Any]]
Services = dict[str, dict[str, Any]]

# the oldest release of Kubernetes that these manifests are for, and the newest whose schemas are here
RELEASES = ("1.30", kubernetes_validate.latest_version().removesuffix(".0"))
# of the Prometheus Operator, which brings its schema into the cluster
WITHOUT_A_SCHEMA = {"ServiceMonitor"}
SECRETS = {
    "leadscore-database": {"postgresql-password"},
    "leadscore-tokens": {"tokens.json"},
    "leadscore-dagster-token": {"dagster_token"},
    "leadscore-metrics-token": {"token"},
}
MADE_BY_THE_CHART = {"dagster-instance"}
DOCUMENT = (PROJECT_ROOT / "docs" / "kubernetes.md").read_text()
KUBECTL = shutil.which("kubectl")


@pytest.fixture(scope="module", params=[OVERLAY, WITH_VOLUME], ids=lambda folder: folder.name)
def overlay(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture(scope="module")
def manifests(overlay: Path) -> Manifests:
    return built(overlay)


@pytest.fixture(scope="module")
def containers(manifests: Manifests) -> dict[str, dict[str, Any]]:
    """Give the one container of each pod."""
    return {name: pod["containers"][0] for name, pod in pods_of(manifests).items()}


def of_kind(manifests: Manifests, kind: str) -> dict[str, dict[str, Any]]:
    return {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == kind}


def labels_of_pods(manifests: Manifests) -> dict[str, dict[str, str]]:
    names = pods_of(manifests)
    return {
        manifest["metadata"]["name"]: manifest["spec"]["template"]["metadata"]["labels"]
        for manifest in manifests
        if manifest["metadata"]["name"] in names and manifest["kind"] in {"Deployment", "Job"}
    }


def chart_pods() -> dict[str, dict[str, Any]]:
    """Return what our values say of the chart's pods: the code server and the daemon."""
    values = chart_values()
    (code_server,) = values["dagster-user-deployments"]["deployments"]
    return {"code-server": code_server, "daemon": values["dagsterDaemon"]}


def walked(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping within."""
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walked(value)


@pytest.mark.parametrize("release", RELEASES)
def test_kubernetes_schemas_take_every_manifest(manifests: Manifests, release: str) -> None:
    checked = [manifest for manifest in manifests if manifest["kind"] not in WITHOUT_A_SCHEMA]
    assert len(checked) == len(manifests) - 1 >= 18
    for manifest in checked:
        kubernetes_validate.validate(manifest, release, strict=True)


def test_a_schema_refuses_a_field_that_kubernetes_does_not_know(manifests: Manifests) -> None:
    deployment = of_kind(manifests, "Deployment")["leadscore-server"]
    misspelt = {**deployment, "spec": {**deployment["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(misspelt, RELEASES[-1], strict=True)


@pytest.mark.skipif(not KUBECTL, reason="kubectl is not installed here")
def test_kustomize_makes_of_the_folder_what_these_tests_look_at(manifests: Manifests, overlay: Path) -> None:
    assert KUBECTL is not None
    done = subprocess.run([KUBECTL, "kustomize", overlay], capture_output=True, text=True, check=True, timeout=60)
    assert in_any_order(list(yaml.safe_load_all(done.stdout))) == in_any_order(manifests)


def in_any_order(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: in_any_order(value) for name, value in node.items()}
    if isinstance(node, list):
        return sorted(map(in_any_order, node), key=lambda item: json.dumps(item, sort_keys=True))
    return node


def test_every_file_of_the_folder_is_used() -> None:
    named = {FOLDER / "dagster-values.yaml"}
    for path in FOLDER.rglob("kustomization.yaml"):
        wanted = yaml.safe_load(path.read_text())
        named |= {path, *((path.parent / name).resolve() for name in wanted["resources"])}
        named |= {path.parent / patch["path"] for patch in wanted.get("patches", [])}
    assert {path for path in FOLDER.rglob("*") if path.is_file()} == {path for path in named if path.is_file()}


def test_no_process_is_root_or_writes_beyond_its_volumes_or_lacks_a_limit(manifests: Manifests) -> None:
    ours = [(pod["securityContext"], pod["containers"][0]) for pod in pods_of(manifests).values()]
    charts = [(pod["podSecurityContext"], pod) for pod in chart_pods().values()]
    assert len(ours) == 4
    for pod, container in [*ours, *charts]:
        assert pod["runAsNonRoot"] is True
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]) == {"requests", "limits"}
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_the_users_number_is_the_images(manifests: Manifests, images: dict[str, Image]) -> None:
    contexts = [pod["securityContext"] for pod in pods_of(manifests).values()]
    contexts += [pod["podSecurityContext"] for pod in chart_pods().values()]
    numbers = {context[name] for context in contexts for name in ("runAsUser", "runAsGroup", "fsGroup")}
    assert {str(number) for number in numbers} == {
        images[name].all("USER")[-1] for name in ("leadscore-serving", "leadscore-pipeline")
    }


def test_only_the_webserver_may_ask_the_cluster_and_for_the_ends_of_runs_alone(manifests: Manifests) -> None:
    asking = {name for name, pod in pods_of(manifests).items() if pod["automountServiceAccountToken"]}
    assert asking == {"leadscore-dagster"}
    rules = of_kind(manifests, "Role")["leadscore-dagster"]["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "delete"}
    assert {resource for rule in rules if "delete" in rule["verbs"] for resource in rule["resources"]} == {
        "jobs",
        "jobs/status",
    }
    (subject,) = of_kind(manifests, "RoleBinding")["leadscore-dagster"]["subjects"]
    assert subject["name"] in of_kind(manifests, "ServiceAccount")


def test_containers_run_images_of_ours_at_one_release(containers: dict[str, dict[str, Any]]) -> None:
    release = re.findall(r'^version = "(.*)"$', (PROJECT_ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    named = {container["image"] for container in containers.values()}
    named |= {"{repository}:{tag}".format(**pod["image"]) for pod in chart_pods().values()}
    assert named == {f"registry.example/{name}:{release[0]}" for name in ("leadscore-serving", "leadscore-pipeline")}


def test_every_folder_that_is_mounted_is_in_the_image(
    containers: dict[str, dict[str, Any]], images: dict[str, Image]
) -> None:
    mounts = [(container["image"], container) for container in containers.values()]
    mounts += [(pod["image"]["repository"], pod) for pod in chart_pods().values()]
    for image, container in mounts:
        made = " ".join(images[re.split("[:/]", image)[1]].all("RUN")).split()
        places = {mount["mountPath"] for mount in container["volumeMounts"]} - {"/tmp", "/dagster/dagster.yaml"}
        assert places <= set(made)
        assert {"/tmp"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


def test_containers_run_what_compose_runs(
    containers: dict[str, dict[str, Any]], services: Services, images: dict[str, Image]
) -> None:
    # compose's commands are started by test_deployment_runs
    assert containers["leadscore-server"]["command"] == images["leadscore-serving"].command()
    assert containers["leadscore-dagster"]["command"] == services["dagster-webserver"]["command"]
    assert containers["leadscore-set-up"]["command"] == services["setup"]["command"]
    code_server = chart_pods()["code-server"]
    started = ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", str(code_server["port"])]
    in_image = images["leadscore-pipeline"].command()[2:]
    assert sorted(started + code_server["dagsterApiGrpcArgs"]) == sorted(in_image)


def test_names_in_an_environment_mean_something_and_their_values_are_valid(
    manifests: Manifests, containers: dict[str, dict[str, Any]]
) -> None:
    known = {setting.name.upper() for setting in fields(Settings)}
    known |= {"DAGSTER_PG_PASSWORD", "DAGSTER_CODE_SERVER_HOST", "DAGSTER_CODE_SERVER_PORT"}
    for name, container in containers.items():
        environment = environment_of(container, manifests)
        assert set(environment) <= known
        settings = read_settings(environment)
        assert (settings.db_host, settings.db_name, settings.db_user) == ("db.example", "crm", "leadscore")
        assert settings.db_password == "s3cret"
        assert (settings.host == "0.0.0.0") == (name == "leadscore-server")


def test_services_never_set_a_setting(manifests: Manifests) -> None:
    # Kubernetes gives each container the addresses of Services in variables named after them
    assert all(pod["enableServiceLinks"] is False for pod in pods_of(manifests).values())
    names = {
        *of_kind(manifests, "Service"),
        *(pod["name"] for pod in [chart_pods()["code-server"]]),
        "dagster-webserver",
    }
    made = {
        f"{name}_{end}".upper().replace("-", "_") for name in names for end in ("PORT", "SERVICE_HOST", "SERVICE_PORT")
    }
    assert made.isdisjoint(setting.name.upper() for setting in fields(Settings))


def test_secrets_are_named_and_never_held(manifests: Manifests, containers: dict[str, dict[str, Any]]) -> None:
    assert of_kind(manifests, "Secret") == {}
    for container in containers.values():
        literal = {variable["name"] for variable in container["env"] if "value" in variable}
        assert not {name for name in literal if re.search("PASSWORD|TOKEN$|SECRET", name)}
    used: dict[str, set[str]] = {}
    for node in walked([manifests, chart_values()]):
        for reference in (node.get("secretKeyRef"), node.get("credentials")):
            if reference:
                used.setdefault(reference["name"], set()).add(reference["key"])
        if "secret" in node:
            used.setdefault(node["secret"]["name"], set())
        if "secretRef" in node:  # what the library of the object store reads
            assert node["secretRef"] == {"name": "leadscore-object-store", "optional": True}
    mounted = {"leadscore-tokens": {"tokens.json"}, "leadscore-dagster-token": {"dagster_token"}}
    assert {name: keys | mounted.get(name, set()) for name, keys in used.items()} == SECRETS


def test_all_who_use_the_registry_reach_it(manifests: Manifests, containers: dict[str, Any], overlay: Path) -> None:
    has_volume = overlay == WITH_VOLUME
    values = chart_values(with_volume=has_volume)
    (code_server,) = values["dagster-user-deployments"]["deployments"]
    runs = values["runLauncher"]["config"]["k8sRunLauncher"]
    parts = [containers["leadscore-server"], containers["leadscore-control-plane"], code_server, runs]
    for part in [*parts, values["dagsterDaemon"]]:
        assert ({"name": "models", "mountPath": "/models"} in part["volumeMounts"]) == has_volume
    for pod in [code_server, runs, values["dagsterDaemon"], *pods_of(manifests).values()]:
        claims = {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["volumes"]
            if len(volume) > 1 and "persistentVolumeClaim" in volume
        }
        assert claims <= set(of_kind(manifests, "PersistentVolumeClaim"))
    place = read_settings(environment_of(containers["leadscore-server"], manifests)).model_path
    assert str(place) == ("/models" if has_volume else "s3://bucket/models")
    if not has_volume:
        credentials = {"secretRef": {"name": "leadscore-object-store", "optional": True}}
        assert all(credentials in container["envFrom"] for container in parts[:2])
        assert runs["runK8sConfig"]["containerConfig"]["envFrom"] == [credentials]
        for pod in (code_server, values["dagsterDaemon"]):
            assert pod["envSecrets"] == [credentials["secretRef"]]


def test_tokens_are_read_where_the_secrets_are_mounted(manifests: Manifests, containers: dict[str, Any]) -> None:
    for name in ("leadscore-server", "leadscore-dagster"):
        environment = environment_of(containers[name], manifests)
        files = {key for source in pods_of(manifests)[name]["volumes"] for key in keys_of(source)}
        assert {environment["TOKENS_FILE"], environment["DAGSTER_TOKEN_FILE"]} == {f"/tokens/{key}" for key in files}


def keys_of(volume: dict[str, Any]) -> set[str]:
    sources = volume.get("projected", {}).get("sources", [])
    return {key for source in sources for key in SECRETS[source["secret"]["name"]]}


def test_a_server_reads_tokens_behind_the_links_that_a_secret_is_mounted_as(tmp_path: Path) -> None:
    text, _ = Tokens(tmp_path / "made.json").new(scopes=["read"], orgs=["acme"])
    release, link = tmp_path / "..2026_06_01", tmp_path / "..data"
    release.mkdir()
    (tmp_path / "made.json").rename(release / "tokens.json")
    link.symlink_to(release.name)
    (tmp_path / "tokens.json").symlink_to("..data/tokens.json")
    tokens = Tokens(tmp_path / "tokens.json")
    assert tokens.find(text) is not None
    # a changed Secret is a new folder, to which the link moves
    (changed := tmp_path / "..2026_06_02").mkdir()
    (changed / "tokens.json").write_text('{"tokens": []}')
    (moved := tmp_path / "..data_tmp").symlink_to(changed.name)
    moved.replace(link)
    assert tokens.find(text) is None


def test_every_part_that_is_named_is_there(manifests: Manifests) -> None:
    there = {kind: set(of_kind(manifests, kind)) for kind in ("ConfigMap", "PersistentVolumeClaim", "ServiceAccount")}
    there["ConfigMap"] |= MADE_BY_THE_CHART
    for node in walked([manifests, chart_values()]):
        if "configMapRef" in node:
            assert node["configMapRef"]["name"] in there["ConfigMap"]
        if "configMap" in node:
            assert node["configMap"]["name"] in there["ConfigMap"]
        if "claimName" in node:
            assert node["claimName"] in there["PersistentVolumeClaim"]
        if "serviceAccountName" in node:
            assert node["serviceAccountName"] in there["ServiceAccount"]
    for pod in pods_of(manifests).values():
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == volumes


def test_selectors_meet_pods_and_ports_their_names(manifests: Manifests, containers: dict[str, Any]) -> None:
    labels = labels_of_pods(manifests)
    for name, service in of_kind(manifests, "Service").items():
        assert service["spec"]["selector"].items() <= labels[name].items()
        (port,), (opened,) = service["spec"]["ports"], containers[name]["ports"]
        assert (port["targetPort"], port["port"]) == (opened["name"], opened["containerPort"])
    for name, deployment in of_kind(manifests, "Deployment").items():
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels[name].items()
    budget = of_kind(manifests, "PodDisruptionBudget")["leadscore-server"]["spec"]
    assert budget["selector"]["matchLabels"].items() <= labels["leadscore-server"].items()
    scaler = of_kind(manifests, "HorizontalPodAutoscaler")["leadscore-server"]["spec"]
    assert scaler["scaleTargetRef"]["name"] in of_kind(manifests, "Deployment")
    # one may be drained while another answers
    assert scaler["minReplicas"] > budget["maxUnavailable"]
    assert "replicas" not in of_kind(manifests, "Deployment")["leadscore-server"]["spec"]


def test_only_pods_that_need_a_port_may_reach_it(manifests: Manifests) -> None:
    policies = {name: policy["spec"] for name, policy in of_kind(manifests, "NetworkPolicy").items()}
    nobody = policies.pop("leadscore-nobody")
    assert nobody["podSelector"] == {}
    assert nobody["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in nobody
    labels = labels_of_pods(manifests)
    charts = [{"component": "user-deployments", "deployment": chart_pods()["code-server"]["name"]}]
    charts.append({"component": "dagster-daemon"})
    admitted = {}
    for name, policy in policies.items():
        (rule,) = policy["ingress"]
        selectors = [policy["podSelector"], *(peer["podSelector"] for peer in rule["from"] if "podSelector" in peer)]
        for selector in selectors:
            assert any(selector["matchLabels"].items() <= pod.items() for pod in [*labels.values(), *charts])
        (port,) = rule["ports"]
        admitted[name] = port["port"]
    assert admitted == {"leadscore-server": 5000, "leadscore-dagster": 3000, "leadscore-code-server": 4000}
    within = {port["port"] for rule in nobody["egress"] if "to" in rule for port in rule["ports"]}
    assert within == {3000, 4000}  # nobody within asks the HTTP server


@pytest.fixture
def server(manifests: Manifests, containers: dict[str, Any], tmp_path: Path) -> Any:
    """Give a client of the HTTP server with the environment of its container."""
    settings = read_settings(environment_of(containers["leadscore-server"], manifests))
    (tmp_path / "dagster_token").write_text("internal-secret-of-our-server")
    Registry(tmp_path / "models").registry_id()
    settings = replace(
        settings,
        model_path=tmp_path / "models",
        tokens_file=tmp_path / "tokens.json",
        dagster_token_file=tmp_path / "dagster_token",
        db_host="127.0.0.1",
        db_port=1,
    )
    Tokens(settings.tokens_file).new(scopes=["metrics"], orgs=["*"])
    return create_app(settings).test_client()


def test_the_servers_probes_ask_routes_that_answer_without_token_database_and_name(
    containers: dict[str, Any], server: Any
) -> None:
    container = containers["leadscore-server"]
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[kind]["httpGet"]
        assert asked["port"] in {port["name"] for port in container["ports"]}
        assert server.get(asked["path"], headers={"Host": "10.1.2.3:5000"}).status_code == 200, kind
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"


def test_the_webservers_probes_pass_its_guard_by_the_name_that_they_send(
    containers: dict[str, Any], manifests: Manifests, tmp_path: Path
) -> None:
    container = containers["leadscore-dagster"]
    settings = read_settings(environment_of(container, manifests))
    names = Names.of(settings.allowed_hosts or (), settings.dagster_url, public_url=settings.dagster_public_url)
    guard = Guard(app, app, names=names, tokens=Tokens(tmp_path / "t"), asks=lambda: True, internal_token=None)
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[kind]["httpGet"]
        (header,) = asked["httpHeaders"]
        assert status_of(guard, asked["path"], header["value"]) == 200, kind
        assert status_of(guard, asked["path"], "10.1.2.3:3000") == 421, "the header is not needed"
    # by what the HTTP server sends, the guard knows it
    assert status_of(guard, "/server_info", settings.dagster_url.removeprefix("http://")) == 200


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def status_of(guard: Guard, path: str, host: str) -> int:
    """Return the status of a request to the guard."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [(b"host", host.encode())]}
    asyncio.run(guard({**scope, "scheme": "http", "client": ("10.0.0.1", 1)}, receive, send))
    return int(sent[0]["status"])


def test_prometheus_scrapes_the_route_with_its_token_under_the_job_of_the_alerts(
    manifests: Manifests, server: Any
) -> None:
    spec = of_kind(manifests, "ServiceMonitor")["leadscore-server"]["spec"]
    service = of_kind(manifests, "Service")["leadscore-server"]
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert server.get(endpoint["path"]).status_code == 401
    alerts = (PROJECT_ROOT / "deploy" / "alerts.yml").read_text()
    assert set(re.findall(r'job="(.*?)"', alerts)) == {service["metadata"]["labels"][spec["jobLabel"]]}


def test_the_grace_before_a_kill_is_longer_than_a_stop_takes(manifests: Manifests, services: Services) -> None:
    pod = pods_of(manifests)["leadscore-server"]
    _, seconds = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    of_compose = int(services["serving"]["stop_grace_period"].removesuffix("s"))
    assert pod["terminationGracePeriodSeconds"] >= of_compose + int(seconds)


def test_the_chart_has_our_own_database_settings(manifests: Manifests) -> None:
    settings = of_kind(manifests, "ConfigMap")["leadscore-settings"]["data"]
    database = chart_values()["postgresql"]
    assert settings["DB_HOST"] == database["postgresqlHost"]
    assert settings["DB_NAME"] == database["postgresqlDatabase"]
    assert settings["DB_USER"] == database["postgresqlUsername"]
    assert settings["DB_PORT"] == str(database["service"]["port"])
    limits = limits_by_tag(charts_instance(chart_values()))
    assert settings["SCORING_SHARDS"] == settings["TRAINING_SHARDS"] == str(limits["leadscore/shard"]["limit"])
    queue = chart_values()["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert queue["maxConcurrentRuns"] > limits["leadscore/shard"]["limit"]


def test_the_charts_code_location_is_the_one_that_our_parts_ask(manifests: Manifests) -> None:
    settings = of_kind(manifests, "ConfigMap")["leadscore-settings"]["data"]
    code_server = chart_pods()["code-server"]
    (ours,) = yaml.safe_load((PROJECT_ROOT / "workspace.yaml").read_text())["load_from"]
    assert code_server["name"] == ours["grpc_server"]["location_name"] == settings["DAGSTER_CODE_SERVER_HOST"]
    assert str(code_server["port"]) == settings["DAGSTER_CODE_SERVER_PORT"]


def test_dagsters_own_webserver_which_asks_for_no_token_does_not_run() -> None:
    webserver = chart_values()["dagsterWebserver"]
    assert webserver == {"replicaCount": 0, "enableReadOnly": False}


def test_the_charts_instance_is_ours_but_for_what_a_cluster_does_otherwise() -> None:
    ours = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())
    theirs = charts_instance(chart_values())
    for part in ("run_retries", "retention", "telemetry", "nux", "schedules", "sensors"):
        assert theirs.get(part, {"enabled": False}) == ours[part]
    ours_storage, theirs_storage = (
        ours["storage"]["postgres"]["postgres_db"],
        theirs["run_storage"]["config"]["postgres_db"],
    )
    for part in ("scheme", "params"):
        assert theirs_storage[part] == ours_storage[part]
    assert set(theirs_storage) == set(ours_storage)
    limits, theirs_limits = (limits_by_tag(instance) for instance in (ours, theirs))
    assert theirs_limits.keys() == limits.keys(), "name the same tags in deploy/kubernetes/dagster-values.yaml"
    assert theirs_limits["dagster/partition"] == limits["dagster/partition"]
    assert theirs["run_monitoring"]["enabled"] is ours["run_monitoring"]["enabled"] is True


def limits_by_tag(instance: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the limits on runs at once by the tag that they count."""
    return {limit["key"]: limit for limit in instance["run_coordinator"]["config"]["tag_concurrency_limits"]}


def test_the_document_names_the_releases_of_kubernetes_that_are_tested() -> None:
    assert "the schemas of Kubernetes {} and {}".format(*RELEASES) in " ".join(DOCUMENT.split())
    assert f"You need Kubernetes {RELEASES[0]} or newer" in DOCUMENT


def test_the_documents_command_installs_the_chart_of_our_release_of_dagster() -> None:
    assert re.findall(r"--version (\S+)", DOCUMENT) == [version("dagster")]


def test_the_documents_commands_make_the_secrets_that_are_named() -> None:
    made = re.findall(r"create secret generic (\S+) --from-file=(?:(\S+)=)?(\S+)", DOCUMENT)
    assert {name: {key or Path(path).name} for name, key, path in made} == SECRETS


def test_alerts_become_a_rule_of_the_operator_by_the_documents_command() -> None:
    (block,) = (block for block in blocks("sh", DOCUMENT) if "PrometheusRule" in block)
    command = block.replace(" | kubectl apply -f -", "")
    assert command != block
    done = subprocess.run(["bash", "-c", command], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    rule = yaml.safe_load(done.stdout)
    assert (rule["kind"], rule["apiVersion"]) == ("PrometheusRule", "monitoring.coreos.com/v1")
    assert rule["spec"] == yaml.safe_load((PROJECT_ROOT / "deploy" / "alerts.yml").read_text())


def test_the_documents_commands_make_the_files_of_the_secrets(tmp_path: Path) -> None:
    (block,) = (block for block in blocks("sh", DOCUMENT) if "mkdir" in block)
    command = block.replace("python -m", f"PYTHONPATH={PROJECT_ROOT} {sys.executable} -m")
    environment = {"PATH": os.environ["PATH"], "DB_PASSWORD": "s3cret"}
    done = subprocess.run(
        ["bash", "-ec", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    (text,) = re.findall(r"lsk_\w+", done.stdout)
    tokens = Tokens(tmp_path / "secrets" / "tokens.json")
    operator, prometheus = tokens.find(text), tokens.find((tmp_path / "secrets" / "token").read_text().strip())
    assert operator is not None
    assert set(operator.scopes) == set(SCOPES)
    assert prometheus is not None
    assert prometheus.scopes == ("metrics",)
    assert (tmp_path / "secrets" / "password").read_text() == "s3cret"
    sources = set(re.findall(r"--from-file=(?:\S+=)?(\S+)", DOCUMENT))
    assert sources == {f"secrets/{path.name}" for path in (tmp_path / "secrets").iterdir()}


def test_services_and_namespaces_that_the_document_names_are_there(manifests: Manifests) -> None:
    asked = set(re.findall(r"(leadscore-\w+)=true", DOCUMENT))
    selected = {key for node in walked(manifests) for key in node.get("namespaceSelector", {}).get("matchLabels", {})}
    assert asked == selected
    assert set(re.findall(r"svc/([\w-]+)", DOCUMENT)) <= set(of_kind(manifests, "Service"))
