"""The README tells the truth: its examples run, its tables are the code's, its steps work, its promises have tests."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3

from leadscore.features import CONTRACT
from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.source.database import connect
from standalone.crm import create_tables
from standalone.orgs import Org
from standalone.simulator import into_database, simulate

README = (PROJECT_ROOT / "README.md").read_text()
EXAMPLE_ADDRESS = "http://127.0.0.1:5000"
EXAMPLE_VERSION = "20260601020000"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def blocks(language: str, text: str = README) -> list[str]:
    """Return the fenced blocks of a language, with the indentation of a list taken off."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def table_rows(text: str) -> list[tuple[str, ...]]:
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


EXAMPLES = re.findall(r"```sh\n(curl .*?)```(?:\n\n```json\n(.*?)```)?", section("The API"), flags=re.DOTALL)


def run_curl(command: str, address: str, version: str) -> Any:
    """Do what the curl command line says, and return the status and the answer."""
    words = iter(shlex.split(command.replace(EXAMPLE_ADDRESS, address).replace(EXAMPLE_VERSION, version)))
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
    if response.headers["Content-Type"].startswith("text/html"):
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
def test_each_example_of_the_api_runs(command: str, shown: str, system: Any) -> None:
    """It answers 200, with every field that the example shows."""
    status, body = run_curl(command, system.address, system.registry.active("default").version)

    assert status == 200, body
    assert names_in(json.loads(shown or "{}")) <= names_in(body)


def test_every_part_of_the_api_has_an_example(system: Any) -> None:
    paths = system.ask("GET", "/openapi.json").body["paths"]

    shown = {re.search(r"5000(/[^?' ]*)", command)[1] for command, _ in EXAMPLES}
    assert shown >= {path for path in paths if path.startswith("/api") and "{" not in path}


def test_the_settings_table_is_the_codes() -> None:
    rows = {row[0].strip("`"): row[1:] for row in table_rows(section("Settings"))}

    assert list(rows) == [field.name.upper() for field in fields(Settings)]
    for field in fields(Settings):
        default = field.default
        text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        text = text.lower() if isinstance(default, bool) else text
        assert rows[field.name.upper()] == ("none" if default is None else f"`{text}`", field.metadata["meaning"])


def test_the_table_of_features_is_the_contracts() -> None:
    rows = table_rows(section("How an org is trained"))

    assert rows == [(f"`{feature.name}`", feature.unit, feature.meaning) for feature in CONTRACT.features]


def test_every_promise_names_tests_that_exist() -> None:
    promised = re.findall(r"`(test_\w+)`", section("Promises"))

    assert len(re.findall(r"^\d+\. ", section("Promises"), flags=re.MULTILINE)) == 10
    written = "\n".join(path.read_text() for path in (PROJECT_ROOT / "tests").rglob("test_*.py"))
    assert [name for name in promised if f"def {name}(" not in written] == []


def test_every_make_command_and_file_that_is_named_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), flags=re.MULTILINE)

    assert set(
        re.findall(r"\bmake ([a-z]+)(?=[\s`])", "\n".join([*blocks("sh"), *re.findall(r"`[^`\n]+`", README)]))
    ) <= set(targets)
    named = re.findall(r"`((?:deploy|leadscore|leadscore_assets)/[\w./]+)`", README)
    assert [name for name in named if not (PROJECT_ROOT / name).exists()] == []


TRAIN_ONCE = """
import dagster as dg
from leadscore.registry import Registry
from leadscore.settings import read_settings
from leadscore_assets.definitions import build_defs
from leadscore_assets.commands.set_up_database import set_up

settings = read_settings()
set_up(settings)
with dg.DagsterInstance.ephemeral() as instance:
    instance.add_dynamic_partitions("orgs", ["sound"])
    job = build_defs(settings).resolve_job_def("train")
    assert job.execute_in_process(instance=instance, partition_key="sound").success
version = Registry(settings.model_path).active("sound").version
print("features", *Registry(settings.model_path).manifest("sound", version).contract.names)
"""

ASK_ONCE = """
import json, sys
from serving.app import create_app
from leadscore.settings import read_settings

client = create_app(read_settings()).test_client()
answer = client.post("/api/v1/predict", json=json.loads(sys.argv[1]))
print("answer", answer.status_code, json.dumps(answer.json))
"""


def test_the_steps_to_add_a_feature_work(database: Settings, tmp_path: Path) -> None:
    """A copy of the code, changed by the two blocks of the README, trains and serves the new feature."""
    project = tmp_path / "project"
    for package in ("leadscore", "leadscore_assets", "serving"):
        shutil.copytree(PROJECT_ROOT / package, project / package, ignore=shutil.ignore_patterns("__pycache__"))
    [declaration] = blocks("python", section("Add a feature"))
    [column] = blocks("sql", section("Add a feature"))
    insert(project / "leadscore/features.py", declaration, after="    features=(\n")
    insert(project / "leadscore_assets/source/conversion_records.sql", column, after="LATERAL (\n    SELECT\n")
    with connect(database) as connection:
        create_tables(connection)
        org = Org("sound", leads=700, conversion_rate=0.35)
        into_database(connection, simulate([org], seed=3, now=NOW))

    trained = python(project, TRAIN_ONCE, database)
    features = {feature.name: max(0, feature.minimum) for feature in CONTRACT.features}
    told = python(
        project, ASK_ONCE, database, json.dumps({"org_id": "sound", "features": features | {"created_at_weekend": 1}})
    )
    untold = python(project, ASK_ONCE, database, json.dumps({"org_id": "sound", "features": features}))

    assert "created_at_weekend" in trained.split("features ")[1].split()
    assert "answer 200" in told
    assert "created_at_weekend" in told
    assert "answer 422" in untold
    assert "/features/created_at_weekend" in untold


def insert(path: Path, addition: str, *, after: str) -> None:
    before, mark, behind = path.read_text().partition(after)
    assert mark
    path.write_text(before + mark + addition + behind)


def python(project: Path, program: str, settings: Settings, *arguments: str) -> str:
    """Run a program in the changed copy, and return what it said."""
    given = {
        name.upper(): str(getattr(settings, name))
        for name in ("db_host", "db_port", "db_name", "db_user", "db_password", "model_path")
    }
    environment = {**os.environ, **given, "AS_OF": NOW.isoformat(), "PYTHONPATH": str(project)}
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
