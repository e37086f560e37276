"""The containers' own commands, with the environment that compose gives them, come up on this machine and are healthy.

Only what a machine without containers lacks is replaced: host names, ports and the folders that are volumes there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import urllib3
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.workspace.load import location_origins_from_yaml_paths

from leadscore.run_tags import SHARD_TAG
from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.commands.set_up_database import set_up
from standalone.postgres import HOST
from standalone.processes import Child
from standalone.state_dir import child_environment

UP_SECONDS = 120.0
ONCE = ("first-token", "metrics-token", "dagster-token", "setup")
OURS = (*ONCE, "code-server", "dagster-webserver", "dagster-daemon", "serving")

Here = Callable[[str], str]


@pytest.fixture
def here(tmp_path: Path, free_port: Callable[[], int]) -> Here:
    """Give a function that turns a container's host name, port or folder, within a text, into one of this test's."""
    ports = {port: str(free_port()) for port in ("3000", "4000", "5000")}
    folders = {
        f"/{name}": str(tmp_path / name) for name in ("models", "dagster", "tokens/tokens.json", "tokens/dagster_token")
    }
    folders |= {"/app": str(PROJECT_ROOT), "--into=/metrics-token/token": f"--into={tmp_path / 'metrics-token'}"}

    def translate(text: str) -> str:
        text = folders.get(text, text)
        text = re.sub(r"\b(code-server|dagster-webserver|serving(?=:)|0\.0\.0\.0)\b", HOST, text)
        return re.sub(r"\b(3000|4000|5000)\b", lambda match: ports[match[0]], text)

    return translate


class Container:
    """What compose would start for one service: command, health check and environment, as they are on this machine."""

    def __init__(self, name: str, service: dict[str, Any], image: Any, here: Here, folder: Path) -> None:
        self.name = name
        self.needs = set(service.get("depends_on", {}))
        command = service.get("command") or image.command()
        check = service["healthcheck"].get("test") if "healthcheck" in service else ["CMD", *image.health_command()]
        self.command = [here(word) for word in command]
        self.check = [here(word) for word in check[1:]] if check else []
        inside = {**image.environment(), **service["environment"]}
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            **{key: here(value) for key, value in inside.items()},
        }
        self.log_path = folder / f"{name}.log"

    def python(self, command: Sequence[str]) -> list[str]:
        """Return the command with this test's Python as the image's."""
        assert command[0] == "python"
        return [sys.executable, *command[1:]]

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in the container's environment to its end."""
        return subprocess.run(
            self.python(command),
            cwd=PROJECT_ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def start(self) -> Child:
        """Start the container's command."""
        return Child(self.name, self.python(self.command), self.environment, self.log_path)

    def wait_until_healthy(self, child: Child) -> None:
        """Repeat the health check until it passes."""
        deadline = time.monotonic() + UP_SECONDS
        while (done := self.run(self.check)).returncode:
            child.raise_if_ended()
            assert time.monotonic() < deadline, f"{self.name}: {done.stderr}\n{self.log_path.read_text()}"


@pytest.fixture
def containers(
    compose: Callable[..., dict[str, Any]], images: dict[str, Any], database: Settings, here: Here, tmp_path: Path
) -> dict[str, Container]:
    """Give what compose would start, over the test's own database and folders."""
    filled_in = compose(
        DB_HOST=database.db_host,
        DB_PORT=str(database.db_port),
        DB_NAME=database.db_name,
        DB_USER=database.db_user,
        DB_PASSWORD=database.db_password,
    )["services"]
    (tmp_path / "dagster" / "storage").mkdir(parents=True)
    for copied in images["leadscore-pipeline"].all("COPY"):
        source, target = copied.split()
        if target.startswith("/dagster/"):
            (tmp_path / target.removeprefix("/")).write_bytes((PROJECT_ROOT / source).read_bytes())
    order = TopologicalSorter({name: set(filled_in[name].get("depends_on", {})) for name in OURS}).static_order()
    return {
        name: Container(name, filled_in[name], images[filled_in[name]["image"]], here, tmp_path)
        for name in order
        if name in OURS
    }


def test_everything_comes_up_in_composes_order_and_every_health_check_passes(
    containers: dict[str, Container], tmp_path: Path
) -> None:
    assert set(containers) == set(OURS)
    printed = ""
    for name in [name for name in containers if name in ONCE] * 2:  # as a second `up` does
        done = containers[name].run(containers[name].command)
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    (token,) = re.findall(r"lsk_\w+", printed)
    with ExitStack() as stack:
        children: dict[str, Child] = {}
        for name, container in containers.items():
            if name in ONCE:
                continue
            assert container.run(container.check).returncode, f"{name} is healthy before it runs"
            for needed in container.needs & set(children):
                containers[needed].wait_until_healthy(children[needed])
            children[name] = container.start()
            stack.callback(children[name].stop)
        for name, child in children.items():
            containers[name].wait_until_healthy(child)
        port = containers["serving"].environment["PORT"]
        address = f"http://{HOST}:{port}"
        assert urllib3.request("GET", f"{address}/docs", retries=False).status == 401
        operator = {"Authorization": f"Bearer {token}"}
        health = urllib3.request("GET", f"{address}/health", headers=operator, retries=False).json()
        assert (health["database"], health["dagster"]) == ("up", "up")
        pages = f"{containers['serving'].environment['DAGSTER_URL']}/runs"
        assert urllib3.request("GET", pages, retries=False).status == 401
        assert urllib3.request("GET", pages, headers=operator, retries=False).status == 200
        prometheus = {"Authorization": f"Bearer {(tmp_path / 'metrics-token').read_text().strip()}"}
        assert urllib3.request("GET", f"{address}/metrics", headers=prometheus, retries=False).status == 200
        assert urllib3.request("GET", f"{address}/docs", headers=prometheus, retries=False).status == 403


@pytest.fixture
def dagster_environment(database: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set the environment that `make run` gives Dagster's processes, over a database that was set up."""
    set_up(database)
    database.state_dir.mkdir()
    environment = child_environment(database, {})
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


def test_dagsters_tables_are_in_a_schema_of_their_own(database: Settings, dagster_environment: dict[str, str]) -> None:
    with dg.DagsterInstance.from_config(dagster_environment["DAGSTER_HOME"]) as instance:
        assert instance.get_runs(limit=1) == []
        assert instance.get_dynamic_partitions("orgs") == []
    with psycopg.connect(**database.database_arguments()) as connection:
        tables = "SELECT schemaname, count(*) FROM pg_tables WHERE schemaname IN ('public', 'dagster') GROUP BY 1"
        ((schema, count),) = connection.execute(tables).fetchall()
    assert schema == "dagster"
    assert count > 20


def test_dagster_sends_no_telemetry_and_runs_one_training_of_an_org_at_a_time(
    dagster_environment: dict[str, str],
) -> None:
    with dg.DagsterInstance.from_config(dagster_environment["DAGSTER_HOME"]) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert not instance.run_retries_enabled
        assert instance.run_monitoring_enabled
        queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    of_an_org, of_shards = queue.tag_concurrency_limits
    assert of_an_org == {"key": "dagster/partition", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    assert of_shards["key"] == SHARD_TAG
    assert queue.max_concurrent_runs > of_shards["limit"], "runs of many orgs leave no place for one that is waited for"


def test_workspace_names_one_code_server_by_its_address(dagster_environment: dict[str, str]) -> None:
    (origin,) = location_origins_from_yaml_paths([str(PROJECT_ROOT / "workspace.yaml")])
    assert isinstance(origin, GrpcServerCodeLocationOrigin)
    assert origin.location_name == "leadscore"
    assert (origin.host, str(origin.port)) == (HOST, dagster_environment["DAGSTER_CODE_SERVER_PORT"])
