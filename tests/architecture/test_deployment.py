"""docker-compose.yml, the Dockerfiles and .env.example agree with one another, with the code and the lock files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from leadscore.settings import PROJECT_ROOT, Settings, read_settings
from tests.architecture.conftest import exec_form

Services = dict[str, dict[str, Any]]

COMPOSE_TEXT = (PROJECT_ROOT / "docker-compose.yml").read_text()
ENV_EXAMPLE = (PROJECT_ROOT / ".env.example").read_text()
SERVICE_KEYS = {
    *("build", "cap_drop", "command", "depends_on", "entrypoint", "env_file", "environment", "healthcheck"),
    *("image", "init"),
    *(
        "group_add",
        "logging",
        "ports",
        "profiles",
        "pull_policy",
        "read_only",
        "restart",
        "security_opt",
        "shm_size",
        "stop_grace_period",
        "tmpfs",
        "volumes",
    ),
}
HEALTHCHECK_KEYS = {"disable", "interval", "retries", "start_interval", "start_period", "test", "timeout"}
POSTGRES_NAMES = {"POSTGRES_DB", "POSTGRES_PASSWORD", "POSTGRES_USER"}
OF_MAKE_RUN_ALONE = {
    *("STATE_DIR", "DAGSTER_PORT", "CODE_SERVER_PORT", "EMBEDDED_DB_PORT", "CRM_DATA", "LOG_FILES", "LOG_FILE_BYTES"),
}
OF_GRAFANA = {"GRAFANA_PORT", "GRAFANA_PASSWORD", "GRAFANA_DB_USER", "GRAFANA_DB_PASSWORD", "GRAFANA_DB_SSLMODE"}
OF_COMPOSE_ALONE = {"PUBLISH_ADDRESS", "DAGSTER_PORT", "PROMETHEUS_PORT", *OF_GRAFANA}
# images of others to which we add files
IMAGES_OF_OTHERS = {"leadscore-prometheus", "leadscore-grafana"}
OUR_IMAGES = {"leadscore-serving", "leadscore-pipeline", *IMAGES_OF_OTHERS}
LOCK_OF_IMAGE = {
    "leadscore-serving": ("requirements/serving.txt", {"leadscore", "serving"}),
    "leadscore-pipeline": ("requirements/pipeline.txt", {"leadscore", "leadscore_assets"}),
}
REPORT_IMPORTS = """
import atexit, runpy, sys
before = set(sys.modules)
atexit.register(lambda: print(*set(sys.modules) - before))
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def environment_names_in(path: str) -> set[str]:
    """Return the variables that one of Dagster's files reads."""
    return set(re.findall(r"\{env: (\w+)\}", (PROJECT_ROOT / path).read_text()))


def needs_of(service: dict[str, Any]) -> set[str]:
    """Return the services that this one waits for."""
    return set(service.get("depends_on", {}))


def needs(services: Services, name: str) -> set[str]:
    """Return all services that start before this one."""
    direct = needs_of(services[name])
    return direct.union(*(needs(services, other) for other in direct))


def test_compose_uses_no_key_that_compose_does_not_know(services: Services) -> None:
    top = set(yaml.safe_load(COMPOSE_TEXT))
    assert {key for key in top if not key.startswith("x-")} == {"name", "services", "volumes"}
    for service in services.values():
        assert set(service) <= SERVICE_KEYS
        assert set(service.get("healthcheck", {})) <= HEALTHCHECK_KEYS
        assert service["restart"] in {"no", "unless-stopped"}


def test_services_wait_only_for_what_can_happen(services: Services, images: dict[str, Any]) -> None:
    for service in services.values():
        for name, wanted in service.get("depends_on", {}).items():
            other = services[name]
            if wanted["condition"] == "service_healthy":
                assert "test" in other.get("healthcheck", {}) or images[other["image"]].health_command()
            else:
                assert wanted["condition"] == "service_completed_successfully"
                assert other["restart"] == "no"


