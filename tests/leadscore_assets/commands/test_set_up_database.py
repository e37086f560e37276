"""Setting up a database: schemas and tables, any number of times, with a clear word either way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from leadscore.features import CONTRACT
from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import connect


def run_setup(settings: Settings) -> subprocess.CompletedProcess[str]:
    names = ("db_host", "db_port", "db_name", "db_user", "db_password")
    return subprocess.run(
        [sys.executable, "-m", "leadscore_assets.commands.set_up_database"],
        env=os.environ | {name.upper(): str(getattr(settings, name)) for name in names},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_makes_the_schemas_and_says_so_each_time(database: Settings) -> None:
    for _ in range(2):
        done = run_setup(database)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            f"{database.db_name} at {database.db_host}:{database.db_port} now has the schemas leadscore and dagster.\n"
        )
    with connect(database) as connection:
        found = connection.execute(
            "SELECT table_name, count(*) FROM information_schema.columns WHERE table_schema = 'leadscore'"
            " GROUP BY table_name ORDER BY table_name"
        ).fetchall()
        columns = {
            "absent_ids": 3,
            "conversion_records": 8 + len(CONTRACT.names),
            "lead_features": 8 + len(CONTRACT.names),
            "materializations": 7,
            "org_identities": 4,
        }
        assert columns.items() <= dict(found).items()
        # those of scores and of the orgs' health have tests of their own
        assert {"call_list", "lead_score", "org_health"} <= dict(found).keys()
        assert connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'dagster'").fetchone() == (1,)


def test_tables_of_an_earlier_release_get_the_columns_that_they_lack(database: Settings) -> None:
    set_up(database)
    with connect(database) as connection:
        connection.execute("ALTER TABLE leadscore.lead_features DROP COLUMN created_on, DROP COLUMN is_held_out")
    set_up(database)
    with connect(database) as connection:
        connection.execute("SELECT created_on, is_held_out FROM leadscore.lead_features")


def test_a_database_that_is_away_is_one_clear_line_without_the_password(
    database: Settings, free_port: Callable[[], int]
) -> None:
    done = run_setup(Settings(db_host="127.0.0.1", db_port=free_port(), db_password="open-sesame"))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "DB_HOST" in done.stderr
    assert "open-sesame" not in done.stderr


def test_setting_up_twice_at_once_is_harmless(database: Settings) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(set_up, [database] * 4)) == [None] * 4
