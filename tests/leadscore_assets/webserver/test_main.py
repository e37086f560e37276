"""The webserver's command, run as it is deployed, over a small workspace: what other sites and strangers cannot do."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from leadscore.tokens import Tokens
from standalone.postgres import HOST
from standalone.processes import Child, wait_until
from standalone.state_dir import accepts_connections

UP_SECONDS = 120.0
INTERNAL = "internal-secret-of-our-server"
INSTANCE = """
telemetry: {enabled: false}
nux: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}
"""
DEFINITIONS = """
import dagster as dg

@dg.asset
def thing(context: dg.AssetExecutionContext) -> int:
    context.log.info("the thing is made")
    return 1

defs = dg.Definitions([thing], jobs=[dg.define_asset_job("make_thing")])
"""
WORKSPACE = "load_from: [{python_file: {relative_path: definitions.py, location_name: toy}}]"
LAUNCH = """mutation {
  launchRun(executionParams: {mode: "default", runConfigData: {}, selector:
    {repositoryLocationName: "toy", repositoryName: "__repository__", jobName: "make_thing"}})
  { __typename ... on LaunchRunSuccess { run { runId } } }
}"""
MATERIALIZATIONS = '{ assetOrError(assetKey: {path: ["thing"]}) { ... on Asset { assetMaterializations { runId } } } }'
LOGS = """subscription($run: ID!) { pipelineRunLogs(runId: $run) {
  ... on PipelineRunLogsSubscriptionSuccess { messages { __typename ... on MessageEvent { message } } }
} }"""


@dataclass(frozen=True)
class Webserver:
    """A running webserver, and the tokens that it asks for."""

    port: int
    tokens: Tokens

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> urllib3.BaseHTTPResponse:
        """Return the answer; a header's name has hyphens for underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        address = f"http://{HOST}:{self.port}{path}"
        return urllib3.request(method, address, body=body, headers=named, timeout=60, retries=False)

    def query(self, query: str, **headers: str) -> Any:
        """Return what GraphQL answers."""
        body = json.dumps({"query": query})
        return self.ask("POST", "/graphql", body, Content_Type="application/json", **headers).json()

    def socket(self, **options: Any) -> Any:
        """Return a WebSocket, opened as Dagster's pages do."""
        return connect(f"ws://{HOST}:{self.port}/graphql", subprotocols=["graphql-ws"], **options)  # type: ignore[no-any-return]

    def materializations(self, **headers: str) -> list[str]:
        """Return the runs that made the asset."""
        asset = self.query(MATERIALIZATIONS, **headers)["data"]["assetOrError"]
        return [made["runId"] for made in asset.get("assetMaterializations", [])]

    def launch_and_follow(self, origin: str, cookie: str) -> list[str]:
        """Launch a run as a page of that origin does, and return what its live log says until it ends."""
        launched = self.query(LAUNCH, Origin=origin, Cookie=cookie)["data"]["launchRun"]
        with self.socket(origin=origin, additional_headers={"Cookie": cookie}) as socket:
            run = {"query": LOGS, "variables": {"run": launched["run"]["runId"]}}
            socket.send(json.dumps({"type": "connection_init"}))
            socket.send(json.dumps({"type": "start", "id": "1", "payload": run}))
            said: list[str] = []
            while not any(line.startswith(("RunSuccess", "RunFailure")) for line in said):
                message = json.loads(socket.recv(timeout=UP_SECONDS))
                events = message.get("payload", {}).get("data", {}).get("pipelineRunLogs", {}).get("messages", [])
                said += [f"{event['__typename']} {event['message']}" for event in events]
        return said


@contextmanager
def running(folder: Path, port: int) -> Iterator[Webserver]:
    """Give a webserver that has come up over the workspace."""
    (folder / "dagster.yaml").write_text(INSTANCE)
    (folder / "definitions.py").write_text(DEFINITIONS)
    (folder / "workspace.yaml").write_text(WORKSPACE)
    environment = {**os.environ, "DAGSTER_HOME": str(folder), "STATE_DIR": str(folder), "DAGSTER_TOKEN": INTERNAL}
    command = [sys.executable, "-m", "leadscore_assets.webserver", "-w", str(folder / "workspace.yaml")]
    child = Child("webserver", [*command, "-h", HOST, "-p", str(port)], environment, folder / "log")
    try:
        wait_until(lambda: accepts_connections(HOST, port), [child], "webserver", UP_SECONDS)
        yield Webserver(port, Tokens(folder / "tokens.json"))
    finally:
        child.stop()


@pytest.fixture(scope="module")
def open_webserver(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Webserver]:
    """Give a webserver without tokens, as it runs on loopback."""
    with running(tmp_path_factory.mktemp("open"), free_port()) as webserver:
        yield webserver


@pytest.fixture(scope="module")
def closed_webserver(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Webserver]:
    """Give a webserver with tokens."""
    folder = tmp_path_factory.mktemp("closed")
    Tokens(folder / "tokens.json").new(scopes=["score"], orgs=["acme"])
    with running(folder, free_port()) as webserver:
        yield webserver


