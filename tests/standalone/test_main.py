"""`python -m standalone`: simulate writes a folder or fills a database, and refuses nonsense; others are handed on."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.commands.set_up_database import set_up
from leadscore_assets.source.database import connect
from standalone.__main__ import main
from standalone.crm import create_tables
from standalone.postgres import HOST, SUPERUSER


def test_command_writes_a_folder_and_says_how_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "made"
    arguments = ["simulate", "--orgs", "2", "--leads", "30", "--now", "2026-01-01", "--into-folder", str(target)]
    assert main(arguments) == 0
    assert "dossier                           60" in capsys.readouterr().out
    with gzip.open(target / "dossier.csv.gz", "rt") as file:
        assert len(file.readlines()) == 61


@pytest.fixture
def named(database: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Let the environment name the database of the test, and give its settings."""
    monkeypatch.setenv("DB_HOST", HOST)
    monkeypatch.setenv("DB_PORT", str(database.db_port))
    monkeypatch.setenv("DB_USER", SUPERUSER)
    monkeypatch.setenv("DB_PASSWORD", database.db_password)
    monkeypatch.setenv("DB_NAME", database.db_name)
    monkeypatch.setenv("MODEL_PATH", str(database.model_path))
    return database


def test_command_erases_from_the_system_that_the_settings_name(
    named: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(named)
    assert main(["erase", "--org", "west", "--lead", "1", "2", "--lead", "3"]) == 0
    assert capsys.readouterr().out.startswith("nothing held of 3 leads of west in our tables\n")
    assert main(["erase", "--org", "west", "--lead", "1", "--models"]) == 1
    assert "leave out --lead, or --models" in capsys.readouterr().err


def test_command_fills_the_database_that_the_settings_name(named: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["simulate", "--orgs", "1", "--leads", "30", "--into-database"]
    assert main(arguments) == 0
    assert main(arguments) == 1
    assert "hold rows already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--leads", "5"], ["--orgs", "0"], ["--orgs", "1", "--now", "soon"], ["--orgs", "1", "--into-database"]],
)
def test_nonsense_is_refused_by_the_command(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["simulate", *arguments, "--into-folder", str(tmp_path / "made")])
    assert caught.value.code != 0
    assert not (tmp_path / "made").exists()


def test_the_commands_about_an_orgs_id_are_those_of_the_pipeline(
    database: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(database)
    with connect(database) as connection:
        create_tables(connection)
    for name in ("db_host", "db_port", "db_user", "db_password", "db_name", "model_path", "state_dir"):
        monkeypatch.setenv(name.upper(), str(getattr(database, name)))
    Registry(database.model_path).registry_id()
    (database.model_path / "acme").mkdir()
    assert main(["rename-org", "acme", "globex"]) == 0
    assert capsys.readouterr().out.startswith("Org acme is now globex. Moved: 0 versions with their history; in our ")
    assert main(["accept-org", "globex", "same"]) == 0
    assert capsys.readouterr().out.startswith("Org globex is the same customer: its versions were not withdrawn")
    assert main(["accept-org", "globex", "new"]) == 1
    assert "org globex has not changed" in capsys.readouterr().err
    assert main(["accept-org", "globex", "new", "--yes"]) == 0
    assert capsys.readouterr().out.startswith("Org globex has a new customer.")
    assert main(["accept-org", "*", "same"]) == 0
    assert capsys.readouterr().out == "0 orgs were accepted.\n"


def test_the_status_is_that_of_the_system_that_the_settings_name(
    named: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 1
    assert "set_up_database" in capsys.readouterr().err
    set_up(named)
    assert main(["status"]) == 0
    assert f" on {named.db_name} at {named.db_host}:{named.db_port}, " in capsys.readouterr().out
