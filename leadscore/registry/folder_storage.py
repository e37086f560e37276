"""A registry's files in a folder of this machine: what is renamed into place is whole, and a lock orders the writers.

Readers need no lock, because one rename publishes a whole version, and one rename swaps the pointer.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from leadscore.errors import RegistryUnavailable
from leadscore.registry.durable_files import (
    PARTIAL_PREFIX,
    PlainFile,
    read_if_there,
    replace_durably,
    sync_folder,
    write_durably,
)
from leadscore.registry.ids import is_version_id
from leadscore.registry.org_lock import OrgLocks
from leadscore.registry.storage import Seen, Stamp

# no org's folder, and so never served, listed or saved in a backup
FORMER_FOLDER = "_former"


class FolderStorage:
    """The files below `root`. A writer waits `wait_seconds` for an org's lock at most."""

    has_locks = True

    def __init__(self, root: Path, wait_seconds: float) -> None:
        self.root = root
        self._locks = OrgLocks(wait_seconds)

    @property
    def place(self) -> str:
        """The folder's path, from the file system's root."""
        return str(self.root.resolve())

    @property
    def is_up(self) -> bool:
        """Whether the folder can be read."""
        return self.root.is_dir() and os.access(self.root, os.R_OK | os.X_OK)

    def close(self) -> None:
        """Do nothing: nothing runs beside."""

    # reading

    def folders(self) -> list[str]:
        """Return the names of the folders below the root, links left out."""
        return _folders_in(self.root)

    def versions(self, folder: str) -> list[str]:
        """Return the names of the folders in an org's folder, links left out."""
        return _folders_in(self.root / folder)

    def newest_with(self, folder: str, name: str) -> str | None:
        """Return the newest version that has a file of this name, None when there is none."""
        newest_first = sorted(filter(is_version_id, self.versions(folder)), reverse=True)
        return next((version for version in newest_first if (self.root / folder / version / name).exists()), None)

    def has_version(self, folder: str, version: str) -> bool:
        """Return whether the version has a folder, which is no link."""
        path = self.root / folder / version
        return path.is_dir() and not path.is_symlink()

    def has(self, key: str) -> bool:
        """Return whether there is a file of this key."""
        return (self.root / key).exists()

    def read(self, key: str) -> bytes | None:
        """Return a file's content, None when there is none, or when a link stands for its folder. Raises Damaged."""
        path = self.root / key
        is_of_a_link = path.parent != self.root and path.parent.is_symlink()  # the root itself may be a link
        return None if is_of_a_link else read_if_there(path)

    def read_small(self, key: str) -> bytes | None:
        """Return a small file's content, as `read` does."""
        return read_if_there(self.root / key)

    def seen(self, folder: str, *names: str) -> dict[str, Seen]:
        """Return the files' contents, read in this order; the lock keeps them as they were seen."""
        return {name: Seen(read_if_there(self.root / folder / name)) for name in names}

    def file(self, key: str) -> PlainFile:
        """Return a version's file."""
        return PlainFile(self.root / key)

    def judged_file(self, key: str, sha256: str) -> PlainFile:  # noqa: ARG002 (its name has no hash here)
        """Return a file that was stored beside a judgement."""
        return PlainFile(self.root / key)

    def located(self, key: str) -> str:
        """Return the file's path."""
        return str(self.root / key)

    def stamp(self, located: str) -> tuple[int, int, int] | None:
        """Return a stamp of the file, by one `stat`; None without a file."""
        try:
            status = os.stat(located)  # noqa: PTH116 (a Path takes longer than the call)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def is_at_hand(self, key: str) -> bool:  # noqa: ARG002 (every file is)
        """Return True: the folder is this machine's, as far as can be told."""
        return True

    def newest_first(self, keys: Sequence[str]) -> list[str]:
        """Return the keys that have a file, those replaced last first."""
        stamps = {key: self.stamp(self.located(key)) for key in keys}
        moved = {key: stamp[1] for key, stamp in stamps.items() if stamp is not None}
        return sorted(moved, key=moved.__getitem__, reverse=True)

    # writing

    @contextmanager
    def exclusive(self, folder: str) -> Iterator[None]:
        """Hold the org's lock; its folder is made when missing. Raises RegistryBusy, or RegistryUnavailable."""
        path = self.root / folder
        with _unavailable_when_not_written():
            if not path.is_dir():
                self.root.mkdir(parents=True, exist_ok=True)
                path.mkdir(mode=0o700, exist_ok=True)
                sync_folder(self.root)
            with self._locks.hold(path):
                yield

    def claim_version(self, folder: str, next_id: Callable[[list[str]], str]) -> str:
        """Return the next id; the lock keeps it. What a killed writer left behind is removed."""
        self._sweep(self.root / folder)
        return next_id(self.versions(folder))

    def add_version(self, folder: str, version: str, files: Mapping[str, bytes], check: Callable[[], None]) -> None:
        """Write the version beside its place and rename it into it. Raises OSError; then no part is left behind."""
        path = self.root / folder
        partial = path / f"{PARTIAL_PREFIX}{version}"
        try:
            partial.mkdir(mode=0o700)
            for name, content in files.items():
                write_durably(partial / name, content)
            sync_folder(partial)
            check()
            partial.rename(path / version)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        sync_folder(path)

    def add_once(self, key: str, content: bytes, beside: Mapping[str, bytes]) -> bool:
        """Write the files `beside`, then the file itself; return False when that is there already."""
        path = self.root / key
        if path.exists():
            return False
        replace_durably({path.with_name(name): file for name, file in beside.items()} | {path: content})
        return True

    def file_sizes(self, folder: str, version: str) -> dict[str, int]:
        """Return the names of a version's files, and their sizes in bytes."""
        return {path.name: path.lstat().st_size for path in (self.root / folder / version).iterdir()}

    def remove_files(self, folder: str, version: str, names: Sequence[str]) -> None:
        """Remove these files of a version."""
        path = self.root / folder / version
        for name in names:
            (path / name).unlink()
        if names:
            sync_folder(path)

    def replace(self, folder: str, contents: Mapping[str, bytes], seen: Mapping[str, Stamp]) -> dict[str, Stamp]:
        """Replace the files in order; the lock keeps them as they were seen."""
        replace_durably({self.root / folder / name: content for name, content in contents.items()})
        return dict(seen)

    def remove(self, folder: str, name: str, seen: Mapping[str, Stamp]) -> None:  # noqa: ARG002 (the lock keeps it)
        """Remove a file."""
        (self.root / folder / name).unlink()
        sync_folder(self.root / folder)

    def remove_all(self, folder: str, pointer: str) -> None:  # noqa: ARG002 (the folder goes as a whole)
        """Set the org's folder aside by one rename, and delete it; also those of its id's former customers."""
        path, set_aside = self.root / folder, f"{PARTIAL_PREFIX}removed-{folder}-"
        if path.is_symlink():
            raise RegistryUnavailable(
                f"{path} is a link, which is not followed; remove it and what it leads to by hand"
            )
        if path.is_dir():
            with self.exclusive(folder):
                path.rename(self.root / f"{set_aside}{secrets.token_hex(4)}")
                sync_folder(self.root)
        for left in [*self.root.glob(f"{set_aside}*"), *self._of_former_customers(folder)]:
            _delete(left)

    def create(self, key: str, content: bytes) -> None:
        """Put a file into the root, unless another process was quicker. Raises RegistryBusy, RegistryUnavailable."""
        with _unavailable_when_not_written():
            self.root.mkdir(parents=True, exist_ok=True)
            with self._locks.hold(self.root):
                if not (self.root / key).exists():
                    replace_durably({self.root / key: content})

    def _of_former_customers(self, folder: str) -> list[Path]:
        """Return the folders that were set aside when the org's id was given to another customer."""
        return [
            path
            for path in (self.root / FORMER_FOLDER).glob(f"{folder}-*")
            if re.fullmatch(r"\d{8}T\d{12}Z", path.name.removeprefix(f"{folder}-"))
        ]

    def _sweep(self, folder: Path) -> None:
        """Remove the files that a killed writer left behind; the lock shows that no writer is at work."""
        for leftover in [*folder.glob(f"{PARTIAL_PREFIX}*"), *folder.glob(f"*/{PARTIAL_PREFIX}*")]:
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def _folders_in(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return [entry.name for entry in path.iterdir() if entry.is_dir() and not entry.is_symlink()]


def _delete(path: Path) -> None:
    try:
        shutil.rmtree(path)
        sync_folder(path.parent)
    except OSError as error:
        raise RegistryUnavailable(
            f"{path} cannot be deleted ({error.strerror or error}), although nothing reads it any more; let this user"
            " write there, and remove the org again"
        ) from error


@contextmanager
def _unavailable_when_not_written() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RegistryUnavailable(
            f"the model registry cannot be written ({error.strerror or type(error).__name__});"
            " make MODEL_PATH a writable folder with free space"
        ) from error
