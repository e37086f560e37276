"""The archive of a backup: a gzipped tar of regular files.

Its members have these names alone, and come in this order:

    backup.json       the format's number, and what the archive holds
    models/...        the registry, as it lies in MODEL_PATH
    tokens.json       the file of tokens, if there was one
    database.dump     what pg_dump wrote, if the database was saved

`BACKUP_FORMAT` is the format's number. To change the format: raise the number, keep a reader of the older number here,
and add a test that restores an archive of the older number.
"""

from __future__ import annotations

import gzip
import io
import os
import secrets
import shutil
import tarfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Literal, Self

import msgspec

from leadscore import VERSION
from leadscore.errors import CannotRun
from leadscore.formats import UNDECODABLE
from leadscore.registry.backup import is_saved_name
from leadscore.registry.durable_files import PARTIAL_PREFIX, sync_folder

BACKUP_FORMAT = 1
DESCRIPTION_FILE = "backup.json"
MODELS_FOLDER = "models/"
TOKENS_FILE = "tokens.json"
DUMP_FILE = "database.dump"

# 14.5 MB of versions take 7.7 MB and 0.4 s; with the highest level, 7.3 MB and 4.5 s
COMPRESSION = 1
MOST_DESCRIPTION_BYTES = 10_000
BLOCK_BYTES = 1 << 20
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Scope = Literal["schemas", "whole"]


class Description(msgspec.Struct, frozen=True):
    """What an archive holds, and what made it.

    `database` is None when it is not in it, and so are the releases of the server, `postgres`, and of `pg_dump`, which
    the first archives do not name.
    """

    created_at: datetime
    database: Scope | None
    postgres: int | None
    has_tokens: bool
    pg_dump: int | None = None
    leadscore: str = VERSION
    format: int = BACKUP_FORMAT


class Writer:
    """Adds members to a new archive."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, name: str, content: bytes) -> None:
        """Add a file with this content."""
        self.add_file(name, io.BytesIO(content))

    def add_file(self, name: str, file: IO[bytes]) -> None:
        """Add a file with all that another one holds."""
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = file.seek(0, os.SEEK_END), 0o600, int(time.time())
        file.seek(0)
        self._tar.addfile(member, file)


class _Member(tarfile.TarInfo):
    """A member's header. What says more than a long name or a large size may take no memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return the header in a block. Raises CannotRun for one that is read whole before it is seen, and is long."""
        header = super().frombuf(buf, encoding, errors)
        if not header.isreg() and header.size > MOST_DESCRIPTION_BYTES:
            raise _refusal("it has a header that is too long")
        return header


