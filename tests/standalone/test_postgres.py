"""The embedded PostgreSQL: it comes up for root and for others, anywhere, and nothing of it outlives its parent."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from leadscore.errors import CannotRun
from leadscore.settings import PROJECT_ROOT
from standalone import postgres
from standalone.postgres import EmbeddedPostgres

PASSWORD = "not a real secret"
PARENT = """
import sys, time
from pathlib import Path
from standalone.postgres import EmbeddedPostgres
EmbeddedPostgres(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], is_durable=False).start()
print("started", flush=True)
time.sleep(600)
"""


def server_in(folder: Path, port: int) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder / "cluster", port, PASSWORD, is_durable=False)


def wait_until(is_done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not is_done():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def server_pid(folder: Path) -> int:
    return int((folder / "cluster" / "postmaster.pid").read_text().split()[0])


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    return free_port()


@pytest.fixture
def orphan(tmp_path: Path, port: int) -> Iterator[int]:
    """Give the process id of a server whose parent was just killed outright."""
    command = [sys.executable, "-c", PARENT, str(tmp_path / "cluster"), str(port), PASSWORD]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        pid = server_pid(tmp_path)
        parent.kill()
    yield pid
    if not is_gone(pid):
        os.kill(pid, signal.SIGKILL)


def test_data_survives_a_restart(tmp_path: Path, port: int) -> None:
    with server_in(tmp_path, port) as server, server.connect() as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with server_in(tmp_path, port) as server, server.connect() as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_only_the_password_opens_it_and_only_this_machine_reaches_it(tmp_path: Path, port: int) -> None:
    with server_in(tmp_path, port) as server:
        with server.connect() as connection:
            listens = connection.execute(
                "SELECT current_setting('listen_addresses'), current_setting('unix_socket_directories')"
            ).fetchone()
        server.password = "a guess"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            server.connect()
    assert listens == ("127.0.0.1", "")


def test_files_are_for_the_servers_user_only_and_no_password_is_left(tmp_path: Path, port: int) -> None:
    with server_in(tmp_path, port):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cluster", "cluster.log"]
    assert (tmp_path / "cluster").stat().st_mode & 0o777 == 0o700
    assert PASSWORD not in (tmp_path / "cluster.log").read_text()


def test_server_runs_below_a_folder_that_only_its_owner_enters(tmp_path: Path, port: int) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with server_in(closed, port) as server, server.connect() as connection:
        status = Path(f"/proc/{server_pid(closed)}/status").read_text()
        connection.execute("CREATE TABLE rows AS SELECT generate_series(1, 1000)")
    assert closed.stat().st_mode & 0o777 == 0o700
    assert closed.stat().st_uid == os.geteuid()
    assert re.search(r"^Uid:\t0\t", status, re.MULTILINE) is None
    effective = int(re.search(r"^CapEff:\t(\w+)", status, re.MULTILINE)[1], 16)
    assert effective & ~0b10 == 0, "the server may at most reach files as root does"


def test_cluster_that_was_not_finished_is_made_again(tmp_path: Path, port: int) -> None:
    unfinished = tmp_path / "cluster.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18")
    with server_in(tmp_path, port) as server, server.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not unfinished.exists()


def test_taken_port_is_reported_with_the_servers_own_words(tmp_path: Path, port: int) -> None:
    with (
        server_in(tmp_path / "one", port),
        pytest.raises(CannotRun, match=r"(?s)ended with code 1.*Address already in use"),
    ):
        server_in(tmp_path / "two", port).start()


def test_server_dies_with_a_parent_that_was_killed(orphan: int) -> None:
    wait_until(lambda: is_gone(orphan), "the server followed its parent")


def test_server_left_behind_is_stopped_by_the_next_start(tmp_path: Path, port: int) -> None:
    """Where no signal comes when a parent dies, the next start finds the server and stops it."""
    left_behind = server_in(tmp_path, port)
    left_behind.start()
    old_pid = server_pid(tmp_path)
    with server_in(tmp_path, port) as server, server.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert server_pid(tmp_path) != old_pid
    with pytest.raises(CannotRun, match="ended with code 0"):
        left_behind.raise_if_ended()


def test_pid_file_that_names_another_process_does_not_stop_it(tmp_path: Path, port: int) -> None:
    with server_in(tmp_path, port):
        pass
    (tmp_path / "cluster" / "postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path}/cluster\n")
    with server_in(tmp_path, port) as server, server.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_missing_wheel_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "find_spec", {}.get)
    with pytest.raises(CannotRun, match="make setup"):
        postgres.program("initdb")
