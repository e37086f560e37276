"""The examples of docs/api.md run against the running system, and the metrics of docs/operations.md are there."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import urllib3

from tests.docs.documents import API, EXAMPLE, OPERATIONS, section, table_rows
from tests.end_to_end.documented_calls import names_in, read_curl

EXAMPLES = EXAMPLE.findall(API.read_text())


def run_curl(command: str, of_the_system: dict[str, str]) -> Any:
    """Do what the curl command line says, and return the status and the answer."""
    for example, actual in of_the_system.items():
        command = command.replace(example, actual)
    curl = read_curl(command)
    response = urllib3.request(curl.method, curl.url, headers=curl.headers, body=curl.body, timeout=180, retries=False)
    if response.headers["Content-Type"].startswith("text/"):
        return response.status, response.data.decode()
    return response.status, response.json()


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