def test_an_image_is_built_once_and_before_whoever_uses_it(services: Services) -> None:
    for image in OUR_IMAGES:
        users = {name for name, service in services.items() if service["image"] == image}
        (builder,) = (name for name in users if "build" in services[name])
        assert (PROJECT_ROOT / services[builder]["build"]["dockerfile"]).is_file()
        assert all(builder in needs(services, name) for name in users - {builder})


def test_no_registry_is_asked_for_an_image_of_ours(services: Services) -> None:
    for service in services.values():
        expected = None if service["image"] not in OUR_IMAGES else "build" if "build" in service else "never"
        assert service.get("pull_policy") == expected


def test_images_of_others_are_pinned(services: Services, images: dict[str, Any]) -> None:
    others = {service["image"] for service in services.values()} - OUR_IMAGES
    others |= {name for image in IMAGES_OF_OTHERS for name in images[image].all("FROM")}
    assert len(others) == 3
    assert all(re.fullmatch(r"[\w./-]+:v?\d[\w.]*", image) for image in others)


def test_a_postgresql_is_started_only_where_none_is_named(services: Services) -> None:
    profiles = {name: service["profiles"] for name, service in services.items() if "profiles" in service}
    assert profiles == {"postgres": ["postgres"], "backup": ["backup"], "grafana": ["grafana"]}
    assert re.findall(r"^COMPOSE_PROFILES=(.*)$", ENV_EXAMPLE, re.MULTILINE) == ["postgres"]
    waiting = [service["depends_on"]["postgres"] for service in services.values() if "postgres" in needs_of(service)]
    assert waiting == [{"condition": "service_healthy", "required": False}]


def test_our_containers_write_to_volumes_and_bounded_memory_alone(services: Services) -> None:
    for service in services.values():
        if service["image"] in OUR_IMAGES - IMAGES_OF_OTHERS:
            assert service["read_only"] is True
            assert all(re.fullmatch(r"/tmp:size=\dg", place) for place in service.get("tmpfs", []))
            assert "no-new-privileges:true" in service["security_opt"]


def test_a_check_is_asked_often_until_it_succeeds_once(services: Services, images: dict[str, Any]) -> None:
    for service in services.values():
        check = service.get("healthcheck", {})
        assert "start_period" not in check or "start_interval" in check
    for image in images.values():
        assert all("--start-interval=" in check for check in image.all("HEALTHCHECK"))


@pytest.mark.parametrize("name", LOCK_OF_IMAGE)
def test_an_image_can_be_used_when_its_checkout_was_made_for_its_owner_alone(images: dict[str, Any], name: str) -> None:
    order = [(instruction, text) for instruction, text in images[name].instructions if instruction in {"COPY", "RUN"}]
    (opened,) = (place for place, (_, text) in enumerate(order) if "a+rX" in text)
    copied = [place for place, (instruction, _) in enumerate(order) if instruction == "COPY"]
    assert max(copied) < opened
    targets = {text.split()[-1] for instruction, text in order if instruction == "COPY"}
    outside = {target for target in targets if target.startswith("/")}
    assert exec_form(order[opened][1]) == ["chmod", "--recursive", "a+rX", "/app", *outside]


def test_every_volume_is_declared_and_used_and_every_mounted_file_exists(
    services: Services, compose: Callable[..., dict[str, Any]]
) -> None:
    sources = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    assert {source for source in sources if "/" not in source} == set(compose(DB_PASSWORD="p")["volumes"])
    assert all((PROJECT_ROOT / source).is_file() for source in sources if "/" in source)


