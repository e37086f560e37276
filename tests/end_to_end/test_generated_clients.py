"""Clients that are generated from /openapi.json, in Python and TypeScript, make every call of the documents."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leadscore.settings import PROJECT_ROOT
from tests.end_to_end.documented_calls import Call, documented_calls, names_in

PACKAGE = "generated_leadscore_client"
TYPESCRIPT = Path(__file__).with_name("typescript")
# the tests' own environment keeps the modules, so they are installed once
NODE_FOLDER = PROJECT_ROOT / ".venv/generated-client"
INSTALL_SECONDS = 300
# Node's own limit for an answer is 300 s
TRAINING_SECONDS = 280
RUN_SECONDS = 400
CALLS = {
    "predict",
    "predict_batch",
    "train",
    "info",
    "performance",
    "versions",
    "activations",
    "rollback",
    "leads",
    "lead",
    "set_grades",
}


@pytest.fixture(scope="session")
def description(system: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file that has the system's description."""
    path = tmp_path_factory.mktemp("clients") / "openapi.json"
    path.write_text(json.dumps(system.ask("GET", "/openapi.json").body))
    return path


@pytest.fixture(scope="session")
def calls(description: Path, of_the_system: dict[str, str]) -> list[Call]:
    """Give every call of the documents."""
    actual = of_the_system | {"wait=120": f"wait={TRAINING_SECONDS}"}
    found = documented_calls(json.loads(description.read_text()), actual)
    assert {call.operation_id for call in found} >= CALLS
    return found


@pytest.fixture(scope="session")
def python_client(description: Path) -> Iterator[Path]:
    """Give the folder of a client that openapi-python-client generated, from which it can be imported."""
    folder = description.parent
    tool = Path(sys.executable).with_name("openapi-python-client")
    command = [tool, "generate", "--path", description, "--output-path", folder / PACKAGE, "--meta", "none"]
    environment = {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}"}
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (made.returncode, "Warning" in made.stdout) == (0, False), made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def test_the_python_client_makes_every_call_of_the_documents(
    system: Any, python_client: Path, calls: list[Call]
) -> None:
    package = importlib.import_module(f"{PACKAGE}")
    models = importlib.import_module(f"{PACKAGE}.models")
    with package.Client(base_url=system.address, timeout=RUN_SECONDS) as client:
        for call in calls:
            module = importlib.import_module(f"{PACKAGE}.api.{call.tag}.{call.operation_id}")
            arguments = {**call.in_path, **call.query}
            if call.body_type:
                arguments["body"] = getattr(models, call.body_type).from_dict(call.body)
            answer = module.sync_detailed(client=client, **arguments)
            assert answer.status_code == 200, (call, answer.content)
            if call.shown:
                # the generator's to_dict fails for a field named D, as the numbers by grade have
                assert names_in(call.shown) <= names_in(json.loads(answer.content)), call
                assert answer.parsed is not None, call


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Give a folder with the locked node modules; where npm is not to be had, the test is skipped."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("the TypeScript client needs node and npm, and this machine has none: install nodejs and npm")
    lock = (TYPESCRIPT / "package-lock.json").read_text()
    installed = NODE_FOLDER / "package-lock.json"
    if not (NODE_FOLDER / "node_modules").is_dir() or installed.read_text() != lock:
        NODE_FOLDER.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(TYPESCRIPT / name, NODE_FOLDER)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        made = subprocess.run(
            command, cwd=NODE_FOLDER, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
        if made.returncode:
            pytest.skip(f"npm cannot install the locked modules: {made.stderr[-500:]}")
    return NODE_FOLDER / "node_modules"


def test_the_typescript_client_makes_every_call_of_the_documents(
    system: Any, description: Path, node_modules: Path, calls: list[Call]
) -> None:
    """The compiler checks that each call and its body fit the types; then they are made."""
    folder = description.parent
    (folder / "node_modules").symlink_to(node_modules)
    (folder / "package.json").write_text('{"type": "module"}')
    # without the option, what has a default in a request would have to be sent
    generator = [node_modules / ".bin/openapi-typescript", description, "--default-non-nullable=false"]
    _run([*generator, "-o", folder / "api.d.ts"])
    (folder / "client.ts").write_text(_program(calls))
    options = ["--strict", "--module", "nodenext", "--target", "es2022", "--noUncheckedIndexedAccess"]
    _run([node_modules / ".bin/tsc", *options, folder / "client.ts"])
    answers = json.loads(_run(["node", folder / "client.js", system.address]))
    assert len(answers) == len(calls)
    for call, answer in zip(calls, answers, strict=True):
        assert answer["status"] == 200, (call, answer)
        assert names_in(call.shown) <= names_in(answer["body"]), call


def _program(calls: list[Call]) -> str:
    """Return a program that makes the calls, one after the other, and prints the answers."""
    return "\n".join(
        [
            'import createClient from "openapi-fetch";',
            'import type { paths } from "./api.js";',
            "declare const process: { argv: string[] };",
            'const client = createClient<paths>({ baseUrl: process.argv[2] ?? "" });',
            "const answers: { status: number; body: unknown }[] = [];",
            "function keep(answer: { data?: unknown; error?: unknown; response: Response }): void {",
            "  answers.push({ status: answer.response.status, body: answer.data ?? answer.error });",
            "}",
            *map(_statement, calls),
            "console.log(JSON.stringify(answers));",
        ]
    )


def _statement(call: Call) -> str:
    options: dict[str, Any] = {"params": {"path": call.in_path, "query": call.query}}
    options["params"] = {name: values for name, values in options["params"].items() if values}
    if call.body is not None:
        options["body"] = call.body
    if call.accept or call.operation_id == "report":
        options["headers"] = {"Accept": call.accept or "text/html"}
        options["parseAs"] = "text"
    return f"keep(await client.{call.method}({json.dumps(call.path)}, {json.dumps(options)}));"


def _run(command: list[Any]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert done.returncode == 0, re.sub(r"\s+", " ", (done.stdout + done.stderr)[-3000:])
    return done.stdout
