"""The database's part of a backup, by PostgreSQL's own pg_dump, pg_restore and psql.

Of a database that holds a CRM, only our schemas are saved and restored. Of one that a run keeps for itself, all is.

pg_restore writes SQL, and psql runs it. By itself pg_restore 17 or newer would not restore to an older server: it sends
a setting that such a server does not know. That setting is left out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

from psycopg.conninfo import make_conninfo

from leadscore.errors import CannotRun
from leadscore.settings import Settings
from leadscore_assets.backups.archive import Scope
from leadscore_assets.source.database import connect, create_schema, explaining
from leadscore_assets.source.preconditions import SCHEMAS, check_database

OUR_SCHEMAS = [f"--schema={schema}" for schema in SCHEMAS]
# the lease of a control plane that does not run where the backup is restored
LEFT_OUT = "--exclude-table-data=leadscore.control_plane"
# servers know it since release 17, and 0 is its default
NEW_SETTING = b"SET transaction_timeout = "
# what the lines begin with that come before those which make something
HEAD = (b"--", b"\n", b"SET ", b"SELECT ", b"\\restrict ")
BLOCK_BYTES = 1 << 20
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


class Releases(NamedTuple):
    """The major releases of the server that is saved, and of the pg_dump that saves it."""

    server: int
    pg_dump: int


class Program(NamedTuple):
    """One of PostgreSQL's programs, and its major release."""

    path: str
    release: int


@dataclass(frozen=True)
class Database:
    """A database to save or restore; `is_whole` when nobody else's tables are in it.

    `programs_path` are the folders in which PostgreSQL's programs are looked for, those of PATH when None.
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

    def check_savable(self) -> Releases:
        """Return the releases that save it. Raises CannotRun when there is nothing to save, or no fit pg_dump."""
        release, missing = self._look(MISSING_SCHEMAS)
        if missing:
            raise CannotRun(
                f"{self._name} has no schema {' and '.join(missing)}, so there is nothing to save; correct the DB_*"
                " settings, or save --without-database"
            )
        return Releases(release, self._program("pg_dump", release).release)

    def save(self, target: IO[bytes]) -> None:
        """Write a dump into the file, as of one moment. Raises CannotRun."""
        what = [] if self.is_whole else OUR_SCHEMAS
        with TemporaryFile() as said:
            command = ("--format=custom", LEFT_OUT, *what)
            with self._started("pg_dump", self._where, *command, stdout=target, stderr=said) as pg_dump:
                pass
            self._check_done("pg_dump", pg_dump, said)

    def check_scope(self, scope: Scope | None) -> None:
        """Raise CannotRun when the backup lacks the CRM that a run's own database must hold. Nothing is asked."""
        if self.is_whole and scope == "schemas":
            raise CannotRun(
                "the backup has our schemas alone, since its database was named by DB_HOST; set DB_HOST to where the"
                " CRM is, or restore --without-database"
            )

    def check_restorable(self, scope: Scope, saved_from: int, dumped_by: int | None = None) -> None:
        """Raise CannotRun unless a dump of this scope and of a server of that release can be restored here.

        `dumped_by` is the release of the pg_dump that wrote it, None when it was not recorded.
        """
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
        pg_restore = self._program("pg_restore", max(saved_from, dumped_by or 0))
        self._program("psql", pg_restore.release)  # which knows the commands that pg_restore writes for it

    def restore(self, dump: IO[bytes]) -> None:
        """Restore the dump, all of it or nothing; what is restored belongs to DB_USER. Raises CannotRun."""
        what: list[str] = []
        if not self.is_whole:
            what = OUR_SCHEMAS  # which selects what is in the schemas, and not the schemas themselves
            with connect(self.settings) as connection, connection.transaction():
                for schema in SCHEMAS:
                    create_schema(connection, schema)
        as_sql = ("--file=-", "--no-owner", "--no-privileges", *what)
        run_sql = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", self._where)
        with (
            TemporaryFile() as said_by_reader,
            TemporaryFile() as said_by_psql,
            self._started(
                "psql", *run_sql, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said_by_psql
            ) as psql,
            self._started(
                "pg_restore", *as_sql, stdin=dump, stdout=subprocess.PIPE, stderr=said_by_reader
            ) as pg_restore,
        ):
            is_read = _run_as_one(pg_restore, psql)
            done = [("pg_restore", pg_restore, said_by_reader), ("psql", psql, said_by_psql)]
            for name, process, said in done if is_read else reversed(done):  # the one that failed first comes first
                self._check_done(name, process, said)

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

    def _program(self, name: str, lowest_release: int) -> Program:
        """Return one of PostgreSQL's programs. Raises CannotRun when it is missing or too old."""
        release_needed = f"PostgreSQL {lowest_release}'s" if lowest_release else "PostgreSQL's"
        remedy = f"install {release_needed} client programs and put them on PATH, or leave the database out"
        path = shutil.which(name, path=self.programs_path)
        if path is None:
            raise CannotRun(f"{name} is not on PATH; {remedy} (--without-database)")
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"\) (\d+)", said)
        release = int(found[1]) if found else 0
        if release < lowest_release:
            raise CannotRun(
                f"{path} is of release {release}, but {lowest_release} or newer is needed;"
                f" {remedy} (--without-database)"
            )
        return Program(path, release)

    @property
    def _where(self) -> str:
        known = self.settings.database_arguments()
        return f"--dbname={make_conninfo(**{name: value for name, value in known.items() if name != 'password'})}"

    def _started(self, name: str, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
        """Start the program. Its environment has the password, and what psycopg would read as well."""
        password = self.settings.database_arguments()["password"]
        return subprocess.Popen(
            [self._program(name, 0).path, "--no-password", *arguments],
            env=os.environ | {"PGPASSWORD": password, "LC_ALL": "C"},
            **streams,
        )

    def _check_done(self, name: str, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        """Raise CannotRun, with what the program said, when it has failed."""
        if (code := process.wait()) == 0:
            return
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines() or [f"exit code {code}"]
        why = next((line for line in lines if "error:" in line.lower()), lines[0])[:SHOWN_LETTERS]
        raise CannotRun(f"{name} failed on {self._name}: {why.removeprefix(f'{name}: ')}")


def _run_as_one(pg_restore: subprocess.Popen[bytes], psql: subprocess.Popen[bytes]) -> bool:
    """Let psql run what pg_restore writes, in one transaction; return False when psql ended before.

    The end is committed only once pg_restore has succeeded: psql by itself would take a dump that was cut for a whole.
    """
    source, target = pg_restore.stdout, psql.stdin
    if source is None or target is None:
        raise ValueError("both need a pipe")
    try:
        target.write(b"BEGIN;\n")
        copy_sql(source, target)
        if pg_restore.wait() == 0:
            target.write(b"COMMIT;\n")
        target.close()
    except BrokenPipeError:
        with suppress(BrokenPipeError):
            target.close()
        source.close()
        return False
    return True


def copy_sql(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy what pg_restore wrote, without the setting that older servers do not know. Rows are not looked at."""
    for line in source:
        if line.startswith(NEW_SETTING):
            continue
        target.write(line)
        if not line.startswith(HEAD):
            break
    shutil.copyfileobj(source, target, BLOCK_BYTES)