def test_nothing_is_published_beyond_this_machine_until_somebody_says_so(services: Services) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert {name for name, service in services.items() if "ports" in service} == {
        "serving",
        "dagster-webserver",
        "prometheus",
        "grafana",
    }
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_refuses_to_start_without_a_password_and_holds_none(compose: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(Exception, match=r"set DB_PASSWORD"):
        compose()
    given = re.findall(r"(\w*PASSWORD): (.*)", COMPOSE_TEXT)
    assert len(given) == 4
    of_database = [value for name, value in given if name != "GF_SECURITY_ADMIN_PASSWORD"]
    assert all("${DB_PASSWORD:?" in value for value in of_database)
    assert dict(given)["GF_SECURITY_ADMIN_PASSWORD"] == "${GRAFANA_PASSWORD:-}"


def test_grafana_does_not_start_without_a_password_of_its_own(services: Services, tmp_path: Path) -> None:
    [shell, option, script] = services["grafana"]["entrypoint"]
    started = script.replace("/run.sh", "echo started")
    for password, code, said in (("", 1, "set GRAFANA_PASSWORD in .env\n"), ("s3cret", 0, "started\n")):
        done = subprocess.run(
            [shell, option, started],
            env={"PATH": "/usr/bin:/bin", "GF_SECURITY_ADMIN_PASSWORD": password},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout + done.stderr) == (code, said)


def test_every_variable_of_compose_is_in_the_example_file() -> None:
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE_TEXT))
    assert used <= set(re.findall(r"^#(\w+)=", ENV_EXAMPLE, re.MULTILINE))


def test_every_name_in_a_containers_environment_means_something(services: Services) -> None:
    settings = {setting.name.upper() for setting in fields(Settings)}
    of_grafana = {
        "PROMETHEUS_URL",
        *OF_GRAFANA,
        *(name for name in services["grafana"]["environment"] if "GF_" in name),
    }
    of_dagster = {"DAGSTER_HOME"} | environment_names_in("dagster.yaml") | environment_names_in("workspace.yaml")
    for service in services.values():
        assert set(service.get("environment", {})) <= settings | of_dagster | of_grafana | POSTGRES_NAMES


def test_containers_of_the_pipeline_have_every_variable_that_dagsters_files_read(services: Services) -> None:
    read = environment_names_in("dagster.yaml") | environment_names_in("workspace.yaml")
    assert len(read) == 7
    for service in services.values():
        if service["image"] == "leadscore-pipeline":
            assert read <= set(service["environment"])


def test_containers_agree_on_the_database_the_registry_and_one_another(services: Services) -> None:
    read = {name: read_settings(service["environment"]) for name, service in services.items() if "init" in service}
    assert len(read) == 6
    assert {settings.db_host for settings in read.values()} == {"postgres"}
    assert {settings.db_password for settings in read.values()} == {"p4ss"}
    assert {str(settings.model_path) for settings in read.values()} == {"/models"}
    assert all("models:/models" in services[name]["volumes"] for name in read)
    assert read["serving"].host == "0.0.0.0"
    assert read["serving"].dagster_url == "http://dagster-webserver:3000"
    assert read["code-server"].link("/docs") == "http://localhost:5000/docs"
    assert services["dagster-daemon"]["environment"]["DAGSTER_CODE_SERVER_HOST"] in services


def test_the_example_file_has_every_setting_with_its_meaning_and_default() -> None:
    shown = {name: (says, value) for says, name, value in re.findall(r"^# (.*)\n#(\w+)=(.*)$", ENV_EXAMPLE, re.M)}
    settings = {setting.name.upper(): setting for setting in fields(Settings)}
    assert set(shown) == set(settings) - OF_MAKE_RUN_ALONE | OF_COMPOSE_ALONE
    assert len(re.findall(r"^#\w+=", ENV_EXAMPLE, re.MULTILINE)) == len(shown)
    for name in set(shown) - OF_COMPOSE_ALONE:
        says, value = shown[name]
        assert says == settings[name].metadata["meaning"]
        assert getattr(read_settings({name: value}), name.lower()) == settings[name].default
        assert (value == "") == (settings[name].default is None)


def test_what_only_compose_reads_is_shown_with_composes_default() -> None:
    shown = dict(re.findall(r"^#(\w+)=(.*)$", ENV_EXAMPLE, re.MULTILINE))
    for name in OF_COMPOSE_ALONE:
        # where it is empty, another setting's value may stand in its place
        assert f"${{{name}:-{shown[name]}" + ("}" if shown[name] else "") in COMPOSE_TEXT


