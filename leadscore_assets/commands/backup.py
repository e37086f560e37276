"""`python -m leadscore_assets.commands.backup save FILE | restore FILE`: save everything that is ours, and restore it.

It is saved while everything runs. FILE is `-` for standard output or input. It exits with 0 when it is done, with 1
when it could not be, and then nothing has been made.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

from leadscore.errors import CannotRun, Damaged, LeadscoreError
from leadscore.registry.backup import Copied, check_copy, check_no_registry, put_in_place, saved_files
from leadscore.registry.durable_files import PARTIAL_PREFIX, read_if_there, sync_folder, write_durably
from leadscore.registry.store import Registry
from leadscore.settings import Settings, read_settings
from leadscore_assets.backups import archive
from leadscore_assets.backups.archive import Description
from leadscore_assets.backups.database import Database, Releases

STANDARD_STREAM = "-"
ORGS_PER_LINE = 100
UNPACKED_PREFIX = f"{PARTIAL_PREFIX}restore-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Save or restore what the environment's settings name; return the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        settings = read_settings()
        database = None if chosen.without_database else Database(settings)
        if chosen.command == "save":
            save(settings, chosen.file, database)
        else:
            with opened(settings, chosen.file) as file:
                restore(settings, file, inspect(settings, file), database)
    except LeadscoreError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


def save(settings: Settings, file: str, database: Database | None) -> None:
    """Save the registry, the tokens and, unless it is None, the database into a new file, and say what it holds.

    Raises CannotRun, Damaged when what scores an org's leads is damaged, DatabaseUnavailable.
    """
    started, copied, registry = time.monotonic(), Copied(), Registry(settings.model_folder)
    with _target(file) as target, tempfile.TemporaryFile(dir=_folder_of(file)) as dump:
        # before the registry, so that no version is missing that Dagster's history names
        releases = _save_database(database, dump) if database else None
        tokens = read_if_there(settings.tokens_path)
        scope = database.scope if database else None
        description = Description(
            archive.now(),
            scope,
            postgres=releases.server if releases else None,
            has_tokens=tokens is not None,
            pg_dump=releases.pg_dump if releases else None,
        )
        with archive.written(target, description) as writer:
            _add_registry(writer, registry, copied)
            if tokens is not None:
                writer.add(archive.TOKENS_FILE, tokens)
            if database:
                writer.add_file(archive.DUMP_FILE, dump)
    _warn(copied)
    size = "" if file == STANDARD_STREAM else f" ({_megabytes(Path(file).stat().st_size)})"
    what = _holds(description, copied, has_database=database is not None)
    _say(f"Saved into {file}{size}: {what}, in {time.monotonic() - started:.1f} s.")


def inspect(settings: Settings, file: BinaryIO) -> Description:
    """Return what the archive holds, once all of it was read and checked. Raises CannotRun."""
    return archive.inspect(file, shutil.disk_usage(_existing(settings.model_folder)).free)


def restore(settings: Settings, file: BinaryIO, description: Description, database: Database | None) -> None:
    """Restore an archive that was inspected; its database only when one is given.

    Raises CannotRun before anything is made when there is something in its place already, and before anything has its
    place when an active version cannot be verified; DatabaseUnavailable.
    """
    started, root = time.monotonic(), settings.model_folder
    check_unused(settings, description)
    has_database = bool(database and description.database)
    if database and description.database and description.postgres:
        database.check_restorable(description.database, description.postgres, description.pg_dump)
    with _unpacked(file, root) as folder:
        models = folder / archive.MODELS_FOLDER
        models.mkdir(exist_ok=True)
        copied = check_copy(Registry(models))
        _warn(copied)
        with _tokens_beside(settings.tokens_path, read_if_there(folder / archive.TOKENS_FILE)) as put_tokens:
            if database and has_database:
                with (folder / archive.DUMP_FILE).open("rb") as dump:
                    database.restore(dump)
            put_in_place(models, root)
            put_tokens()
    if database and not has_database:
        _say("The backup was saved without the database, so none was restored.")
    what = _holds(description, copied, has_database=has_database)
    _say(f"Restored: {what}, in {time.monotonic() - started:.1f} s.")


def check_unused(settings: Settings, description: Description) -> None:
    """Raise CannotRun when there is a registry or a file of tokens where the archive has one."""
    check_no_registry(Registry(settings.model_folder))
    if description.has_tokens and os.path.lexists(settings.tokens_path):
        raise CannotRun(
            f"there is a file of tokens at {settings.tokens_path} already, and the backup has another; move it away, or"
            " set TOKENS_FILE to another path"
        )


@contextmanager
def opened(settings: Settings, file: str) -> Iterator[BinaryIO]:
    """Yield a backup's file, which can be read twice: what comes from standard input is kept until then.

    It is kept without a name where the registry is to be, since a container's folder for temporary files is memory.
    Raises CannotRun.
    """
    place = _existing(settings.model_folder)
    kept: BinaryIO
    with ExitStack() as stack:
        try:
            if file == STANDARD_STREAM:
                kept = stack.enter_context(tempfile.TemporaryFile(dir=place if os.access(place, os.W_OK) else None))
                shutil.copyfileobj(sys.stdin.buffer, kept)
            else:
                kept = stack.enter_context(Path(file).open("rb"))
        except OSError as error:
            raise CannotRun(f"the backup cannot be read ({error}); name a file that `backup save` wrote") from error
        yield kept


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m leadscore_assets.commands.backup",
        description="Save the registry, the tokens and our schemas of the database, or restore them.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, does in (
        ("save", "write a new backup, while everything may run"),
        ("restore", "restore a backup to where there is nothing yet; nothing of Leadscore may run there"),
    ):
        command = commands.add_parser(name, help=does, description=does)
        command.add_argument("file", metavar="FILE", help="the backup's file; - for standard output or input")
        command.add_argument("--without-database", action="store_true", help="the registry and the tokens alone")
    return parser


@contextmanager
def _target(file: str) -> Iterator[BinaryIO]:
    if file != STANDARD_STREAM:
        with archive.new_file(Path(file)) as target:
            yield target
    elif sys.stdout.isatty():
        raise CannotRun("standard output is a terminal, and a backup is not text; redirect it into a file")
    else:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()


def _folder_of(file: str) -> Path | None:
    """Return where a dump may lie for a moment: beside the backup, for which there must be room; None for any place."""
    return None if file == STANDARD_STREAM else Path(file).absolute().parent


def _save_database(database: Database, dump: IO[bytes]) -> Releases:
    """Write the database's dump into the file; return the releases that it depends on."""
    releases = database.check_savable()
    database.save(dump)
    _say(f"The database is saved: {_megabytes(dump.seek(0, os.SEEK_END))}.")
    return releases


