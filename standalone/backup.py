"""Saves what a run keeps in STATE_DIR, and restores it: with the embedded server, and with its own client programs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from leadscore.errors import CannotRun
from leadscore.settings import Settings
from leadscore_assets.backups.database import Database
from leadscore_assets.commands import backup
from standalone.postgres import HOST, EmbeddedPostgres, program
from standalone.state_dir import (
    check_ports,
    has_own_database,
    is_locked,
    kept_password,
    locked,
    reached_from_outside,
    with_embedded_database,
    with_own_folders,
)

CLUSTER = "postgres"


def save(settings: Settings, environment: Mapping[str, str], file: str, *, without_database: bool = False) -> None:
    """Save into a new file, while the run of STATE_DIR goes on or without one. Raises LeadscoreError."""
    settings = reached_from_outside(settings, environment)
    if without_database or not has_own_database(environment):
        backup.save(settings, file, None if without_database else _database(settings, environment))
        return
    if not (settings.state_dir / CLUSTER).exists():
        raise CannotRun(
            f"there is no run's data in {settings.state_dir}, so there is nothing to save; set STATE_DIR, or the DB_*"
            " settings of the database that the run uses"
        )
    if is_locked(settings.state_dir):  # its server runs
        backup.save(settings, file, _database(settings, environment))
        return
    with _server(settings) as settings:
        backup.save(settings, file, _database(settings, environment))


def restore(settings: Settings, environment: Mapping[str, str], file: str, *, without_database: bool = False) -> None:
    """Restore a file into STATE_DIR, where there is no data and no run goes on. Raises LeadscoreError."""
    settings = with_own_folders(settings, environment)
    with backup.opened(settings, file) as opened:
        description = backup.inspect(settings, opened)  # before anything is made
        backup.check_unused(settings, description)
        if without_database or not has_own_database(environment):
            with locked(settings.state_dir):
                database = None if without_database else _database(settings, environment)
                backup.restore(settings, opened, description, database)
            return
        _database(settings, environment).check_scope(description.database)
        with _server(settings) as settings:
            backup.restore(settings, opened, description, _database(settings, environment))


@contextmanager
def _server(settings: Settings) -> Iterator[Settings]:
    """Run the embedded server, made if needed, with the run's database on it; yield the settings that reach it."""
    with locked(settings.state_dir):
        password = kept_password(settings.state_dir)
        server = EmbeddedPostgres(settings.state_dir / CLUSTER, settings.embedded_db_port, password)
        server.stop_orphan()
        check_ports({"EMBEDDED_DB_PORT": (HOST, settings.embedded_db_port)})
        with server:
            server.create_database(settings.db_name)
            yield with_embedded_database(settings, password)


def _database(settings: Settings, environment: Mapping[str, str]) -> Database:
    is_own = has_own_database(environment)
    # those of the wheel are as new as its server
    folders = [str(program("pg_dump").parent), environment.get("PATH", "")]
    return Database(settings, is_whole=is_own, programs_path=os.pathsep.join(folders))
