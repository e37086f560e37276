"""A run's folder (STATE_DIR), its ports, and the environment of its child processes."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from leadscore.errors import CannotRun
from leadscore.secret_file import kept_secret
from leadscore.settings import PROJECT_ROOT, Settings
from standalone.postgres import HOST, SUPERUSER, forget_client_settings, without_client_settings

# `make clean` empties only a folder whose lock file begins with these words
LOCK_TEXT = "A run of the standalone Leadscore keeps its files here.\n"

# in the environment of every child: the folder of its run
RUN_MARK = "LEADSCORE_RUN_IN"
ORPHAN_SECONDS = 10.0
PASSWORD_FILE = "postgres.password"  # noqa: S105 (the name of the file that holds it)


@contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Create the folder if needed, and lock it for this process. Raises CannotRun when another process holds it."""
    state_dir.mkdir(parents=True, exist_ok=True)
    (state_dir / "logs").mkdir(exist_ok=True)
    with (state_dir / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotRun(
                f"Another run already uses {state_dir}. Stop it with Ctrl-C, or set STATE_DIR to another folder"
                " (and PORT, DAGSTER_PORT, CODE_SERVER_PORT and EMBEDDED_DB_PORT to free ports)."
            ) from None
        lock.truncate(0)
        lock.write(LOCK_TEXT)
        lock.flush()
        yield


def is_locked(state_dir: Path) -> bool:
    """Return whether another process holds the folder, as a run does."""
    try:
        with locked(state_dir):
            return False
    except CannotRun:
        return True


def end_orphans(state_dir: Path) -> int:
    """End the processes that a killed run of this folder left behind; return their number.

    The caller holds the folder's lock. Only Linux shows the environment of a process, so elsewhere none is found.
    """
    deadline = time.monotonic() + ORPHAN_SECONDS
    first = _orphans(state_dir)
    while (left := _orphans(state_dir)) and time.monotonic() < deadline:
        for process_id in left:
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        time.sleep(0.1)
    return len(first)


def _orphans(state_dir: Path) -> list[int]:
    mark = f"{RUN_MARK}={state_dir}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it ended just now, or is another user's
            if mark in entry.read_bytes().split(b"\0") and int(entry.parent.name) != os.getpid():
                found.append(int(entry.parent.name))
    return found


def check_ports(ports: Mapping[str, tuple[str, int]]) -> None:
    """Raise CannotRun, naming every setting whose port another program uses."""
    names = [[name for name, (_, other) in ports.items() if other == port] for _, port in ports.values()]
    for same in (group for group in names if len(group) > 1):
        raise CannotRun(f"{' and '.join(same)} are the same port. Set them to different ports.")
    taken = [f"{name} is {port}" for name, (host, port) in ports.items() if not _is_free(host, port)]
    if taken:
        raise CannotRun(
            f"{', '.join(taken)}: another program listens on that port, or this user may not listen on it."
            " Stop that program, or set another port."
        )


def accepts_connections(host: str, port: int) -> bool:
    """Return whether a program listens at this address."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def kept_password(state_dir: Path) -> str:
    """Return the embedded server's password, which is created once and readable only by its owner."""
    return kept_secret(state_dir / PASSWORD_FILE)


def is_given(environment: Mapping[str, str], name: str) -> bool:
    """Return whether the environment sets `name`; empty counts as not set, as it does for the settings."""
    return bool(environment.get(name, "").strip())


def has_own_database(environment: Mapping[str, str]) -> bool:
    """Return whether a run in this environment starts a database of its own."""
    return not is_given(environment, "DB_HOST")


def with_own_folders(settings: Settings, environment: Mapping[str, str]) -> Settings:
    """Return the settings with absolute folders, because children may start in another folder.

    A run with an embedded database keeps its models in STATE_DIR, too, unless MODEL_PATH is set.
    """
    state_dir = settings.state_dir.resolve()
    is_beside = has_own_database(environment) and not is_given(environment, "MODEL_PATH")
    given = settings.model_path.resolve() if isinstance(settings.model_path, Path) else settings.model_path
    model_path = state_dir / "models" if is_beside else given
    return replace(settings, state_dir=state_dir, model_path=model_path)


def with_embedded_database(settings: Settings, password: str) -> Settings:
    """Return the settings with the embedded server as the database."""
    return replace(settings, db_host=HOST, db_port=settings.embedded_db_port, db_user=SUPERUSER, db_password=password)


def reached_from_outside(settings: Settings, environment: Mapping[str, str]) -> Settings:
    """Return the settings with which another command finds the run's registry and database."""
    settings = with_own_folders(settings, environment)
    if not has_own_database(environment) or not (settings.state_dir / PASSWORD_FILE).exists():
        return settings
    forget_client_settings()
    return with_embedded_database(settings, kept_password(settings.state_dir))


def dagster_home(settings: Settings) -> Path:
    """Return Dagster's folder, with the project's dagster.yaml in it."""
    home = settings.state_dir / "dagster"
    home.mkdir(exist_ok=True)
    shutil.copyfile(PROJECT_ROOT / "dagster.yaml", home / "dagster.yaml")
    return home


def child_environment(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` with what the children need to find the database, the registry and one another."""
    return {
        **(without_client_settings(environment) if has_own_database(environment) else environment),
        "DB_HOST": settings.db_host,
        "DB_PORT": str(settings.db_port),
        "DB_NAME": settings.db_name,
        "DB_USER": settings.db_user,
        "DB_PASSWORD": settings.db_password,
        "MODEL_PATH": str(settings.model_path),
        "STATE_DIR": str(settings.state_dir),
        "TOKENS_FILE": str(settings.tokens_path.resolve()),
        RUN_MARK: str(settings.state_dir),
        "DAGSTER_HOME": str(dagster_home(settings)),
        "DAGSTER_URL": f"http://{HOST}:{settings.dagster_port}",
        "DAGSTER_TOKEN": settings.dagster_token or secrets.token_urlsafe(32),
        "DAGSTER_CODE_SERVER_HOST": HOST,
        "DAGSTER_CODE_SERVER_PORT": str(settings.code_server_port),
        "PYTHONUNBUFFERED": "1",
    }


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