def _add_registry(writer: archive.Writer, registry: Registry, copied: Copied) -> None:
    told = 0
    for name, content in saved_files(registry, copied):
        writer.add(archive.MODELS_FOLDER + name, content)
        if copied.orgs >= told + ORGS_PER_LINE:
            told = copied.orgs
            _say(f"{told:,} orgs are saved.")


@contextmanager
def _tokens_beside(path: Path, content: bytes | None) -> Iterator[Callable[[], None]]:
    """Write the tokens, if there are any, beside their place; yield what moves them there.

    They can hardly fail to get there once all else is done. If they are not moved, nothing of them is left. Raises
    CannotRun when they cannot be written.
    """
    if content is None:
        yield lambda: None
        return
    partial = path.with_name(f"{PARTIAL_PREFIX}{path.name}-{secrets.token_hex(4)}")

    def put() -> None:
        with _tokens_explained(path):
            partial.replace(path)
            sync_folder(path.parent)

    with ExitStack() as undone:
        with _tokens_explained(path):
            for folder in reversed([folder for folder in path.absolute().parents if not folder.exists()]):
                folder.mkdir()
                undone.callback(_remove_empty, folder)
            undone.callback(partial.unlink, missing_ok=True)
            write_durably(partial, content)
        yield put


@contextmanager
def _tokens_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotRun(
            f"the tokens cannot be written to {path} ({error}); set TOKENS_FILE to a path in a folder that this user"
            " may write and that has free space"
        ) from error


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # it holds something now
        folder.rmdir()


@contextmanager
def _unpacked(file: BinaryIO, root: Path) -> Iterator[Path]:
    """Yield a folder below `root` with what the archive holds; nothing of it is left when the block has ended."""
    is_new = not root.exists()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_behind in root.glob(f"{UNPACKED_PREFIX}*"):  # by a restore that was killed
            shutil.rmtree(left_behind)
        with tempfile.TemporaryDirectory(prefix=UNPACKED_PREFIX, dir=root) as folder:
            archive.unpack(file, Path(folder))
            yield Path(folder)
    except Damaged as fault:
        raise CannotRun(f"nothing is restored, because {fault.message}; restore another backup") from fault
    except OSError as error:
        remedy = "make MODEL_PATH a folder with free space that this user may write"
        raise CannotRun(f"the backup cannot be unpacked ({error}); {remedy}") from error
    finally:
        if is_new:
            _remove_empty(root)


def _existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def _holds(description: Description, copied: Copied, has_database: bool) -> str:
    """Return in words what was saved or restored."""
    tokens = ", the tokens" if description.has_tokens else ""
    database = ", the database" if has_database else ""
    return f"{copied.orgs} orgs with {copied.versions} versions{tokens}{database}"


def _warn(copied: Copied) -> None:
    for fault in copied.damaged:
        _say(f"Damaged, but not active: {fault}")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