@pytest.mark.parametrize("name", LOCK_OF_IMAGE)
def test_an_image_installs_its_lock_file_and_nothing_else(images: dict[str, Any], name: str) -> None:
    lock, _ = LOCK_OF_IMAGE[name]
    installs = [line for line in images[name].all("RUN") if "install" in line and "useradd" not in line]
    assert len(installs) == 1
    assert f'"--require-hashes", "-r", "{lock}"]' in installs[0]
    assert f"{lock} {lock}" in images[name].all("COPY")


@pytest.mark.parametrize("name", LOCK_OF_IMAGE)
def test_an_image_copies_only_what_exists_and_is_not_hidden_from_the_builder(images: dict[str, Any], name: str) -> None:
    admitted = set(re.findall(r"^!(\S+)$", (PROJECT_ROOT / ".dockerignore").read_text(), re.MULTILINE))
    sources = [Path(copied.split()[0]) for copied in images[name].all("COPY")]
    assert all((PROJECT_ROOT / source).exists() for source in sources)
    assert {source.parts[0] for source in sources} <= admitted
    assert {str(source) for source in sources if (PROJECT_ROOT / source).is_dir()} == LOCK_OF_IMAGE[name][1]


def test_nothing_reaches_the_builder_that_no_image_copies(images: dict[str, Any]) -> None:
    lines = [line for line in (PROJECT_ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    lines_of = [line.split() for image in images.values() for line in image.all("COPY")]
    files = {word for words in lines_of for word in words[:-1] if not word.startswith("--")}
    copied = {file if file.startswith("deploy/") else Path(file).parts[0] for file in files}
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied


def test_images_share_one_python_that_we_support_and_one_user_that_is_not_root(images: dict[str, Any]) -> None:
    ours = [images[name] for name in LOCK_OF_IMAGE]
    (base,) = {image.all("FROM")[0] for image in ours}
    (user,) = {image.all("USER")[-1] for image in ours}
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    assert base.removeprefix("python:").removesuffix("-slim") in SpecifierSet(project["requires-python"])
    assert int(user) > 0
    for image in ours:
        assert f"--uid {user} " in " ".join(image.all("RUN"))


@pytest.mark.parametrize("name", LOCK_OF_IMAGE)
def test_code_of_an_image_imports_nothing_that_the_image_lacks(name: str) -> None:
    lock, packages = LOCK_OF_IMAGE[name]
    imported = set[str]().union(*(imports_of(PROJECT_ROOT / package) for package in packages))
    assert {"msgspec", "numpy"} <= imported
    assert lacking(imported - packages, lock) == set()


def test_the_simulator_runs_in_the_pipelines_image_as_compose_says() -> None:
    (advised,) = re.findall(r"setup python -m (standalone simulate --into-database)$", COMPOSE_TEXT, re.MULTILINE)
    words = advised.replace("--into-database", "--help").split()  # the same imports, without a database
    command = [sys.executable, "-c", REPORT_IMPORTS, *words]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert {"psycopg", "standalone"} <= loaded
    assert lacking(loaded & set(packages_distributions()), "requirements/pipeline.txt") == set()


def lacking(modules: set[str], lock: str) -> set[str]:
    """Return those of the top-level modules that are neither Python's own nor of a distribution in the lock file."""
    locked = {
        canonicalize_name(pin)
        for pin in re.findall(r"^([\w.-]+)(?:\[.*?\])?==", (PROJECT_ROOT / lock).read_text(), re.M)
    }
    found = packages_distributions()
    others = modules - sys.stdlib_module_names
    return {module for module in others if not {canonicalize_name(name) for name in found.get(module, ())} & locked}


def imports_of(package: Path) -> set[str]:
    """Return the top-level names that a package's modules import, also inside functions."""
    nodes = [node for path in package.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    from_others = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in plain | from_others}
