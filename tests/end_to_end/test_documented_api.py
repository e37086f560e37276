"""The examples of docs/api.md run against the running system, and the metrics of docs/operations.md are there."""

from __future__ import annotations

import json
import re
import shlex
import time
from typing import Any

import pytest
import urllib3

from tests.docs.documents import API, EXAMPLE, OPERATIONS, section, table_rows
from tests.serving.scored_leads import SCORED_AT, Lead, Scores

EXAMPLE_ADDRESS = "http://127.0.0.1:5000"
EXAMPLE_VERSION = "20260601020000"
EXAMPLE_LEAD = "4711"
# a sensor lists the orgs once a minute
LISTED_SECONDS = 180
EXAMPLES = EXAMPLE.findall(API.read_text())


@pytest.fixture(scope="module")
def of_the_system(system: Any) -> dict[str, str]:
    """Give what stands in the system for the examples' address, version and lead."""
    listed = system.ask("GET", "/api/v1/leads?org_id=default&limit=1")
    if listed.status == 404:  # the schedule has not scored the org's leads yet
        Scores(system.settings).scored("default", [Lead("1", 0.75, "A"), Lead("2", 0.5), Lead("3", 0.25)])
        Scores(system.settings).said("default", "1", SCORED_AT)
        listed = system.ask("GET", "/api/v1/leads?org_id=default&limit=1")
    deadline_seconds = time.monotonic() + LISTED_SECONDS
    while not system.ask("GET", "/api/v1/orgs?state=active").body["orgs"]:
        assert time.monotonic() < deadline_seconds, "the sensor refresh_org_health lists no active org"
        time.sleep(0.5)
    return {
        EXAMPLE_ADDRESS: system.address,
        EXAMPLE_VERSION: system.registry.active("default").version,
        EXAMPLE_LEAD: listed.body["leads"][0]["lead_id"],
    }


def run_curl(command: str, of_the_system: dict[str, str]) -> Any:
    """Do what the curl command line says, and return the status and the answer."""
    for example, actual in of_the_system.items():
        command = command.replace(example, actual)
    words = iter(shlex.split(command))
    assert next(words) == "curl"
    method, url, headers, body = None, "", {}, None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, value = next(words).split(": ", 1)
            headers[name] = value
        elif word == "-d":
            body = next(words)
        elif word == "-o":
            assert next(words).endswith(".html")
        elif word != "-s":
            url = word
    response = urllib3.request(
        method or ("POST" if body else "GET"), url, headers=headers, body=body, timeout=180, retries=False
    )
    if response.headers["Content-Type"].startswith("text/"):
        return response.status, response.data.decode()
    return response.status, response.json()


def names_in(example: Any, prefix: str = "") -> set[str]:
    """Return the paths of all names in a JSON value."""
    if isinstance(example, dict):
        return {f"{prefix}/{name}" for name in example}.union(
            *(names_in(v, f"{prefix}/{k}") for k, v in example.items())
        )
    if isinstance(example, list):
        return set().union(*(names_in(value, f"{prefix}/{index}") for index, value in enumerate(example)))
    return set()


@pytest.mark.parametrize(
    ("command", "shown"), EXAMPLES, ids=[command.split("127.0.0.1:5000")[1][:30] for command, _ in EXAMPLES]
)
def test_each_example_of_the_api_runs(command: str, shown: str, of_the_system: dict[str, str]) -> None:
    """It answers 200, with every field that the example shows."""
    status, body = run_curl(command, of_the_system)

    assert status == 200, body
    assert names_in(json.loads(shown or "{}")) <= names_in(body)


def test_every_part_of_the_api_has_an_example(system: Any) -> None:
    paths = system.ask("GET", "/openapi.json").body["paths"]

    shown = {re.search(r"5000(/[^?' ]*)", command)[1] for command, _ in EXAMPLES}
    assert shown >= {path for path in paths if path.startswith("/api") and "{" not in path}


def test_every_metric_of_the_table_is_there(system: Any) -> None:
    text = urllib3.request("GET", f"{system.address}/metrics", timeout=60).data.decode()

    rows = table_rows(section(OPERATIONS, "Monitoring"))
    named = [re.fullmatch(r"`(\w+)(?:\{.*\})?`", row[0])[1] for row in rows]
    assert len(named) > 5
    assert [name for name in named if f"# TYPE {name} " not in text] == []
