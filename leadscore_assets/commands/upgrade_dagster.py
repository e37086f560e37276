"""Dagster's own tables: those that an earlier release of Dagster made are brought to the release that is installed.

Whether they are older is seen by the revision that they carry and the revisions that the installed release knows, which
are read as text: that takes milliseconds, and to import Dagster more than a second, at each start.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from leadscore.errors import CannotRun
from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.source.control_plane import REMEDY, living_holder
from leadscore_assets.source.database import Connection, explaining

# any number of our own: whoever holds it changes Dagster's tables
MIGRATION_LOCK = 7_013_002
INSTANCE_FILE = "dagster.yaml"
DATABASE_SETTINGS = ("host", "port", "name", "user", "password")
SHOWN_LETTERS = 300

PRESENT = "SELECT version_num FROM dagster.alembic_version"


def upgrade_dagster(settings: Settings, connection: Connection) -> str | None:
    """Migrate Dagster's tables if they are older than the installed Dagster; return what was done, None for nothing.

    No process of Dagster may run. Raises CannotRun when they are newer, when another process holds the control plane,
    under which Dagster runs, or when Dagster cannot migrate them.
    """
    if connection.execute("SELECT to_regclass('dagster.alembic_version')").fetchone() == (None,):
        return None  # Dagster makes its tables as it starts
    known, newest = _installed_revisions()
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
        present = {str(revision) for (revision,) in connection.execute(PRESENT)}
        if present == newest:
            return None
        _check_known(present, known)
        _check_stopped(connection)
        _migrate(settings)
    names = " and ".join(sorted(present)) or "none"
    return f"Dagster's tables were brought from revision {names} to Dagster {version('dagster')}."


def has_dagster_tables(connection: Connection) -> bool:
    """Return whether Dagster has made its tables, of which those of its schedules come last."""
    return connection.execute("SELECT to_regclass('dagster.job_ticks')").fetchone() != (None,)


def _installed_revisions() -> tuple[set[str], set[str]]:
    """Return the revisions that the installed Dagster knows, and the newest of them, which no other one follows."""
    dagster = find_spec("dagster")
    if dagster is None or dagster.origin is None:
        raise CannotRun("Dagster is not installed. Run `make setup`.")
    folder = Path(dagster.origin).parent / "_core" / "storage" / "alembic" / "versions"
    text = "\n".join(path.read_text() for path in folder.glob("*.py"))
    known, followed = (
        set(re.findall(rf'^{name} = "(\w+)"', text, re.MULTILINE)) for name in ("revision", "down_revision")
    )
    return known, known - followed


def _check_known(present: set[str], known: set[str]) -> None:
    unknown = " and ".join(sorted(present - known))
    if unknown:
        raise CannotRun(
            f"Dagster's tables have the revision {unknown}, which the installed Dagster {version('dagster')} does not"
            " know, because a newer release made them. Start that release again, or restore the backup that was saved"
            " before the upgrade."
        )


def _check_stopped(connection: Connection) -> None:
    with explaining("looking for the control plane", REMEDY):
        holder = living_holder(connection)
    if holder and not holder.is_this_process:
        raise CannotRun(
            f"Dagster's tables must be migrated to Dagster {version('dagster')}, but the control plane still runs:"
            f" {holder}. Stop it, then start again; if it was killed, wait {holder.left_seconds} s until its lease"
            " expires."
        )


def _migrate(settings: Settings) -> None:
    """Let Dagster do it, in a process of its own with the project's instance, whatever DAGSTER_HOME holds otherwise."""
    with tempfile.TemporaryDirectory(prefix="leadscore-") as home:
        shutil.copyfile(_instance_file(), Path(home) / INSTANCE_FILE)
        database = {f"DB_{name.upper()}": str(getattr(settings, f"db_{name}")) for name in DATABASE_SETTINGS}
        done = subprocess.run(
            [sys.executable, "-m", "dagster", "instance", "migrate"],
            env=os.environ | database | {"DAGSTER_HOME": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise CannotRun(
            f"Dagster {version('dagster')} could not migrate its tables: {last[:SHOWN_LETTERS]}. Start the earlier"
            " release again, or restore the backup that was saved before the upgrade."
        )


def _instance_file() -> Path:
    """Return the project's dagster.yaml, which the image keeps in DAGSTER_HOME."""
    ours = PROJECT_ROOT / INSTANCE_FILE
    return ours if ours.exists() else Path(os.environ.get("DAGSTER_HOME", "")) / INSTANCE_FILE
