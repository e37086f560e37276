"""What the server's tests share: versions in a registry of the test's own, the app over them, and a live server."""

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

import msgspec
import numpy as np
import pytest
import urllib3
from flask import Flask
from flask.testing import FlaskClient

from leadscore.comparison import BASE_RATE, Comparison, Difference, Estimate
from leadscore.evaluation import ConfusionMatrix, EvaluationReport, Metrics
from leadscore.features import CONTRACT, Contract
from leadscore.forest import LEAF, Forest
from leadscore.formats import FORMAT
from leadscore.gate import Decision, Judgement, Reason, Verdict
from leadscore.pooling import POOLED, BaseValues, StandsOn
from leadscore.records import RecordCounts, Window
from leadscore.registry.activation import apply_verdict, roll_back
from leadscore.registry.safetensors import encode_arrays
from leadscore.registry.store import Registry
from leadscore.registry.version import (
    BASE_VALUES_FILE,
    ENGINE_FILE,
    FOREST_FILE,
    Importance,
    Manifest,
    Split,
    encode_forest,
)
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import connect
from serving.app import create_app
from serving.dependencies.answered_scores import AnsweredScores
from serving.services import EXTENSION, Services
from standalone.crm import create_tables
from tests.serving.crm_of_leads import Crm
from tests.serving.scored_leads import Scores
from tests.serving.scripted_dagster import DagsterServer, ScriptedDagster

DEAD_PORT = 9
IMPORTANCE = (Importance("appointments_count", 0.05), Importance("lead_source_score", 0.2))


def _forest(high: float) -> Forest:
    """Make three trees: lead_source_score <= 50 gives 0.25, more gives `high`; the third asks for appointments too."""
    low = 0.25
    return Forest(
        feature=np.array([0, LEAF, LEAF, 0, LEAF, LEAF, 4, 0, LEAF, LEAF, LEAF], np.int16),
        threshold=np.array([50, 0, 0, 50, 0, 0, 0.5, 50, 0, 0, 0], np.float32),
        left=np.array([1, LEAF, LEAF, 4, LEAF, LEAF, 7, 8, LEAF, LEAF, LEAF], np.int32),
        right=np.array([2, LEAF, LEAF, 5, LEAF, LEAF, 10, 9, LEAF, LEAF, LEAF], np.int32),
        missing_goes_left=np.array([True] * 11),
        value=np.array([0.5, low, high, 0.5, low, high, 0.5, 0.4, low, high, high]),
        cover=np.array([8.0, 4, 4, 8, 4, 4, 8, 6, 3, 3, 2]),
        roots=np.array([0, 3, 6], np.int32),
    )


def _manifest(org_id: str, version: str, files: dict[str, str], contract: Contract) -> Manifest:
    return Manifest(
        format=FORMAT,
        org_id=org_id,
        version=version,
        created_at="2026-03-15T06:00:00+00:00",
        run_id="9c2c8a3e-0000-4000-8000-000000000000",
        contract=contract,
        contract_fingerprint=contract.fingerprint,
        window=Window(datetime(2026, 3, 15, tzinfo=UTC), 183, 90, ("WON",), (0, 1, 3)),
        counts=RecordCounts(200, 80, 500, {"still_open": 7}, "c0ffee", {"null": 1}, "f00d"),
        split=Split(0.2, 160, 400, 40, 100),
        parameters={"n_estimators": 3},
        importance=IMPORTANCE,
        code_version="abc",
        libraries={"numpy": "2"},
        files=files,
    )


def _judgement(registry: Registry, org_id: str, version: str, verdict: Verdict) -> Judgement:
    metrics = Metrics(0.5, 0.25, 1 / 3, 0.75, 0.625, 0.2, 0.6, 0.5, ConfusionMatrix(1, 2, 3, 4))
    pointer = registry.active(org_id)
    champion = EvaluationReport(pointer.version, 200, 80, 40, 16, 100, metrics, (), (), (), ()) if pointer else None
    difference = Difference(Estimate(0.75, 0.5, 1), Estimate(0.5, 0.25, 0.75), Estimate(0.25, 0, 0.5), 0.875)
    baseline = pointer.version if pointer else BASE_RATE.stored
    return Judgement(
        report=EvaluationReport(version, 200, 80, 40, 16, 100, metrics, (), (), (), ()),
        champion=champion,
        champion_problem=None,
        decision=Decision(verdict, (Reason("a_reason", f"The reason to {verdict}", 1, 0, "A remedy"),)),
        manifest_sha256=registry.manifest_sha256(org_id, version),
        judged_at="2026-03-15T06:00:01+00:00",
        run_id=None,
        comparison=Comparison(baseline, 40, 1_000, difference, difference, difference),
    )


