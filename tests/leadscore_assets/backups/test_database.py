"""Of a database that holds a CRM our two schemas are saved and restored; of a run's own, everything."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import psycopg
import pytest

from leadscore.errors import CannotRun, DatabaseUnavailable
from leadscore.settings import Settings
from leadscore_assets.backups.database import Database, copy_sql
from leadscore_assets.commands.set_up_database import set_up
from standalone.postgres import EmbeddedPostgres, program
from standalone.throwaway import new_database

PROGRAMS = str(program("pg_dump").parent)


@pytest.fixture
def saved(database: Settings) -> Database:
    """Give a database with our tables, a row in each schema, a lease, and a table of the CRM."""
    set_up(database)
    with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        connection.execute("CREATE TABLE dossier (id int); INSERT INTO dossier VALUES (1)")
        connection.execute("CREATE TABLE dagster.runs (id serial PRIMARY KEY, run_id text UNIQUE)")
        connection.execute("INSERT INTO dagster.runs (run_id) VALUES ('run-1')")
        connection.execute("INSERT INTO leadscore.materializations VALUES ('evaluation', 'acme', 'run-1', now(), '{}')")
        connection.execute("CREATE TABLE leadscore.control_plane (holder text)")
        connection.execute("INSERT INTO leadscore.control_plane VALUES ('a run')")
    return Database(database, programs_path=PROGRAMS)


@pytest.fixture
def other(postgres_server: EmbeddedPostgres, database: Settings) -> Iterator[Settings]:
    """Give an empty second database."""
    name = f"{database.db_name}_other"
    yield new_database(postgres_server, name)
    with postgres_server.connect() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def dump_of(database: Database) -> Iterator[IO[bytes]]:
    with TemporaryFile() as file:
        database.save(file)
        file.seek(0)
        yield file


def rows(settings: Settings, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(**settings.database_arguments()) as connection:
        return list(connection.execute(query.encode()).fetchall())


def tables(settings: Settings) -> set[str]:
    query = (
        "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('public', 'leadscore', 'dagster')"
    )
    return {str(name) for (name,) in rows(settings, query)}


def test_our_schemas_come_back_without_the_lease_and_the_crm_is_not_touched(saved: Database, other: Settings) -> None:
    with psycopg.connect(**other.database_arguments(), autocommit=True) as connection:
        connection.execute("CREATE TABLE dossier (id int); INSERT INTO dossier VALUES (2)")
    target = Database(other, programs_path=PROGRAMS)

    with dump_of(saved) as dump:
        target.check_restorable(saved.scope, *saved.check_savable())
        target.restore(dump)

    assert tables(other) == tables(saved.settings)
    assert rows(other, "SELECT asset, org_id FROM leadscore.materializations") == [("evaluation", "acme")]
    assert rows(other, "INSERT INTO dagster.runs (run_id) VALUES ('run-2') RETURNING id") == [(2,)]
    assert rows(other, "SELECT count(*) FROM leadscore.control_plane") == [(0,)]
    assert rows(other, "SELECT id FROM dossier") == [(2,)]
    assert set_up(other) is None


def test_a_role_that_owns_the_schemas_alone_saves_and_restores_them(
    postgres_server: EmbeddedPostgres, saved: Database, other: Settings
) -> None:
    role = f"role_of_{other.db_name}"
    with postgres_server.connect() as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'open sesame'".encode())
        connection.execute(f"GRANT CREATE ON DATABASE {other.db_name} TO {role}".encode())
    target = Database(replace(other, db_user=role, db_password="open sesame"), programs_path=PROGRAMS)
    try:
        with dump_of(saved) as dump:
            target.check_restorable("schemas", 18)
            target.restore(dump)
        with dump_of(target) as dump:
            assert dump.read(5) == b"PGDMP"
        assert rows(other, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'dagster'") == [(role,)]
    finally:
        with psycopg.connect(**other.database_arguments(), autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def test_of_a_runs_own_database_everything_comes_back(saved: Database, other: Settings) -> None:
    target = Database(other, is_whole=True, programs_path=PROGRAMS)

    with dump_of(replace(saved, is_whole=True)) as dump:
        target.check_restorable("whole", 18)
        target.restore(dump)

    assert tables(other) == tables(saved.settings)
    assert rows(other, "SELECT id FROM dossier") == [(1,)]


def test_of_a_whole_database_only_our_schemas_go_into_one_with_a_crm(saved: Database, other: Settings) -> None:
    target = Database(other, programs_path=PROGRAMS)

    with dump_of(replace(saved, is_whole=True)) as dump:
        target.check_restorable("whole", 18)
        target.restore(dump)

    assert tables(other) == tables(saved.settings) - {"public.dossier"}


def test_schemas_alone_make_no_runs_own_database(other: Settings) -> None:
    with pytest.raises(CannotRun, match=r"our schemas alone.*DB_HOST"):
        Database(other, is_whole=True, programs_path=PROGRAMS).check_restorable("schemas", 18)


def test_a_database_that_holds_tables_is_refused(saved: Database, other: Settings) -> None:
    with pytest.raises(CannotRun, match=r"holds tables already \(dagster\.runs, leadscore\.absent_ids, .*, \.\.\.\)"):
        saved.check_restorable("schemas", 18)
    with psycopg.connect(**other.database_arguments(), autocommit=True) as connection:
        connection.execute("CREATE TABLE dossier (id int)")
    Database(other, programs_path=PROGRAMS).check_restorable("schemas", 18)
    with pytest.raises(CannotRun, match=r"holds tables already \(public\.dossier\)"):
        Database(other, is_whole=True, programs_path=PROGRAMS).check_restorable("whole", 18)


def test_a_server_older_than_the_one_that_was_saved_is_refused(other: Settings) -> None:
    with pytest.raises(CannotRun, match="is on PostgreSQL 18, but the backup is from 99"):
        Database(other, programs_path=PROGRAMS).check_restorable("schemas", 99)


def test_a_damaged_dump_restores_nothing(saved: Database, other: Settings) -> None:
    with dump_of(saved) as dump, TemporaryFile() as cut:
        content = dump.read()
        cut.write(content[: len(content) // 2])
        cut.seek(0)
        with pytest.raises(CannotRun, match="pg_restore failed on the database"):
            Database(other, programs_path=PROGRAMS).restore(cut)
    assert tables(other) == set()


def test_a_database_without_our_schemas_has_nothing_to_save(database: Settings) -> None:
    with pytest.raises(CannotRun, match="no schema leadscore and dagster"):
        Database(database, programs_path=PROGRAMS).check_savable()


def script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(stat.S_IRWXU)


def test_a_program_that_is_missing_or_too_old_is_said(saved: Database, other: Settings, tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="pg_dump is not on PATH; install PostgreSQL 18's client programs"):
        replace(saved, programs_path=str(tmp_path)).check_savable()
    with pytest.raises(CannotRun, match="pg_restore is not on PATH"):
        Database(other, programs_path=str(tmp_path)).check_restorable("schemas", 18)
    script(tmp_path, "pg_dump", "echo 'pg_dump (PostgreSQL) 15.4 (Debian 15.4-1)'")
    with pytest.raises(CannotRun, match="pg_dump is of release 15, but 18 or newer is needed"):
        replace(saved, programs_path=str(tmp_path)).check_savable()


def test_the_password_is_in_the_programs_environment_alone_and_its_failure_is_one_sentence(
    saved: Database, tmp_path: Path
) -> None:
    script(tmp_path, "pg_dump", 'echo "$@" "$PGPASSWORD"; echo "noise" >&2; echo "pg_dump: error: no luck" >&2; exit 3')
    settings = replace(saved.settings, db_password="s3cret of mine", db_name="a name='x'")
    with TemporaryFile() as file, pytest.raises(CannotRun, match=r"pg_dump failed on the database.*: error: no luck$"):
        Database(settings, programs_path=str(tmp_path)).save(file)
    script(tmp_path, "pg_dump", 'echo "$@"; echo "$PGPASSWORD"')
    with TemporaryFile() as file:
        Database(settings, programs_path=str(tmp_path)).save(file)
        file.seek(0)
        arguments, password = file.read().decode().splitlines()
    assert password == "s3cret of mine"
    assert "s3cret" not in arguments
    assert r"dbname='a name=\'x\''" in arguments
    assert "PGPASSWORD" not in os.environ


def test_a_dump_of_a_newer_pg_dump_is_refused_before_anything_is_made(other: Settings, tmp_path: Path) -> None:
    for name in ("pg_restore", "psql"):
        script(tmp_path, name, f"echo '{name} (PostgreSQL) 18.1'")
    target = Database(other, programs_path=str(tmp_path))
    target.check_restorable("schemas", 15, 18)
    with pytest.raises(
        CannotRun, match="pg_restore is of release 18, but 19 or newer is needed; install PostgreSQL 19"
    ):
        target.check_restorable("schemas", 15, 19)
    script(tmp_path, "psql", "echo 'psql (PostgreSQL) 17.2'")
    with pytest.raises(CannotRun, match="psql is of release 17, but 18 or newer is needed"):
        target.check_restorable("schemas", 15, 18)


def test_a_setting_that_older_servers_do_not_know_is_left_out_and_rows_stay() -> None:
    setting = b"SET transaction_timeout = 0;\n"
    head = b"\\restrict x\n--\n-- a dump\n--\n\nSET lock_timeout = 0;\n"
    rest = b"SET row_security = off;\n\nCREATE TABLE x (y text);\nCOPY x (y) FROM stdin;\n" + setting + b"\\.\n"
    copied = io.BytesIO()
    copy_sql(io.BytesIO(head + setting + rest), copied)
    assert copied.getvalue() == head + rest


def test_psql_is_not_sent_what_older_servers_do_not_know(saved: Database, other: Settings, tmp_path: Path) -> None:
    for name in ("pg_restore", "pg_dump"):
        (tmp_path / name).symlink_to(program(name))
    script(tmp_path, "psql", f'tee {tmp_path}/sent | {program("psql")} "$@"')
    with dump_of(saved) as dump:
        Database(other, programs_path=f"{tmp_path}:/usr/bin:/bin").restore(dump)
    sent = (tmp_path / "sent").read_bytes()
    assert b"transaction_timeout" not in sent
    assert sent.startswith(b"BEGIN;\n")
    assert sent.endswith(b"COMMIT;\n")
    assert tables(other) == tables(saved.settings) - {"public.dossier"}


def test_what_psql_says_of_a_failure_is_passed_on_and_nothing_is_restored(saved: Database, other: Settings) -> None:
    with dump_of(saved) as dump, psycopg.connect(**other.database_arguments(), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA dagster CREATE TABLE runs (id int)")
        with pytest.raises(CannotRun, match=r'psql failed on the database.*ERROR:  relation "runs" already exists'):
            Database(other, programs_path=PROGRAMS).restore(dump)
    assert tables(other) == {"dagster.runs"}


def test_a_database_that_is_away_is_said(database: Settings) -> None:
    with pytest.raises(DatabaseUnavailable, match="DB_HOST"):
        Database(replace(database, db_port=1), programs_path=PROGRAMS).check_savable()
    with TemporaryFile() as file, pytest.raises(CannotRun, match="pg_dump failed"):
        Database(replace(database, db_port=1), programs_path=PROGRAMS).save(file)
