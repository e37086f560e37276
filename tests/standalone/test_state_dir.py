"""The folder of a run is one run's, and taken ports are named by their settings."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leadscore.errors import CannotRun
from leadscore.settings import Settings
from standalone.postgres import HOST
from standalone.state_dir import (
    RUN_MARK,
    check_ports,
    child_environment,
    end_orphans,
    has_own_database,
    kept_password,
    locked,
    with_own_folders,
)


def test_second_run_on_a_folder_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    with locked(tmp_path / "state"), pytest.raises(CannotRun, match=r"Another run already uses .*STATE_DIR"):
        locked(tmp_path / "state").__enter__()
    with locked(tmp_path / "state"):
        assert (tmp_path / "state" / "logs").is_dir()


def test_what_a_killed_run_left_behind_is_ended_and_nothing_else(tmp_path: Path) -> None:
    """A process that the folder's run started goes; one that only knows the folder stays."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    left = subprocess.Popen(command, env={**os.environ, RUN_MARK: str(tmp_path)})
    other = subprocess.Popen(command, env={**os.environ, "STATE_DIR": str(tmp_path), RUN_MARK: str(tmp_path / "x")})
    try:
        assert end_orphans(tmp_path) == 1
        assert left.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        assert end_orphans(tmp_path) == 0
    finally:
        other.kill()
        other.wait()


def test_two_settings_with_one_port_are_named() -> None:
    with pytest.raises(CannotRun, match=r"^PORT and DAGSTER_PORT are the same port"):
        check_ports({"PORT": ("127.0.0.1", 5600), "DAGSTER_PORT": ("127.0.0.1", 5600)})


def test_every_taken_port_is_named_by_its_setting(free_port: Callable[[], int]) -> None:
    with socket.create_server((HOST, 0)) as one, socket.create_server((HOST, 0)) as two:
        ports = {"PORT": one.getsockname()[1], "DAGSTER_PORT": free_port(), "CODE_SERVER_PORT": two.getsockname()[1]}
        with pytest.raises(CannotRun, match=rf"^PORT is {ports['PORT']}, CODE_SERVER_PORT is \d+: another program"):
            check_ports({name: (HOST, port) for name, port in ports.items()})
        check_ports({"DAGSTER_PORT": (HOST, ports["DAGSTER_PORT"])})


def test_password_is_kept_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    password = kept_password(tmp_path)
    assert len(password) == 48
    assert kept_password(tmp_path) == password
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_children_find_the_database_the_registry_and_one_another(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, db_password="p", dagster_port=3456, code_server_port=4567)
    environment = child_environment(settings, {"AS_OF": "2026-01-01", "DB_PASSWORD": "other"})
    assert environment["AS_OF"] == "2026-01-01"
    assert environment["DB_PASSWORD"] == "p"
    assert environment["DAGSTER_URL"] == "http://127.0.0.1:3456"
    assert environment["DAGSTER_CODE_SERVER_PORT"] == "4567"
    assert (Path(environment["DAGSTER_HOME"]) / "dagster.yaml").is_file()


@pytest.mark.parametrize(
    ("environment", "has_own", "models"),
    [
        ({}, True, "state/models"),
        ({"DB_HOST": "", "MODEL_PATH": " "}, True, "state/models"),
        ({"MODEL_PATH": "given"}, True, "given"),
        ({"DB_HOST": "db"}, False, "given"),
        ({"DB_HOST": "db", "MODEL_PATH": "given"}, False, "given"),
    ],
    ids=["nothing", "nothing but empty", "models", "database", "both"],
)
def test_run_with_its_own_database_keeps_its_models_beside_it(
    environment: dict[str, str], has_own: bool, models: str, tmp_path: Path
) -> None:
    settings = Settings(state_dir=tmp_path / "state", model_path=tmp_path / "given")
    assert has_own_database(environment) == has_own
    assert with_own_folders(settings, environment).model_path == tmp_path / models


def test_folders_of_a_run_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = with_own_folders(Settings(state_dir=Path("s"), model_path=Path("m")), {"DB_HOST": "db"})
    assert (settings.state_dir, settings.model_path) == (tmp_path / "s", tmp_path / "m")


def test_a_registry_at_a_url_stays_where_it_is(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, model_path="s3://bucket/models")
    for environment in ({"DB_HOST": "db", "MODEL_PATH": "s3://bucket/models"}, {"MODEL_PATH": "s3://bucket/models"}):
        assert with_own_folders(settings, environment).model_path == "s3://bucket/models"
