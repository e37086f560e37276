"""What the registry needs of the place that holds its files: a folder of this machine, or an object store.

A file is named by its key, the path below the registry's root: `acme/20260315060000/manifest.json`. The rules of
versions, pointers and histories are in `store`, once for every kind of place; a place only keeps files, whole.

A folder has locks, so a writer sees no change but its own. An object store has none: a writer says what it has seen,
and is told when another one was quicker (`Overtaken`). `store` and `activation` write for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, NamedTuple, Protocol

from leadscore.registry.durable_files import verify

# tells a stored content from the one that takes its place; nothing else is known of it
Stamp = Any


class Seen(NamedTuple):
    """A file's content, None when there is none, and the stamp by which a writer says that it has seen it."""

    content: bytes | None
    stamp: Stamp = None


class StoredFile(Protocol):
    """A file of a version, which never changes."""

    @property
    def name(self) -> str:
        """Its name, without a folder."""

    def read(self) -> bytes:
        """Return its content. Raises Damaged when there is no such plain file, RegistryUnavailable."""

    def copy_to(self, target: BinaryIO) -> None:
        """Write its content to `target`. Raises like `read`, and OSError when `target` cannot be written."""


class Storage(Protocol):
    """The place of a registry. Reading raises Damaged for a file that cannot be read, RegistryUnavailable."""

    has_locks: bool

    @property
    def place(self) -> str:
        """Where it is, as a person reads it."""

    @property
    def is_up(self) -> bool:
        """Whether it can be read, as far as is known without a request."""

    def close(self) -> None:
        """End what runs beside."""

    def folders(self) -> list[str]:
        """Return the names of the folders below the root."""

    def versions(self, folder: str) -> list[str]:
        """Return the names of an org's folders that may be whole versions."""

    def newest_with(self, folder: str, name: str) -> str | None:
        """Return the newest version that has a file of this name, None when there is none."""

    def has_version(self, folder: str, version: str) -> bool:
        """Return whether the org's folder has such a version, whole."""

    def has(self, key: str) -> bool:
        """Return whether there is a file of this key."""

    def read(self, key: str) -> bytes | None:
        """Return a file's content, None when there is none."""

    def read_small(self, key: str) -> bytes | None:
        """Return the content of an org's pointer or record, which may be some seconds old where it is asked for often.

        What a writer decides by is read with `seen`.
        """

    def seen(self, folder: str, *names: str) -> dict[str, Seen]:
        """Return an org's small files by their names, as they are now."""

    def file(self, key: str) -> StoredFile:
        """Return a version's file; it is not opened yet."""

    def judged_file(self, key: str, sha256: str) -> StoredFile:
        """Return a file that was stored beside a judgement, which recorded the hash."""

    def located(self, key: str) -> str:
        """Return what `stamp` takes for the file of this key."""

    def stamp(self, located: str) -> Stamp | None:
        """Return what changes whenever the file is replaced; None without one. It is asked for with every request."""

    def is_at_hand(self, key: str) -> bool:
        """Return whether `read_small` and `stamp` answer for this key without a request to another machine."""

    def newest_first(self, keys: Sequence[str]) -> list[str]:
        """Return those keys that may have a file, those replaced last first."""

    def exclusive(self, folder: str) -> AbstractContextManager[None]:
        """Hold the org's lock, where the place has locks. Raises RegistryBusy, RegistryUnavailable."""

    def claim_version(self, folder: str, next_id: Callable[[list[str]], str]) -> str:
        """Return an id that no other writer will have; `next_id(taken)` gives the next one. In `exclusive`."""

    def add_version(self, folder: str, version: str, files: Mapping[str, bytes], check: Callable[[], None]) -> None:
        """Store a version under its claimed id, seen whole or not at all; the last of the files makes it whole.

        `check` is called right before that. What fails leaves no part behind. In `exclusive`.
        """

    def add_once(self, key: str, content: bytes, beside: Mapping[str, bytes]) -> bool:
        """Add a file to a version, and the files `beside` it first; return False when it has it. In `exclusive`."""

    def file_sizes(self, folder: str, version: str) -> dict[str, int]:
        """Return the names of a version's files, and their sizes in bytes."""

    def remove_files(self, folder: str, version: str, names: Sequence[str]) -> None:
        """Remove these files of a version. In `exclusive`."""

    def replace(self, folder: str, contents: Mapping[str, bytes], seen: Mapping[str, Stamp]) -> dict[str, Stamp]:
        """Replace an org's small files in order, and return the stamps of all that were seen. In `exclusive`.

        A disk that is full is met before the first is replaced. Raises Overtaken, or RegistryUnavailable.
        """

    def remove(self, folder: str, name: str, seen: Mapping[str, Stamp]) -> None:
        """Remove an org's small file. Raises Overtaken, or RegistryUnavailable. In `exclusive`."""

    def remove_all(self, folder: str, pointer: str) -> None:
        """Remove everything of an org whose pointer has this name. Raises RegistryBusy, RegistryUnavailable."""

    def create(self, key: str, content: bytes) -> None:
        """Store a file of the root, unless there is one. Raises RegistryBusy, RegistryUnavailable, OSError."""


def read_verified_file(file: StoredFile, expected_sha256: str) -> bytes:
    """Return the content of `file`. Raises Damaged unless it has that hash."""
    content = file.read()
    verify(content, expected_sha256, file.name)
    return content


def read_into_memory(file: StoredFile, expected_sha256: str) -> memoryview:
    """Return the verified content of `file`, where nobody maps it. Raises Damaged."""
    return memoryview(read_verified_file(file, expected_sha256))
