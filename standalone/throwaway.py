"""A temporary PostgreSQL server for a measurement or a test."""

from __future__ import annotations

import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leadscore.settings import Settings
from standalone.postgres import HOST, SUPERUSER, EmbeddedPostgres


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def throwaway_server() -> Iterator[EmbeddedPostgres]:
    """Yield a running server in a temporary folder; it does not flush its writes to the disk."""
    with (
        tempfile.TemporaryDirectory(prefix="leadscore-") as folder,
        EmbeddedPostgres(Path(folder) / "cluster", free_port(), secrets.token_hex(8), is_durable=False) as server,
    ):
        yield server


def new_database(server: EmbeddedPostgres, name: str) -> Settings:
    """Create an empty database on `server`, and return settings that point to it."""
    server.create_database(name)
    return Settings(db_host=HOST, db_port=server.port, db_name=name, db_user=SUPERUSER, db_password=server.password)
