"""The whole system, started once by the command that people use, over a CRM with four orgs on a given PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3

from leadscore.registry.store import Registry
from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.source.database import connect
from standalone.crm import create_tables
from standalone.orgs import Org
from standalone.postgres import HOST, SUPERUSER, EmbeddedPostgres
from standalone.simulator import into_database, simulate
from tests.end_to_end.documented_calls import EXAMPLE_ADDRESS, EXAMPLE_LEAD, EXAMPLE_VERSION

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ORGS = (
    Org("default", leads=700, conversion_rate=0.35),
    Org("sound", leads=900, conversion_rate=0.35),
    Org("small", leads=90, records=37, history_days=120),
    Org("one-class", leads=500, conversion_rate=0.0),
)
UP_SECONDS = 300
DOWN_SECONDS = 60
# sensors list the orgs, and score their leads, once a minute
LISTED_SECONDS = 180


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass
class System:
    """A running system: where it listens, what it has said so far, and the settings that it runs with."""

    settings: Settings
    output: list[str]

    @property
    def address(self) -> str:
        """The HTTP server's address."""
        return f"http://{HOST}:{self.settings.port}"

    @property
    def registry(self) -> Registry:
        """The registry that the system works on."""
        return Registry(self.settings.model_path)

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Return the server's answer; a body is sent as JSON."""
        content = {} if body is None else {"json": body}
        response = urllib3.request(method, self.address + path, timeout=180, retries=False, **content)
        return Answer(response.status, response.json(), response.headers)

    def query_dagster(self, query: str) -> Any:
        """Return the data of a GraphQL query to Dagster's webserver."""
        response = urllib3.request("POST", f"{self.settings.dagster_url}/graphql", json={"query": query}, timeout=60)
        return response.json()["data"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of the running system in one process, so that it is started once."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("system"))


@pytest.fixture(scope="session")
def system(
    postgres_server: EmbeddedPostgres, free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Give a system that has come up, trained what it could, and is stopped at the end."""
    settings = loaded(postgres_server, tmp_path_factory.mktemp("system"), free_port)
    command = [sys.executable, "-m", "standalone", "run"]
    process = subprocess.Popen(
        command, cwd=PROJECT_ROOT, env=environment_of(settings), stdout=subprocess.PIPE, text=True
    )
    output: list[str] = []
    reader = threading.Thread(target=lambda: output.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        wait_for(lambda: any("Ctrl-C stops everything" in line for line in output), process, output)
        yield System(settings, output)
    finally:
        process.terminate()
        process.wait(DOWN_SECONDS)
        reader.join(DOWN_SECONDS)
        if process.stdout:
            process.stdout.close()
    assert process.returncode == 0, "".join(output)


def loaded(server: EmbeddedPostgres, folder: Path, free_port: Callable[[], int]) -> Settings:
    """Return settings for a new database that holds the orgs, with ports and folders of their own."""
    server.create_database("system")
    dagster_port = free_port()
    settings = Settings(
        port=free_port(),
        dagster_port=dagster_port,
        dagster_url=f"http://{HOST}:{dagster_port}",
        code_server_port=free_port(),
        db_host=HOST,
        db_port=server.port,
        db_name="system",
        db_user=SUPERUSER,
        db_password=server.password,
        state_dir=folder / "state",
        model_path=folder / "models",
        as_of=NOW,
    )
    with connect(settings) as connection:
        create_tables(connection)
        into_database(connection, simulate(ORGS, seed=11, now=NOW))
    return settings


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment in which a process reads these settings."""
    names = ("port", "dagster_port", "code_server_port", "db_host", "db_port", "db_name", "db_user", "db_password")
    given = {name.upper(): str(getattr(settings, name)) for name in (*names, "state_dir", "model_path")}
    return {**os.environ, **given, "AS_OF": NOW.isoformat(), "COLUMNS": "200"}


def wait_for(is_done: Callable[[], bool], process: subprocess.Popen[str], output: list[str]) -> None:
    """Return once `is_done`; fail with what the process said when it ends, or takes too long."""
    deadline = time.monotonic() + UP_SECONDS
    while not is_done():
        assert process.poll() is None, "".join(output)
        assert time.monotonic() < deadline, "".join(output)
        time.sleep(0.2)


@pytest.fixture
def away(system: System, free_port: Callable[[], int]) -> Settings:
    """Give the system's settings with an address at which no Dagster listens."""
    return replace(system.settings, dagster_url=f"http://{HOST}:{free_port()}")


@pytest.fixture(scope="session")
def of_the_system(system: System) -> dict[str, str]:
    """Give what stands in the system for the examples' address, version and lead."""
    listed = listed_by(system, "/api/v1/leads?org_id=default&limit=1", "leads")
    listed_by(system, "/api/v1/orgs?state=active", "orgs")
    pointer = system.registry.active("default")
    assert pointer is not None
    return {
        EXAMPLE_ADDRESS: system.address,
        EXAMPLE_VERSION: pointer.version,
        EXAMPLE_LEAD: listed[0]["lead_id"],
    }


def listed_by(system: System, path: str, name: str) -> list[Any]:
    """Return what the path lists under that name, once a sensor has made some of it."""
    deadline_seconds = time.monotonic() + LISTED_SECONDS
    while not (listed := system.ask("GET", path).body.get(name, [])):
        assert time.monotonic() < deadline_seconds, f"no sensor has made what {path} lists"
        time.sleep(0.5)
    return list(listed)