@contextmanager
def written(stream: BinaryIO, description: Description) -> Iterator[Writer]:
    """Write an archive to `stream`; it is complete when the block has ended."""
    with (
        gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=COMPRESSION, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w|", bufsize=BLOCK_BYTES, format=tarfile.PAX_FORMAT) as tar,
    ):
        writer = Writer(tar)
        writer.add(DESCRIPTION_FILE, msgspec.json.format(msgspec.json.encode(description)) + b"\n")
        yield writer


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file beside `path` that becomes `path` once the block has ended, complete and on the disk.

    Only its owner may read it. Raises CannotRun when `path` exists, or when it cannot be written.
    """
    partial = path.with_name(f"{PARTIAL_PREFIX}{path.name}-{secrets.token_hex(4)}")
    try:
        _check_absent(path)
        descriptor = os.open(partial, NEW_FILE, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _check_absent(path)
        partial.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise CannotRun(
            f"{path} cannot be written ({error}); name a file in a folder that exists,"
            " that this user may write, and that has free space"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def inspect(file: BinaryIO, room_bytes: int) -> Description:
    """Read the whole archive, check it, and return what it holds. Nothing is written.

    Raises CannotRun when it is damaged, another program's or of another format, when it has a member that is not as the
    format says, or when it would unpack to more than `room_bytes`.
    """
    description: Description | None = None
    names: set[str] = set()
    left_bytes = room_bytes
    with _explained():
        for name, size_bytes, content in _members(file):
            left_bytes -= size_bytes
            if left_bytes < 0:
                raise CannotRun(
                    f"the backup unpacks to more than the {room_bytes / 1e6:,.0f} MB that are free for the registry;"
                    " make room where MODEL_PATH is"
                )
            description = description or _description(name, size_bytes, content)
            if name in names or not _is_expected(name, description):
                raise _refusal(f"it has a member that does not belong into one: {name!r:.80}")
            names.add(name)
            while content.read(BLOCK_BYTES):
                pass
    if description is None:
        raise _refusal("it is empty")
    _check_complete(description, names)
    return description


def unpack(file: BinaryIO, folder: Path) -> None:
    """Unpack an archive that was inspected into an empty folder. Raises CannotRun."""
    with _explained():
        for name, _, content in _members(file):
            if not (name in (DESCRIPTION_FILE, TOKENS_FILE, DUMP_FILE) or _is_models_file(name)):
                raise _refusal("it was changed while it was restored")
            for parent in reversed(PurePosixPath(name).parents):
                (folder / parent).mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(folder / name, NEW_FILE, 0o600)
            with os.fdopen(descriptor, "wb") as target:
                shutil.copyfileobj(content, target, BLOCK_BYTES)
    os.sync()  # once for thousands of files


def _check_absent(path: Path) -> None:
    if os.path.lexists(path):
        raise CannotRun(f"{path} exists already, and no backup is overwritten; name another file, or move it away")


def _members(file: BinaryIO) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yield each member's name, size and content. Raises CannotRun for one that is no plain file."""
    file.seek(0)
    with gzip.GzipFile(fileobj=file, mode="rb") as packed:
        with tarfile.open(fileobj=packed, mode="r|", bufsize=BLOCK_BYTES, tarinfo=_Member) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() and not member.issparse() else None
                if content is None:
                    raise _refusal(f"it has a member that is no plain file: {member.name!r:.80}")
                yield member.name, member.size, content
        while packed.read(BLOCK_BYTES):  # up to the checksum at the end
            pass


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what gzip and tar say of damaged bytes into an error that says what to do."""
    try:
        yield
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
        raise _refusal(f"it is damaged or no backup ({error})") from error


def _description(name: str, size_bytes: int, content: IO[bytes]) -> Description:
    if name != DESCRIPTION_FILE or size_bytes > MOST_DESCRIPTION_BYTES:
        raise _refusal(f"it does not begin with {DESCRIPTION_FILE}")
    try:
        number = msgspec.json.decode(text := content.read(), type=dict[str, object]).get("format")
        if number != BACKUP_FORMAT:
            raise _refusal(
                f"it has format {number!r:.20}, and this release reads format {BACKUP_FORMAT}; use the release of"
                " Leadscore that made it, or a newer one"
            )
        return msgspec.json.decode(text, type=Description)
    except UNDECODABLE as error:
        raise _refusal(f"its {DESCRIPTION_FILE} does not have the fields of a backup") from error


def _is_expected(name: str, description: Description) -> bool:
    allowed = {DESCRIPTION_FILE}
    allowed |= {TOKENS_FILE} if description.has_tokens else set()
    allowed |= {DUMP_FILE} if description.database else set()
    return name in allowed or _is_models_file(name)


def _is_models_file(name: str) -> bool:
    return name.startswith(MODELS_FOLDER) and is_saved_name(name.removeprefix(MODELS_FOLDER))


def _check_complete(description: Description, names: set[str]) -> None:
    for name, is_in_it in ((TOKENS_FILE, description.has_tokens), (DUMP_FILE, description.database is not None)):
        if is_in_it and name not in names:
            raise _refusal(f"it lacks {name}, which {DESCRIPTION_FILE} names")


def _refusal(problem: str) -> CannotRun:
    return CannotRun(f"the file cannot be restored: {problem}; name a file that `backup save` wrote, unchanged")


def now() -> datetime:
    """Return the present second, in UTC."""
    return datetime.now(UTC).replace(microsecond=0)
