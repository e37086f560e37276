"""Saved while everything runs and restored elsewhere, everything is as it was; what is in the way is never touched."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import psycopg
import pytest

from leadscore.errors import CannotRun, Damaged, LeadscoreError, NotInFolder
from leadscore.features import CONTRACT
from leadscore.registry.store import POINTER_FILE, Registry
from leadscore.registry.version import PLAIN_FOREST_FILE
from leadscore.settings import PROJECT_ROOT, Settings
from leadscore.tokens import Tokens
from leadscore_assets.backups.database import Database
from leadscore_assets.commands import backup
from leadscore_assets.commands.set_up_database import set_up
from standalone.postgres import EmbeddedPostgres, program
from standalone.throwaway import new_database

STORED = Path(__file__).parents[2] / "leadscore" / "stored" / "format_3"
PROGRAMS = str(program("pg_dump").parent)
MATERIALIZED = b"SELECT asset, org_id, run_id FROM leadscore.materializations"
EXAMPLE = [float(feature.example) for feature in CONTRACT.features]


@pytest.fixture
def saved(database: Settings) -> Settings:
    """Give a system with an org of two versions, one of them active, a token, and a row in the database."""
    set_up(database)
    shutil.copytree(STORED, database.model_path)
    Registry(database.model_path).registry_id()
    Tokens(database.tokens_path).new(scopes=["score"], orgs=["acme"])
    with psycopg.connect(**database.database_arguments()) as connection:
        connection.execute("INSERT INTO leadscore.materializations VALUES ('evaluation', 'acme', 'run-1', now(), '{}')")
    return database


@pytest.fixture
def empty(postgres_server: EmbeddedPostgres, database: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Give a system that has nothing yet: an empty database, and folders that do not exist."""
    name = f"{database.db_name}_new"
    settings = new_database(postgres_server, name)
    yield replace(settings, model_path=tmp_path / "new" / "models", state_dir=tmp_path / "new" / "state")
    with postgres_server.connect() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def database_of(settings: Settings) -> Database:
    return Database(settings, programs_path=PROGRAMS)


def save(settings: Settings, file: Path, database: Database | None = None) -> Path:
    backup.save(settings, str(file), database)
    return file


def restore(settings: Settings, file: Path, database: Database | None = None) -> None:
    with backup.opened(settings, str(file)) as opened:
        backup.restore(settings, opened, backup.inspect(settings, opened), database)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def query(settings: Settings, text: bytes) -> list[tuple[object, ...]]:
    with psycopg.connect(**settings.database_arguments()) as connection:
        return list(connection.execute(text).fetchall())


def has_nothing(settings: Settings) -> bool:
    tables = query(settings, b"SELECT FROM pg_tables WHERE schemaname IN ('public', 'leadscore', 'dagster')")
    return not (settings.model_path.exists() or settings.tokens_path.exists() or tables)