@dataclass(frozen=True)
class Shelf:
    """The registry of a test, and short ways to fill it."""

    registry: Registry

    def publish(
        self,
        org_id: str = "default",
        *,
        high: float = 0.75,
        forest: Forest | None = None,
        contract: Contract = CONTRACT,
        stands_on: StandsOn | None = None,
        **files: bytes,
    ) -> str:
        """Add a version that nobody judged, with other `files` than the usual ones too, and return its id."""
        forest = forest or _forest(high)
        files |= {
            FOREST_FILE: encode_forest(forest),
            ENGINE_FILE: encode_arrays(forest.scorer.to_arrays()),
            "model.joblib": b"an estimator",
        }
        described = self.registry.publish(
            org_id,
            files,
            lambda version, hashes: msgspec.structs.replace(
                _manifest(org_id, version, hashes, contract), stands_on=stands_on
            ),
        )
        return described.version

    def judged(
        self,
        org_id: str = "default",
        verdict: Verdict = "activate",
        withheld: tuple[Reason, ...] = (),
        **published: Any,
    ) -> str:
        """Add a version that was judged, and return its id."""
        version = self.publish(org_id, **published)
        judgement = _judgement(self.registry, org_id, version, verdict)
        self.registry.record_judgement(org_id, version, msgspec.structs.replace(judgement, withheld=withheld))
        return version

    def activated(self, org_id: str = "default", **published: Any) -> str:
        """Add a version, make it active, and return its id."""
        version = self.judged(org_id, **published)
        apply_verdict(self.registry, org_id, version, by="a test")
        return version

    def pooled(self, high: float = 0.75, **base_values: float) -> str:
        """Add a version of the pooled model with the base values of orgs, make it active, and return its id."""
        stored = msgspec.json.encode(BaseValues(base_values))
        return self.activated(POOLED, high=high, **{BASE_VALUES_FILE: stored})

    def roll_back(self, version: str, org_id: str = "default") -> None:
        """Make an earlier version active."""
        roll_back(self.registry, org_id, version, by="a test", reason="a test")

    def folder(self, version: str, org_id: str = "default") -> Path:
        """Return where the version's files lie."""
        return self.registry.root / org_id / version


@pytest.fixture(autouse=True)
def threads_of_answered_scores_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End the threads of the test's apps that remember scores, which otherwise end with their process."""
    started: list[AnsweredScores] = []
    start = AnsweredScores._start

    def start_and_note(scores: AnsweredScores) -> None:
        started.append(scores)
        start(scores)

    monkeypatch.setattr(AnsweredScores, "_start", start_and_note)
    yield
    for scores in started:
        scores.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings under which nothing but the registry can be reached."""
    return Settings(
        model_path=tmp_path / "models",
        state_dir=tmp_path / "state",
        db_host="127.0.0.1",
        db_port=DEAD_PORT,
        db_password="canary-password",
        dagster_url=f"http://127.0.0.1:{DEAD_PORT}",
        max_body_bytes=100_000,
        max_batch_size=50,
    )


@pytest.fixture
def shelf(settings: Settings) -> Shelf:
    """Give the registry of the test."""
    settings.model_folder.mkdir()
    return Shelf(Registry(settings.model_path))


@pytest.fixture
def app(settings: Settings, shelf: Shelf) -> Flask:
    """Give the app over the test's registry."""
    return create_app(settings)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Give a client of the app."""
    return app.test_client()


@pytest.fixture
def parts(app: Flask) -> Services:
    """Give what the app works with."""
    found: Services = app.extensions[EXTENSION]
    return found


@pytest.fixture
def crm(database: Settings, shelf: Shelf) -> Crm:
    """Give an empty CRM that was set up, beside the test's registry."""
    set_up(database)
    with connect(database) as connection:
        create_tables(connection)
    return Crm(database)


@pytest.fixture
def scores(crm: Crm) -> Scores:
    """Give the scores of a CRM that was set up; nothing is scored yet."""
    return Scores(crm.settings)


@pytest.fixture
def dagster() -> ScriptedDagster:
    """Give what the scripted Dagster knows."""
    return ScriptedDagster()


