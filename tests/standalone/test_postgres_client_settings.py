"""The embedded server is asked by our parameters alone, whatever the environment says to PostgreSQL's clients."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leadscore.settings import PROJECT_ROOT, Settings
from standalone.state_dir import child_environment

FOR_CLIENTS = {
    "PGSSLMODE": "require",
    "PGHOSTADDR": "203.0.113.1",
    "PGOPTIONS": "-c no_such_parameter=1",
    "PGSERVICE": "no-such-service",
    "PGTZ": "Asia/Tokyo",
    "PGCLIENTENCODING": "LATIN1",
    "PGTARGETSESSIONATTRS": "standby",
    "PGREQUIREAUTH": "none",
}
SERVE = """
import sys
from pathlib import Path
from standalone.postgres import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), int(sys.argv[2]), "p", is_durable=False) as server:
    server.create_database("crm")
    with server.connect("crm") as connection:
        print(connection.execute("SHOW timezone").fetchone(), connection.info.encoding)
"""


@pytest.mark.parametrize("name", [*FOR_CLIENTS, "all"])
def test_embedded_server_is_reached_whatever_the_environment_says(
    name: str, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    said = FOR_CLIENTS if name == "all" else {name: FOR_CLIENTS[name]}
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "cluster"), str(free_port())],
        cwd=PROJECT_ROOT,
        env={**os.environ, **said},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "('UTC',) utf-8\n"), done.stderr


@pytest.mark.parametrize(("environment", "kept"), [({}, False), ({"DB_HOST": "db.example"}, True)])
def test_children_get_what_is_said_to_clients_only_with_a_given_server(
    environment: dict[str, str], tmp_path: Path, *, kept: bool
) -> None:
    names = set(child_environment(Settings(state_dir=tmp_path), {**FOR_CLIENTS, **environment, "PORT": "5001"}))
    assert names >= {"PORT", "DB_HOST"}
    assert bool(names & set(FOR_CLIENTS)) is kept
