"""The database's part of a backup, by PostgreSQL's own pg_dump and pg_restore.

Of a database that holds a CRM, only our schemas are saved and restored. Of one that a run keeps for itself, all is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import IO, Any

from psycopg.conninfo import make_conninfo

from leadscore.errors import CannotRun
from leadscore.settings import Settings
from leadscore_assets.backups.archive import Scope
from leadscore_assets.source.database import connect, create_schema, explaining
from leadscore_assets.source.preconditions import SCHEMAS, check_database

OUR_SCHEMAS = [f"--schema={schema}" for schema in SCHEMAS]
# the lease of a control plane that does not run where the backup is restored
LEFT_OUT = "--exclude-table-data=leadscore.control_plane"
SHOWN_TABLES = 3
SHOWN_LETTERS = 300

TABLES = """
SELECT format('%%I.%%I', nspname, relname)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'p') AND nspname NOT LIKE 'pg\\_%%' AND nspname <> 'information_schema'
    AND (%(is_whole)s OR nspname = ANY (%(schemas)s))
ORDER BY 1
"""
MISSING_SCHEMAS = "SELECT name FROM unnest(%(schemas)s::text[]) AS name WHERE to_regnamespace(name) IS NULL"


@dataclass(frozen=True)
class Database:
    """A database to save or restore; `is_whole` when nobody else's tables are in it.

    `programs_path` are the folders in which pg_dump and pg_restore are looked for, those of PATH when None.
    """

    settings: Settings
    is_whole: bool = False
    programs_path: str | None = None

    @property
    def scope(self) -> Scope:
        """What of it belongs to a backup."""
        return "whole" if self.is_whole else "schemas"

    @property
    def _name(self) -> str:
        return f"the database {self.settings.db_name} at {self.settings.db_host}:{self.settings.db_port}"

    def check_savable(self) -> int:
        """Return the server's major release. Raises CannotRun when there is nothing to save, or no fit pg_dump."""
        release, missing = self._look(MISSING_SCHEMAS)
        if missing:
            raise CannotRun(
                f"{self._name} has no schema {' and '.join(missing)}, so there is nothing to save; correct the DB_*"
                " settings, or save --without-database"
            )
        self._program("pg_dump", release)
        return release

    def save(self, target: IO[bytes]) -> None:
        """Write a dump into the file, as of one moment. Raises CannotRun."""
        what = [] if self.is_whole else OUR_SCHEMAS
        self._run("pg_dump", "--format=custom", LEFT_OUT, *what, stdout=target)

    def check_scope(self, scope: Scope | None) -> None:
        """Raise CannotRun when the backup lacks the CRM that a run's own database must hold. Nothing is asked."""
        if self.is_whole and scope == "schemas":
            raise CannotRun(
                "the backup has our schemas alone, since its database was named by DB_HOST; set DB_HOST to where the"
                " CRM is, or restore --without-database"
            )

    def check_restorable(self, scope: Scope, saved_from: int) -> None:
        """Raise CannotRun unless a dump of this scope and of a server of that release can be restored here."""
        self.check_scope(scope)
        check_database(self.settings)
        release, tables = self._look(TABLES)
        if tables:
            more = ", ..." if len(tables) > SHOWN_TABLES else ""
            raise CannotRun(
                f"{self._name} holds tables already ({', '.join(tables[:SHOWN_TABLES])}{more}), but a backup is"
                " restored where there are none; drop them, name another database, or restore --without-database"
            )
        if release < saved_from:
            raise CannotRun(
                f"{self._name} is on PostgreSQL {release}, but the backup is from {saved_from}; use a server of"
                f" release {saved_from} or newer"
            )
        self._program("pg_restore", saved_from)

    def restore(self, dump: IO[bytes]) -> None:
        """Restore the dump, all of it or nothing; what is restored belongs to DB_USER. Raises CannotRun."""
        what: list[str] = []
        if not self.is_whole:
            what = OUR_SCHEMAS  # which selects what is in the schemas, and not the schemas themselves
            with connect(self.settings) as connection, connection.transaction():
                for schema in SCHEMAS:
                    create_schema(connection, schema)
        how = ("--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
        self._run("pg_restore", *how, *what, stdin=dump)

    def _look(self, query: str) -> tuple[int, list[str]]:
        """Return the server's major release, and the names that the query gives."""
        parameters = {"schemas": list(SCHEMAS), "is_whole": self.is_whole}
        with (
            connect(self.settings, read_only=True) as connection,
            explaining("looking at the database", "Use another role (DB_USER)."),
            connection.transaction(),
        ):
            names = [str(name) for (name,) in connection.execute(query, parameters)]
            return connection.info.server_version // 10_000, names

    def _program(self, name: str, lowest_release: int) -> str:
        """Return the path of one of PostgreSQL's programs. Raises CannotRun when it is missing or too old."""
        remedy = (
            f"install PostgreSQL {lowest_release}'s client programs and put them on PATH, or leave the database out"
        )
        path = shutil.which(name, path=self.programs_path)
        if path is None:
            raise CannotRun(f"{name} is not on PATH; {remedy} (--without-database)")
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"\) (\d+)", said)
        release = int(found[1]) if found else 0
        if release < lowest_release:
            raise CannotRun(
                f"{path} is of release {release}, but PostgreSQL {lowest_release} needs its own or a newer one;"
                f" {remedy} (--without-database)"
            )
        return path

    def _run(self, name: str, *arguments: str, **streams: Any) -> None:
        """Run the program on the database. Its environment has the password, and what psycopg would read as well."""
        known = self.settings.database_arguments()
        password = known.pop("password")
        where = f"--dbname={make_conninfo(**known)}"
        done = subprocess.run(
            [self._program(name, 0), "--no-password", where, *arguments],
            env=os.environ | {"PGPASSWORD": password, "LC_ALL": "C"},
            stderr=subprocess.PIPE,
            check=False,
            **streams,
        )
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
            why = next((line for line in lines if "error:" in line), lines[0])[:SHOWN_LETTERS]
            raise CannotRun(f"{name} failed on {self._name}: {why.removeprefix(f'{name}: ')}")
