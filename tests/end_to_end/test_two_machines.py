"""Two machines over one database and one object store: they share the trainings, and serve the same versions.

Each has a server, a port and a folder of its own, and a run of many orgs. One of the runs is killed while it publishes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3

from leadscore.features import CONTRACT
from leadscore.registry.store import Registry
from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import connect
from leadscore_assets.trainings.work_list import Batch, add_batch, waiting
from standalone.crm import create_tables
from standalone.orgs import Org
from standalone.simulator import into_database, simulate
from standalone.throwaway import free_port
from tests.object_store import Fault, FaultyStore

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ORGS = tuple(Org(name, leads=700, conversion_rate=0.35) for name in ("north", "east", "south", "west"))
DATABASE = ("host", "port", "name", "user", "password")
TRAINED_SECONDS = 240
SERVED_WITHIN_SECONDS = 2.0

RUN = """
import sys
import dagster as dg
from leadscore.settings import read_settings
from leadscore_assets.definitions import build_defs
from leadscore_assets.lanes.training import training_config

with dg.DagsterInstance.ephemeral() as instance:
    job = build_defs(read_settings()).resolve_job_def("train_orgs")
    print("ready", flush=True)
    sys.stdin.readline()
    job.execute_in_process(instance=instance, run_config=training_config(adds_orgs=False), run_id=sys.argv[1])
"""


@dataclass
class Machine:
    """A machine: the environment of its processes, the id of its run, and connections to its server."""

    environment: dict[str, str]
    run_id: str
    http: urllib3.HTTPConnectionPool
    run: subprocess.Popen[bytes] | None = None

    def get_ready(self) -> subprocess.Popen[bytes]:
        """Start a process that begins to take orgs from the work list when it is told to."""
        command, pipe = [sys.executable, "-c", RUN, self.run_id], subprocess.PIPE
        self.run = subprocess.Popen(
            command, cwd=PROJECT_ROOT, env=self.environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
        )
        assert self.run.stdout
        assert self.run.stdout.readline() == b"ready\n"
        return self.run

    def scored_by(self, org_id: str) -> str | None:
        """Return the version that scores a lead of the org, None where there is none."""
        features = {feature.name: feature.example for feature in CONTRACT.features}
        answer = self.http.request("POST", "/api/v1/predict", json={"org_id": org_id, "features": features})
        return str(answer.json()["model_version"]) if answer.status == 200 else None


@pytest.fixture
def shared(database: Settings, object_store: FaultyStore) -> Settings:
    """Give settings of a CRM with four orgs that were never trained, and of a registry in an object store."""
    set_up(database)
    with connect(database) as connection:
        create_tables(connection)
        into_database(connection, simulate(ORGS, seed=5, now=NOW))
    return replace(database, model_path=object_store.new_url())


@pytest.fixture
def machines(shared: Settings, tmp_path: Path) -> Iterator[list[Machine]]:
    """Give two machines whose servers answer."""
    with _machine(shared, tmp_path / "one") as one, _machine(shared, tmp_path / "other") as other:
        yield [one, other]


@contextmanager
def _machine(settings: Settings, folder: Path) -> Iterator[Machine]:
    folder.mkdir()
    database = {f"DB_{name.upper()}": str(getattr(settings, f"db_{name}")) for name in DATABASE}
    own = {"STATE_DIR": str(folder), "PORT": str(port := free_port()), "SERVER_WORKERS": "1", "LOG_LEVEL": "WARNING"}
    environment = {**os.environ, **database, **own, "MODEL_PATH": str(settings.model_path)}
    command = [sys.executable, "-m", "serving"]
    server = subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, stderr=subprocess.DEVNULL)
    with urllib3.HTTPConnectionPool("127.0.0.1", port, timeout=30, retries=False) as http:
        machine = Machine(environment, str(uuid.uuid4()), http)
        try:
            _until(lambda: server.poll() is not None or _answers(machine), 60)
            assert server.poll() is None
            yield machine
        finally:
            for process in filter(None, (server, machine.run)):
                process.terminate()
                process.communicate(timeout=60)


def _answers(machine: Machine) -> bool:
    try:
        return machine.http.request("GET", "/health/live").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _until(fact: Callable[[], object], seconds: float = TRAINED_SECONDS) -> float:
    began = time.monotonic()
    while not fact():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


def _asked(settings: Settings, query: str, *arguments: Any) -> list[Any]:
    with connect(settings) as connection:
        cursor = connection.execute(query.encode(), arguments)
        return cursor.fetchall() if cursor.description else []


def test_trainings_are_shared_one_machine_is_killed_while_it_publishes_and_both_serve_the_same(
    machines: list[Machine], shared: Settings, object_store: FaultyStore
) -> None:
    one, other = machines
    org_ids = sorted(org.org_id for org in ORGS)
    with connect(shared) as connection:
        add_batch(connection, Batch("test", NOW), org_ids)
    victim: list[str] = []
    guard = threading.Lock()

    def kill_while_it_publishes(_: int, method: str, path: str) -> Fault:
        """Kill the first machine's run once it has stored a part of its first version, and only a part."""
        if method != "PUT" or not path.endswith("model.joblib"):
            return Fault.NONE
        with guard:
            org_id = path.split("/")[-3]
            mine = _asked(shared, "SELECT org_id FROM leadscore.training_claim WHERE holder = %s", one.run_id)
            if victim or (org_id,) not in mine:
                return Fault.NONE
            victim.append(org_id)
            runs[0].send_signal(signal.SIGKILL)
            return Fault.DEAD

    runs = [one.get_ready(), other.get_ready()]
    with object_store.faulty(kill_while_it_publishes):
        for run in runs:
            assert run.stdin
            run.stdin.write(b"go\n")
            run.stdin.flush()
        assert runs[0].wait(TRAINED_SECONDS) == -signal.SIGKILL
        # as after its lease of 30 s
        _asked(
            shared,
            "UPDATE leadscore.training_claim SET expires_at = clock_timestamp() WHERE holder = %s RETURNING 1",
            one.run_id,
        )
        assert runs[1].wait(TRAINED_SECONDS) == 0

    registry = Registry(str(shared.model_path))
    with connect(shared) as connection:
        assert waiting(connection) == 0
    ended = dict(_asked(shared, "SELECT org_id, status FROM leadscore.ended_training"))
    assert ended == dict.fromkeys(org_ids, "activated")
    active = {org_id: pointer.version for org_id in org_ids if (pointer := registry.active(org_id))}
    assert victim[0] in active
    for org_id, version in active.items():
        registry.verify(org_id, version)
        assert registry.versions(org_id) == [version]
    for machine in machines:
        serves = lambda machine=machine: {org_id: machine.scored_by(org_id) for org_id in org_ids}  # noqa: E731
        assert _until(lambda serves=serves: serves() == active, 20) < SERVED_WITHIN_SECONDS