@pytest.fixture
def app_with_dagster(settings: Settings, shelf: Shelf, dagster: ScriptedDagster) -> Iterator[Flask]:
    """Give the app with the scripted Dagster; up to two training requests at a time."""
    server = DagsterServer(dagster)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield create_app(replace(settings, dagster_url=url, server_threads=4))
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def evaluated(shelf: Shelf, dagster: ScriptedDagster) -> Callable[..., str]:
    """Give a function that lets the run have judged a version."""

    def evaluate(verdict: Verdict, withheld: tuple[Reason, ...] = ()) -> str:
        version = shelf.judged("acme", verdict, withheld)
        dagster.materialized["evaluation"] = {"version": version, "verdict": verdict, "reasons": "In words."}
        return version

    return evaluate


@pytest.fixture
def features() -> dict[str, Any]:
    """Give a lead's features."""
    return {
        "lead_source_score": 80,
        "response_time_minutes": None,
        "inbound_messages_count": 4,
        "outbound_messages_count": 5,
        "appointments_count": 1,
        "has_property": 1,
        "property_price": 250000.5,
        "property_has_photos": 0,
        "engagement_rate": 0.8,
        "days_since_creation": 7,
        "market_activity_score": 50,
    }


ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Live:
    """A server that listens, a pool of connections to it, and the folder of its registry."""

    port: int
    process: subprocess.Popen[str]
    http: urllib3.HTTPConnectionPool
    models: Path

    def post(self, path: str, body: Any) -> urllib3.BaseHTTPResponse:
        """Send `body` as JSON."""
        return self.http.request("POST", path, json=body)

    def processes(self) -> set[int]:
        """Return the processes that answer, without the one that supervises them."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        return {int(pid) for pid in children.split()}


Starter = Callable[..., "subprocess.Popen[str]"]


def serving_process(environment: Mapping[str, Any]) -> subprocess.Popen[str]:
    """Start the server with settings from the environment."""
    return subprocess.Popen(
        [sys.executable, "-m", "serving"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **{name: str(value) for name, value in environment.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def start() -> Iterator[Starter]:
    """Give a function that starts the server as people do, with settings from the environment."""
    started: list[subprocess.Popen[str]] = []

    def start_with(**environment: Any) -> subprocess.Popen[str]:
        started.append(serving_process(environment))
        return started[-1]

    yield start_with
    for process in started:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture
def live(settings: Settings, shelf: Shelf, start: Starter, free_port: Callable[[], int]) -> Iterator[Live]:
    """Give the real server, of two processes, on a free port."""
    port = free_port()
    process = start(
        PORT=port,
        MODEL_PATH=shelf.registry.root,
        DB_PORT=settings.db_port,
        DAGSTER_URL=settings.dagster_url,
        MAX_BODY_BYTES=settings.max_body_bytes,
        MAX_BATCH_SIZE=settings.max_batch_size,
        SERVER_THREADS=4,
        LOG_LEVEL="WARNING",
    )
    with urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=16, timeout=30, retries=False) as http:
        until_it_answers(process, http)
        yield Live(port, process, http, shelf.registry.root)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Live]:
    """Give a server with the default limits for all tests of a module, over a registry that each of them fills."""
    port, models = free_port(), tmp_path_factory.mktemp("registry") / "models"
    process = serving_process(
        {
            "PORT": port,
            "MODEL_PATH": models,
            "DB_PORT": DEAD_PORT,
            "DB_PASSWORD": "canary-password",
            "DAGSTER_URL": f"http://127.0.0.1:{DEAD_PORT}",
            "LOG_LEVEL": "WARNING",
        }
    )
    with urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=16, timeout=60, retries=False) as http:
        until_it_answers(process, http)
        yield Live(port, process, http, models)
    process.terminate()
    process.communicate(timeout=60)


def until_it_answers(process: subprocess.Popen[str], http: urllib3.HTTPConnectionPool) -> None:
    """Wait until the server listens, or fail with what it said instead."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            assert http.request("GET", "/health/live", retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            time.sleep(0.02)
        else:
            return
    process.kill()
    raise AssertionError(process.communicate(timeout=60)[1])


@pytest.fixture
def started_threads() -> Iterator[Callable[[Callable[[], None]], threading.Thread]]:
    """Give a function that runs another in a thread; the test ends when all of them have."""
    threads: list[threading.Thread] = []

    def start(work: Callable[[], None]) -> threading.Thread:
        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
