"""A run's data is saved with and without the run, and restored where there is none, with the wheel's own programs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from leadscore.errors import CannotRun
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from standalone import backup
from standalone.__main__ import main
from standalone.postgres import EmbeddedPostgres
from standalone.state_dir import kept_password, locked, with_embedded_database

STORED = Path(__file__).parents[1] / "leadscore" / "stored" / "format_3"
# as of a shell in which nothing of ours is set, and where no PostgreSQL is installed
ENVIRONMENT = {"PATH": "/nowhere"}
LEADS = b"SELECT id FROM public.dossier"


@contextmanager
def server_of(settings: Settings) -> Iterator[Settings]:
    """Run the embedded server of a folder, as its run does."""
    password = kept_password(settings.state_dir)
    with EmbeddedPostgres(settings.state_dir / "postgres", settings.embedded_db_port, password) as server:
        server.create_database(settings.db_name)
        yield with_embedded_database(settings, password)


def leads_of(settings: Settings) -> list[tuple[object, ...]]:
    with server_of(settings) as reached, psycopg.connect(**reached.database_arguments()) as connection:
        return list(connection.execute(LEADS).fetchall())


@pytest.fixture
def run(tmp_path: Path, free_port: Callable[[], int]) -> Settings:
    """Give the settings of a run that has ended: with a CRM, our tables, and an org's versions."""
    settings = Settings(state_dir=tmp_path / "run", embedded_db_port=free_port())
    settings.state_dir.mkdir()
    shutil.copytree(STORED, settings.state_dir / "models")
    with server_of(settings) as reached:
        set_up(reached)
        with psycopg.connect(**reached.database_arguments(), autocommit=True) as connection:
            connection.execute("CREATE TABLE dossier (id int); INSERT INTO dossier VALUES (7)")
    return settings


def test_a_run_is_saved_while_it_goes_on_and_after_it_and_restored_elsewhere(run: Settings, tmp_path: Path) -> None:
    during, after = tmp_path / "during.tar.gz", tmp_path / "after.tar.gz"
    with locked(run.state_dir), server_of(run):
        backup.save(run, ENVIRONMENT, str(during))
    backup.save(run, ENVIRONMENT, str(after))

    for number, file in enumerate((during, after)):
        other = replace(run, state_dir=tmp_path / f"other{number}")
        backup.restore(other, ENVIRONMENT, str(file))
        assert leads_of(other) == [(7,)]
        registries = [Registry(settings.state_dir / "models") for settings in (run, other)]
        assert registries[0].history("acme") == registries[1].history("acme")
        assert registries[0].versions("acme") == registries[1].versions("acme")


def test_a_folder_with_data_or_with_a_run_is_not_restored_into(run: Settings, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar.gz"
    backup.save(run, ENVIRONMENT, str(file))
    with pytest.raises(CannotRun, match="holds a registry already"):
        backup.restore(run, ENVIRONMENT, str(file))
    shutil.rmtree(run.state_dir / "models")
    with pytest.raises(CannotRun, match="holds tables already"):
        backup.restore(run, ENVIRONMENT, str(file))
    assert not (run.state_dir / "models").exists()
    with locked(tmp_path / "busy"), pytest.raises(CannotRun, match="Another run already uses"):
        backup.restore(replace(run, state_dir=tmp_path / "busy"), ENVIRONMENT, str(file))


def test_a_damaged_file_makes_no_folder_and_starts_nothing(run: Settings, tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(b"rot")
    with pytest.raises(CannotRun, match="cannot be restored"):
        backup.restore(replace(run, state_dir=tmp_path / "other"), ENVIRONMENT, str(tmp_path / "damaged"))
    assert not (tmp_path / "other").exists()


def test_where_nothing_ran_there_is_nothing_to_save(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="no run's data in"):
        backup.save(Settings(state_dir=tmp_path / "none"), ENVIRONMENT, str(tmp_path / "file"))
    assert list(tmp_path.iterdir()) == []


def test_of_a_given_database_the_crm_is_neither_saved_nor_touched(database: Settings, tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"DB_HOST": database.db_host}
    set_up(database)
    shutil.copytree(STORED, database.model_path)
    with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        connection.execute("CREATE TABLE dossier (id int)")
    file = str(tmp_path / "backup.tar.gz")
    backup.save(database, environment, file)

    with pytest.raises(CannotRun, match="our schemas alone"):
        backup.restore(replace(database, state_dir=tmp_path / "own"), ENVIRONMENT, file)
    assert not (tmp_path / "own").exists()
    with psycopg.connect(**database.database_arguments(), autocommit=True) as connection:
        connection.execute("DROP SCHEMA leadscore, dagster CASCADE; INSERT INTO dossier VALUES (1)")
    backup.restore(replace(database, model_path=tmp_path / "new"), environment, file)
    with psycopg.connect(**database.database_arguments()) as connection:
        assert connection.execute("SELECT count(*) FROM leadscore.materializations").fetchone() == (0,)
        assert connection.execute("SELECT id FROM dossier").fetchall() == [(1,)]


def test_the_commands_save_and_restore_what_the_settings_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(STORED, tmp_path / "run" / "models")
    monkeypatch.delenv("DB_HOST", raising=False)
    monkeypatch.delenv("MODEL_PATH", raising=False)
    monkeypatch.setenv("STATE_DIR", str(tmp_path / "run"))
    assert main(["backup", str(tmp_path / "file"), "--without-database"]) == 0
    monkeypatch.setenv("STATE_DIR", str(tmp_path / "other"))
    assert main(["restore", str(tmp_path / "file"), "--without-database"]) == 0
    assert main(["restore", str(tmp_path / "file"), "--without-database"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in said[:2]] == ["Saved", "Restored:"]
    assert "holds a registry already" in said[2]
    assert Registry(tmp_path / "other" / "models").orgs() == ["acme"]
