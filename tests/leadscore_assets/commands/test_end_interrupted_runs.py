"""Runs that ended with their code server do not hold up later ones; runs that never had a process are left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test

from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.commands.end_interrupted_runs import WHY, end_interrupted_runs
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.control_plane import held
from standalone.state_dir import child_environment

Status = dg.DagsterRunStatus


def create_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> str:
    """Put a run of the job `train` into this state, and return its id."""
    code_server = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=4000, location_name="leadscore")
    origin = RemoteRepositoryOrigin(code_server, "__repository__").get_job_origin("train")
    return create_run_for_test(instance, job_name="train", status=status, remote_job_origin=origin).run_id


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_only_runs_that_had_a_process_are_ended(tmp_path: Path) -> None:
    ended = {Status.STARTING: Status.FAILURE, Status.STARTED: Status.FAILURE, Status.CANCELING: Status.CANCELED}
    left_alone = (Status.QUEUED, Status.NOT_STARTED, Status.SUCCESS, Status.FAILURE, Status.CANCELED)
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        runs = {status: create_run(instance, status) for status in (*ended, *left_alone)}
        assert end_interrupted_runs(instance) == len(ended)
        for before, run_id in runs.items():
            said = [event.message for event in (entry.dagster_event for entry in instance.all_logs(run_id)) if event]
            assert status_of(instance, run_id) is ended.get(before, before)
            assert said == ([WHY] if before in ended else [])
        assert end_interrupted_runs(instance) == 0


def test_runs_in_containers_of_their_own_go_on_without_the_code_server(tmp_path: Path) -> None:
    launcher = {"module": "dagster_docker", "class": "DockerRunLauncher", "config": {"image": "leadscore-pipeline"}}
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides={"run_launcher": launcher}) as instance:
        run_id = create_run(instance, Status.STARTED)
        assert end_interrupted_runs(instance) == 0
        assert status_of(instance, run_id) is Status.STARTED


def test_the_command_ends_them_and_becomes_what_its_arguments_say(database: Settings) -> None:
    set_up(database)
    database.state_dir.mkdir()
    environment = child_environment(database, os.environ)
    command = [
        sys.executable,
        "-m",
        "leadscore_assets.commands.end_interrupted_runs",
        "-c",
        "import os; print('now', os.getpid())",
    ]
    with subprocess.Popen(
        command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert said.splitlines() == ["Ended 0 interrupted runs.", f"now {process.pid}"]


def test_a_database_that_is_away_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    environment = {**os.environ, "DB_HOST": "127.0.0.1", "DB_PORT": "1", "DAGSTER_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "leadscore_assets.commands.end_interrupted_runs", "-c", "print('started')"]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "PostgreSQL at 127.0.0.1:1 cannot be used" in done.stderr


def test_composes_code_server_holds_the_control_plane_around_what_the_image_starts() -> None:
    service = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())["services"]["code-server"]
    image = (PROJECT_ROOT / "deploy" / "Dockerfile.pipeline").read_text()
    python, *arguments = json.loads(image.split("\nCMD ")[1])
    assert service["command"] == [python, "-m", "leadscore_assets.commands.hold_control_plane", *arguments]
    assert service["stop_grace_period"] == "60s"


def test_the_runs_of_another_registrys_control_plane_are_left_alone(database: Settings) -> None:
    set_up(database)
    database.state_dir.mkdir()
    environment = child_environment(replace(database, model_path=database.state_dir / "other"), os.environ)
    command = [sys.executable, "-m", "leadscore_assets.commands.end_interrupted_runs", "-c", "print('now')"]
    with held(database):
        done = subprocess.run(
            command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert "has a control plane with another registry" in done.stderr
