"""The page on backups gives commands that work: those for the database are run, the others read by their parsers."""

from __future__ import annotations

import os
import re
import shlex
import subprocess

import psycopg
import pytest
import yaml

from leadscore.settings import PROJECT_ROOT, Settings
from leadscore_assets.backups.database import LEFT_OUT, OUR_SCHEMAS
from leadscore_assets.commands import backup
from leadscore_assets.commands.set_up_database import set_up
from standalone.__main__ import _parser
from standalone.postgres import EmbeddedPostgres, program
from standalone.throwaway import new_database
from tests.docs.documents import BACKUP, blocks, section

LINES = [shlex.split(line) for block in blocks("sh", BACKUP.read_text()) for line in block.splitlines()]
SERVICES = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())["services"]


def in_the_server(tool: str) -> str:
    """Return the command that the page runs in the container of PostgreSQL."""
    [text] = [word for words in LINES for word in words if word.startswith(f"{tool} ")]
    return text


def run_on(settings: Settings, text: str, stdin: bytes = b"") -> bytes:
    environment = os.environ | {
        "PATH": f"{program('psql').parent}:{os.environ['PATH']}",
        "PGHOST": settings.db_host,
        "PGPORT": str(settings.db_port),
        "PGPASSWORD": settings.db_password,
        "POSTGRES_USER": settings.db_user,
        "POSTGRES_DB": settings.db_name,
    }
    return subprocess.run(["/bin/sh", "-c", text], env=environment, input=stdin, capture_output=True, check=True).stdout


def test_the_database_commands_for_containers_save_and_restore_our_schemas_alone(
    postgres_server: EmbeddedPostgres, database: Settings
) -> None:
    set_up(database)
    with psycopg.connect(**database.database_arguments()) as connection:
        connection.execute("CREATE TABLE dossier (id int)")
        connection.execute("INSERT INTO leadscore.materializations VALUES ('evaluation', 'acme', 'run-1', now(), '{}')")
    other = new_database(postgres_server, f"{database.db_name}_new")
    try:
        run_on(other, in_the_server("pg_restore"), run_on(database, in_the_server("pg_dump")))
        with psycopg.connect(**other.database_arguments()) as connection:
            assert connection.execute("SELECT run_id FROM leadscore.materializations").fetchall() == [("run-1",)]
            assert connection.execute("SELECT to_regclass('public.dossier')").fetchone() == (None,)
        assert set_up(other) is None
    finally:
        with postgres_server.connect() as connection:
            connection.execute(f"DROP DATABASE {other.db_name} WITH (FORCE)".encode())


def test_they_leave_out_what_the_command_leaves_out() -> None:
    assert {LEFT_OUT, *OUR_SCHEMAS} <= set(shlex.split(in_the_server("pg_dump")))


def test_the_modules_commands_are_commands_of_the_module() -> None:
    prefix = ["python", "-m", "leadscore_assets.commands.backup"]
    given = [cut(words)[words.index("-m") + 2 :] for words in LINES if prefix[2] in words]
    chosen = [backup._parser().parse_args(words) for words in given]
    assert [(one.command, one.without_database) for one in chosen] == [
        *(("save", False), ("restore", False)),
        *(("save", True), ("restore", True)),
    ]
    in_containers = [words[words.index("-T") + 1 :][:4] for words in LINES if words[:3] == ["docker", "compose", "run"]]
    assert in_containers == [["backup", *prefix]] * 2


def cut(words: list[str]) -> list[str]:
    """Return the words of a command up to where the shell redirects."""
    end = next((place for place, word in enumerate(words) if word in "<>"), len(words))
    return words[:end]


def test_composes_service_reaches_the_registry_and_the_tokens_and_starts_only_when_it_is_called() -> None:
    service = SERVICES["backup"]
    assert service["profiles"] == ["backup"]
    assert service["volumes"] == ["models:/models", "tokens:/tokens"]
    assert service["environment"]["TOKENS_FILE"] == SERVICES["serving"]["environment"]["TOKENS_FILE"]


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_make_passes_the_file_on(name: str) -> None:
    assert [word for words in LINES for word in words if word == name and "make" in words]
    said = subprocess.run(
        ["make", "--no-print-directory", "-n", name, "FILE=a b"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    last = shlex.split(said.stdout.splitlines()[-1])
    assert last[1:] == ["-m", "standalone", name, "a b"]
    assert _parser().parse_args(last[3:]).file == "a b"


def test_the_page_names_what_an_archive_holds() -> None:
    parts = re.findall(r"^\| `([^`]+)` \|", section(BACKUP, "What a backup holds"), re.MULTILINE)
    assert parts == [
        backup.archive.MODELS_FOLDER,
        backup.archive.TOKENS_FILE,
        backup.archive.DUMP_FILE,
    ]