FORM = "application/x-www-form-urlencoded"
ATTACKS: dict[str, tuple[int, str, str, dict[str, str]]] = {
    "mutation by a picture's GET": (405, "GET", "/graphql?query={}", {}),
    "the same behind a line feed": (400, "GET", "/graphql%0A?query={}", {}),
    "mutation by a form": (415, "POST", "/graphql?query={}", {"Content_Type": FORM}),
    "mutation as text": (415, "POST", "/graphql", {"Content_Type": "text/plain; application/json"}),
    "mutation of another site's page": (
        403,
        "POST",
        "/graphql",
        {"Content_Type": "application/json", "Origin": "http://attacker.example"},
    ),
    "mutation under another host": (
        421,
        "POST",
        "/graphql",
        {"Content_Type": "application/json", "Host": "attacker.example"},
    ),
    "an event of an asset": (401, "POST", "/report_asset_materialization/thing", {}),
    "an event as JSON": (401, "POST", "/report_asset_observation/thing", {"Content_Type": "application/json"}),
    "a preflight": (405, "OPTIONS", "/graphql", {"Origin": "http://attacker.example", "Host": "localhost"}),
}


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "a preflight"])
def test_what_another_sites_page_sends_changes_nothing(open_webserver: Webserver, name: str) -> None:
    status, method, path, headers = ATTACKS[name]
    body = json.dumps({"query": LAUNCH}) if method == "POST" else ""
    answer = open_webserver.ask(method, path.format(LAUNCH.replace("\n", "%0A").replace(" ", "+")), body, **headers)
    assert answer.status == status, answer.data
    assert open_webserver.query("{ runsOrError { ... on Runs { count } } }")["data"] is not None


def test_a_preflight_allows_another_site_nothing(open_webserver: Webserver) -> None:
    answer = open_webserver.ask("OPTIONS", "/graphql", Origin="http://attacker.example")
    assert answer.status == 403
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


def test_a_socket_of_another_sites_page_is_refused(open_webserver: Webserver) -> None:
    for origin in ("http://attacker.example", f"http://{HOST}:{open_webserver.port + 1}", "null"):
        with pytest.raises(InvalidStatus) as refused:
            open_webserver.socket(origin=origin)
        assert refused.value.response.status_code == 403
    with pytest.raises(InvalidStatus) as refused:
        open_webserver.socket(additional_headers={"Host": "attacker.example"})
    assert refused.value.response.status_code in (400, 403)


def test_dagsters_own_pages_launch_a_run_and_follow_it(open_webserver: Webserver) -> None:
    page = open_webserver.ask("GET", "/runs")
    assert page.status == 200
    assert page.headers["X-Frame-Options"] == "SAMEORIGIN"
    said = open_webserver.launch_and_follow(f"http://{HOST}:{open_webserver.port}", cookie="")
    assert any("the thing is made" in line for line in said)
    assert said[-1].startswith("RunSuccessEvent")


def test_with_tokens_only_who_shows_one_gets_in(closed_webserver: Webserver) -> None:
    assert closed_webserver.ask("GET", "/server_info").status == 200
    assert closed_webserver.ask("GET", "/runs").status == 401
    assert closed_webserver.ask("POST", "/graphql", "{}", Content_Type="application/json").status == 401
    with pytest.raises(InvalidStatus):
        closed_webserver.socket()
    assert closed_webserver.query("{ version }", Authorization=f"Bearer {INTERNAL}")["data"]["version"]


def test_a_token_with_operate_works_as_everybody_does_without_tokens(closed_webserver: Webserver) -> None:
    token, _ = closed_webserver.tokens.new(scopes=["operate"], orgs=["*"])
    page = closed_webserver.ask("GET", "/runs", **urllib3.make_headers(basic_auth=f"anyone:{token}"))
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    said = closed_webserver.launch_and_follow(f"http://{HOST}:{closed_webserver.port}", cookie)
    assert said[-1].startswith("RunSuccessEvent")
    reported = closed_webserver.ask("POST", "/report_asset_materialization/thing", Authorization=f"Bearer {token}")
    assert reported.status == 200, reported.data
    deadline = time.monotonic() + UP_SECONDS
    while len(closed_webserver.materializations(Cookie=cookie)) < 2:
        assert time.monotonic() < deadline


def test_a_token_with_read_sees_and_changes_nothing(closed_webserver: Webserver) -> None:
    reader = {"Authorization": f"Bearer {closed_webserver.tokens.new(scopes=['read'], orgs=['*'])[0]}"}
    operator = {"Authorization": f"Bearer {closed_webserver.tokens.new(scopes=['operate'], orgs=['*'])[0]}"}
    schema = "{ __schema { mutationType { name } } }"
    assert closed_webserver.query(schema, **operator)["data"]["__schema"]["mutationType"]
    assert closed_webserver.query(schema, **reader)["data"]["__schema"]["mutationType"] is None
    before = closed_webserver.materializations(**operator)
    refused = closed_webserver.query(LAUNCH, **reader)
    assert "not configured to execute mutation" in refused["errors"][0]["message"]
    assert closed_webserver.ask("POST", "/report_asset_check/thing", **reader).status == 403
    assert closed_webserver.materializations(**reader) == before
    permissions = closed_webserver.query("{ permissions { permission value } }", **reader)["data"]["permissions"]
    assert permissions
    assert not any(entry["value"] for entry in permissions)
