"""What tests of several packages share: a real PostgreSQL, with a fresh database for each test that asks for one."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import sql

from leadscore.settings import Settings
from standalone.postgres import HOST, SUPERUSER, EmbeddedPostgres


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Give a function that returns a port that nobody listens on."""
    return _find_free_port


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """Give one throw-away server per test process."""
    folder = Path(tempfile.mkdtemp(prefix="leadscore-tests-"))
    try:
        with EmbeddedPostgres(folder / "cluster", _find_free_port(), secrets.token_hex(8), is_durable=False) as server:
            yield server
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def database(postgres_server: EmbeddedPostgres, tmp_path: Path) -> Iterator[Settings]:
    """Give settings that point to an empty database of the test's own."""
    name = f"test_{os.getpid()}_{secrets.token_hex(6)}"
    postgres_server.create_database(name)
    yield Settings(
        db_host=HOST,
        db_port=postgres_server.port,
        db_name=name,
        db_user=SUPERUSER,
        db_password=postgres_server.password,
        model_path=tmp_path / "models",
        state_dir=tmp_path / "state",
    )
    with postgres_server.connect() as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
