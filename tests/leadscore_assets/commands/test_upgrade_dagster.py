"""Tables that an older Dagster made are migrated once, before Dagster starts; those of a newer one are refused."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import dagster as dg
import dagster_postgres
import psycopg
import pytest
from alembic.script import ScriptDirectory
from dagster._core.test_utils import create_run_for_test
from dagster_postgres.utils import pg_alembic_config

from leadscore.errors import CannotRun
from leadscore.settings import Settings
from leadscore_assets.commands import upgrade_dagster
from leadscore_assets.commands.set_up_database import main, set_up
from leadscore_assets.source.control_plane import held

# a revision after which this column was added
OLDER = "6b7fb194ff9c"
[NEWEST] = upgrade_dagster._installed_revisions()[1]
COLUMN = "using_default_limit"
REFUSE = """
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no change today'; END $$;
CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION refuse()
"""
MIGRATED = f"Dagster's tables were brought from revision {OLDER} to Dagster {version('dagster')}."


def made_older(settings: Settings, revision: str = OLDER) -> None:
    with psycopg.connect(**settings.database_arguments()) as connection:
        connection.execute(f"ALTER TABLE dagster.concurrency_limits DROP COLUMN IF EXISTS {COLUMN}".encode())
        connection.execute("UPDATE dagster.alembic_version SET version_num = %s", [revision])


def state(settings: Settings) -> tuple[list[Any], bool]:
    """Return the revisions that the tables carry, and whether they have the newest one's column."""
    query = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'dagster' AND column_name = %s"
    with psycopg.connect(**settings.database_arguments()) as connection:
        revisions = connection.execute("SELECT version_num FROM dagster.alembic_version").fetchall()
        return revisions, connection.execute(query, [COLUMN]).fetchone() == (1,)


def test_the_newest_revision_is_dagsters_own_head_and_all_of_its_scripts_are_known() -> None:
    scripts = ScriptDirectory.from_config(pg_alembic_config(dagster_postgres.__file__ + "/x"))

    known, newest = upgrade_dagster._installed_revisions()

    assert newest == set(scripts.get_heads())
    assert known == {script.revision for script in scripts.walk_revisions()}


def test_older_tables_are_migrated_once_and_keep_their_runs(
    database: Settings, postgres_instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    run = create_run_for_test(postgres_instance, job_name="train", status=dg.DagsterRunStatus.SUCCESS)
    made_older(database)

    assert main() == 0

    first = capsys.readouterr().out.splitlines()
    assert (first[0], len(first)) == (MIGRATED, 2)
    assert state(database) == ([(NEWEST,)], True)
    assert set_up(database) is None
    found = postgres_instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status is dg.DagsterRunStatus.SUCCESS


def test_nothing_is_started_when_the_tables_are_not_older(
    database: Settings, postgres_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("no process is needed")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert state(database) == ([(NEWEST,)], True)
    assert set_up(database) is None


def test_tables_of_a_newer_dagster_are_refused_and_left_alone(
    database: Settings, postgres_instance: dg.DagsterInstance
) -> None:
    made_older(database, "ffffffffffff")

    with pytest.raises(CannotRun, match=r"revision ffffffffffff, which the installed Dagster .* does not know"):
        set_up(database)
    assert state(database) == ([("ffffffffffff",)], False)


def test_two_set_ups_at_once_migrate_once(database: Settings, postgres_instance: dg.DagsterInstance) -> None:
    made_older(database)
    with ThreadPoolExecutor(2) as pool:
        assert sorted(map(str, pool.map(set_up, [database] * 2))) == [MIGRATED, "None"]


def test_what_dagster_says_of_a_failure_is_passed_on(database: Settings, postgres_instance: dg.DagsterInstance) -> None:
    made_older(database)
    with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        connection.execute(REFUSE)
    with pytest.raises(CannotRun, match=r"could not migrate its tables: .+ Start the earlier release"):
        set_up(database)


def test_while_another_process_holds_the_control_plane_nothing_is_migrated(
    database: Settings, postgres_instance: dg.DagsterInstance
) -> None:
    made_older(database)
    with held(database), psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        connection.execute("UPDATE leadscore.control_plane SET process_id = 4711, host = 'elsewhere'")
        with pytest.raises(CannotRun, match=r"control plane still runs: process 4711 on elsewhere, .*\. Stop it"):
            set_up(database)
        assert state(database) == ([(OLDER,)], False)
        connection.execute("UPDATE leadscore.control_plane SET heartbeat_at = heartbeat_at - interval '31 s'")
        assert set_up(database) == MIGRATED


def test_the_control_plane_itself_migrates_as_it_starts(
    database: Settings, postgres_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrated: list[Settings] = []
    monkeypatch.setattr(upgrade_dagster, "_migrate", migrated.append)
    made_older(database)
    with held(database):
        assert set_up(database) == MIGRATED
    assert migrated == [database]


def test_a_control_plane_that_runs_is_no_obstacle_when_nothing_is_to_be_migrated(
    database: Settings, postgres_instance: dg.DagsterInstance
) -> None:
    with held(database), psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        connection.execute("UPDATE leadscore.control_plane SET process_id = 4711")
        assert set_up(database) is None