def test_restored_elsewhere_everything_is_as_it_was(
    saved: Settings, empty: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save(saved, tmp_path / "backup.tar.gz", database_of(saved))
    restore(empty, file, database_of(empty))

    assert contents(empty.model_path) == contents(saved.model_path)
    assert empty.tokens_path.read_bytes() == saved.tokens_path.read_bytes()
    assert query(empty, MATERIALIZED) == query(saved, MATERIALIZED) == [("evaluation", "acme", "run-1")]
    before, after = Registry(saved.model_path), Registry(empty.model_path)
    pointer = after.active("acme")
    assert pointer is not None
    assert after.history("acme") == before.history("acme")
    assert after.registry_id() == before.registry_id()
    answers = [
        registry.load("acme", pointer.version, pointer.manifest_sha256).scorer.explain(EXAMPLE)
        for registry in (before, after)
    ]
    assert repr(answers[0]) == repr(answers[1])
    assert set_up(empty) is None
    said = capsys.readouterr().err.splitlines()
    assert re.match(r"The database is saved: 0\.\d MB", said[0])
    assert said[1].startswith(f"Saved into {file} (")
    assert "1 orgs with 2 versions, the tokens, the database, in" in said[1]
    assert said[2].startswith("Restored: 1 orgs with 2 versions, the tokens, the database, in")


def test_it_is_told_how_far_a_large_registry_is_saved(
    saved: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(STORED / "acme", saved.model_path / "beta")
    for path in saved.model_path.glob("beta/*.json*"):  # versions that were never active; their manifests are acme's
        path.unlink()
    monkeypatch.setattr(backup, "ORGS_PER_LINE", 1)
    save(saved, tmp_path / "backup.tar.gz")
    assert capsys.readouterr().err.splitlines()[0] == "1 orgs are saved."


def test_a_restore_leaves_modes_for_the_owner_alone_and_no_other_file(
    saved: Settings, empty: Settings, tmp_path: Path
) -> None:
    file = save(saved, tmp_path / "backup.tar.gz")
    restore(empty, file)

    made = [empty.model_path, *empty.model_path.rglob("*"), empty.tokens_path]
    assert {path.stat().st_mode & 0o077 for path in made} == {0}
    assert {path.name for path in empty.model_path.iterdir()} == {"acme", "registry.id"}
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_system_without_tokens_or_versions_is_saved_as_well(
    database: Settings, empty: Settings, tmp_path: Path
) -> None:
    set_up(database)
    file = save(database, tmp_path / "backup.tar.gz", database_of(database))
    restore(empty, file, database_of(empty))

    assert query(empty, MATERIALIZED) == []
    assert not empty.tokens_path.exists()
    assert Registry(empty.model_path).orgs() == []


def test_without_the_database_it_is_neither_saved_nor_restored(
    saved: Settings, empty: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_it = save(saved, tmp_path / "with.tar.gz", database_of(saved))
    without = save(saved, tmp_path / "without.tar.gz")

    restore(empty, with_it)

    assert contents(empty.model_path) == contents(saved.model_path)
    assert query(empty, b"SELECT FROM pg_namespace WHERE nspname = 'leadscore'") == []
    other = replace(empty, model_path=tmp_path / "other" / "models", state_dir=tmp_path / "other")
    restore(other, without, database_of(other))
    assert "saved without the database, so none was restored" in capsys.readouterr().err
    assert contents(other.model_path) == contents(saved.model_path)


def test_a_version_that_is_published_while_the_database_is_saved_is_in_the_backup(
    saved: Settings, empty: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database comes first, so that its history names no version that the registry's copy lacks."""
    registry = Registry(saved.model_path)
    old = registry.versions("acme")
    dump = Database.save

    def publish_meanwhile(database: Database, target: object) -> None:
        dump(database, target)  # type: ignore[arg-type]  # as it is called
        manifest = registry.manifest("acme", old[0])
        files = {name: registry.file("acme", old[0], name) for name in manifest.files}
        registry.publish(
            "acme", files, lambda version, hashes: msgspec.structs.replace(manifest, version=version, files=hashes)
        )

    monkeypatch.setattr(Database, "save", publish_meanwhile)
    restore(empty, save(saved, tmp_path / "backup.tar.gz", database_of(saved)))

    assert Registry(empty.model_path).versions("acme") == registry.versions("acme")
    assert len(registry.versions("acme")) == len(old) + 1


@pytest.mark.parametrize("in_the_way", ["an org", "an id", "tokens", "tables"])
def test_what_is_in_the_way_is_named_and_nothing_is_made(
    saved: Settings, empty: Settings, tmp_path: Path, in_the_way: str
) -> None:
    file = save(saved, tmp_path / "backup.tar.gz", database_of(saved))
    if in_the_way == "an org":
        (empty.model_path / "acme").mkdir(parents=True)
    elif in_the_way == "an id":
        Registry(empty.model_path).registry_id()
    elif in_the_way == "tokens":
        Tokens(empty.tokens_path).new(scopes=["score"], orgs=["acme"])
    else:
        set_up(empty)
    before = contents(tmp_path / "new"), query(empty, b"SELECT count(*) FROM pg_class")

    with pytest.raises(CannotRun, match=r"already.*(MODEL_PATH|TOKENS_FILE|drop them)"):
        restore(empty, file, database_of(empty))
    assert (contents(tmp_path / "new"), query(empty, b"SELECT count(*) FROM pg_class")) == before


def test_tokens_that_cannot_be_written_are_named_and_nothing_is_made(
    saved: Settings, empty: Settings, tmp_path: Path
) -> None:
    file = save(saved, tmp_path / "backup.tar.gz", database_of(saved))
    plain = tmp_path / "plain"
    plain.write_bytes(b"")

    done = run(empty, "restore", str(file), tokens_file=plain / "of" / "tokens.json")

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, b"", 1)
    assert b"the tokens cannot be written to" in done.stderr
    assert b"TOKENS_FILE" in done.stderr
    assert b"MODEL_PATH" not in done.stderr
    assert has_nothing(empty)
    assert plain.read_bytes() == b""


def test_tokens_are_not_left_behind_when_the_database_is_not_restored(
    saved: Settings, empty: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        assert list(empty.tokens_path.parent.iterdir())
        raise CannotRun("no luck")

    file = save(saved, tmp_path / "backup.tar.gz", database_of(saved))
    monkeypatch.setattr(Database, "restore", refuse)
    with pytest.raises(CannotRun, match="no luck"):
        restore(empty, file, database_of(empty))
    assert has_nothing(empty)
    assert not empty.tokens_path.parent.exists()


def harmed(file: Path, name: str, harm: Callable[[bytes], bytes]) -> Path:
    """Return an archive with the content of one member changed."""
    target = file.with_name("harmed.tar.gz")
    with tarfile.open(file, "r:gz") as old, tarfile.open(target, "w:gz") as new:
        for member in old:
            extracted = old.extractfile(member)
            assert extracted is not None
            content = extracted.read()
            content = harm(content) if member.name == name else content
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return target


@pytest.mark.parametrize("harm", [lambda content: content[: len(content) // 2], lambda _: b"rot"])
@pytest.mark.parametrize("part", ["forest", "pointer", "dump", "whole"])
def test_a_damaged_backup_makes_nothing(
    saved: Settings, empty: Settings, tmp_path: Path, part: str, harm: Callable[[bytes], bytes]
) -> None:
    active = Registry(saved.model_path).active("acme")
    assert active is not None
    file = save(saved, tmp_path / "backup.tar.gz", database_of(saved))
    if part == "whole":
        file.write_bytes(harm(file.read_bytes()))
    else:
        names = {
            "forest": f"models/acme/{active.version}/{PLAIN_FOREST_FILE}",
            "pointer": f"models/acme/{POINTER_FILE}",
            "dump": "database.dump",
        }
        file = harmed(file, names[part], harm)

    with pytest.raises(CannotRun):
        restore(empty, file, database_of(empty))
    assert has_nothing(empty)


def test_a_damaged_version_that_is_not_active_is_named_saved_and_restored(
    saved: Settings, empty: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    active = Registry(saved.model_path).active("acme")
    [other] = [
        version for version in Registry(saved.model_path).versions("acme") if active and version != active.version
    ]
    (saved.model_path / "acme" / other / PLAIN_FOREST_FILE).write_bytes(b"rot")

    restore(empty, save(saved, tmp_path / "backup.tar.gz"))

    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Damaged, but not active")]
    assert len(warnings) == 2
    assert all(other in line and "acme" in line for line in warnings)
    assert contents(empty.model_path) == contents(saved.model_path)


def test_a_damaged_active_version_stops_the_saving_and_leaves_no_file(saved: Settings, tmp_path: Path) -> None:
    target = tmp_path / "made"
    target.mkdir()
    active = Registry(saved.model_path).active("acme")
    assert active is not None
    (saved.model_path / "acme" / active.version / PLAIN_FOREST_FILE).write_bytes(b"rot")

    with pytest.raises(Damaged, match=r"the active version of org acme cannot be verified: .*roll back"):
        save(saved, target / "backup.tar.gz")
    assert list(target.iterdir()) == []


def test_what_a_killed_restore_left_behind_does_not_stay(saved: Settings, empty: Settings, tmp_path: Path) -> None:
    left = empty.model_path / f"{backup.UNPACKED_PREFIX}x" / "models" / "acme"
    left.mkdir(parents=True)
    restore(empty, save(saved, tmp_path / "backup.tar.gz"))
    assert {path.name for path in empty.model_path.iterdir()} == {"acme", "registry.id"}


def run(
    settings: Settings, *arguments: str, path: str = PROGRAMS, stdin: bytes = b"", tokens_file: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments),
        env=environment(settings, path) | ({"TOKENS_FILE": str(tokens_file)} if tokens_file else {}),
        cwd=PROJECT_ROOT,
        input=stdin,
        capture_output=True,
        check=False,
    )


def command(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-m", "leadscore_assets.commands.backup", *arguments]


def environment(settings: Settings, path: str) -> dict[str, str]:
    names = ("db_host", "db_port", "db_name", "db_user", "db_password", "model_path", "state_dir")
    return os.environ | {name.upper(): str(getattr(settings, name)) for name in names} | {"PATH": path}


def test_the_command_saves_into_a_pipe_and_restores_from_one(saved: Settings, empty: Settings) -> None:
    done = run(saved, "save", "-")
    assert done.returncode == 0, done.stderr
    assert b"Saved into -: 1 orgs with 2 versions, the tokens, the database" in done.stderr
    again = run(empty, "restore", "-", stdin=done.stdout)
    assert (again.returncode, again.stdout) == (0, b""), again.stderr
    assert contents(empty.model_path) == contents(saved.model_path)
    assert query(empty, MATERIALIZED) == query(saved, MATERIALIZED)


def test_what_the_command_cannot_do_is_one_sentence(saved: Settings, empty: Settings, tmp_path: Path) -> None:
    refused = [
        (run(saved, "save", str(tmp_path / "file"), path=str(tmp_path)), b"pg_dump is not on PATH"),
        (run(saved, "save", str(tmp_path), "--without-database"), b"exists already"),
        (run(empty, "restore", str(tmp_path / "none")), b"name a file that `backup save` wrote"),
        (run(empty, "restore", "-", stdin=b"text"), b"it is damaged or no backup"),
    ]
    for done, says in refused:
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, b"", 1)
        assert says in done.stderr
    assert has_nothing(empty)
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_save_that_is_killed_leaves_no_file_of_that_name(
    saved: Settings, tmp_path: Path, how: signal.Signals
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    version = "[ $1 = --version ] && echo 'pg_dump (PostgreSQL) 18.1' && exit"
    (programs / "pg_dump").write_text(f"#!/bin/sh\n{version}\ntouch {programs}/begun; exec sleep 5\n")
    (programs / "pg_dump").chmod(0o700)
    file = tmp_path / "backup.tar.gz"
    environ = environment(saved, f"{programs}:/usr/bin:/bin")
    with subprocess.Popen(
        command("save", str(file)), env=environ, cwd=PROJECT_ROOT, stderr=subprocess.DEVNULL
    ) as process:
        while not (programs / "begun").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(how)
        assert process.wait(30) != 0
    assert not file.exists()


def test_a_file_of_tokens_that_is_damaged_is_saved_as_it_is(saved: Settings, empty: Settings, tmp_path: Path) -> None:
    saved.tokens_path.write_bytes(b"{}")
    restore(empty, save(saved, tmp_path / "backup.tar.gz"))
    assert empty.tokens_path.read_bytes() == b"{}"


def test_a_folder_that_cannot_be_written_is_said(saved: Settings, empty: Settings, tmp_path: Path) -> None:
    file = save(saved, tmp_path / "backup.tar.gz")
    (tmp_path / "new").write_text("a file")
    with pytest.raises(LeadscoreError, match="MODEL_PATH a folder"):
        restore(empty, file)
    assert (tmp_path / "new").read_text() == "a file"


def test_a_registry_in_an_object_store_is_neither_saved_nor_restored_and_nothing_is_made(
    saved: Settings, empty: Settings, tmp_path: Path
) -> None:
    file = save(saved, tmp_path / "backup.tar.gz")
    with pytest.raises(NotInFolder, match="docs/shared-registry"):
        save(replace(saved, model_path="s3://bucket/models"), tmp_path / "other.tar.gz")
    with pytest.raises(NotInFolder, match="docs/shared-registry"):
        restore(replace(empty, model_path="s3://bucket/models"), file)
    assert not (tmp_path / "other.tar.gz").exists()
    assert has_nothing(empty)
