"""A registry's files in an object store that several machines share: S3, Google Cloud Storage, Azure Blob Storage.

The keys are a folder's paths, so a folder that is copied into a bucket is a registry there. What a folder's renames and
locks do is done by conditional writes, each of which succeeds for one of several writers:

- A version's id is claimed by the object `.claim` before its files are stored. Its manifest is stored last, and only
  what has a manifest is a version.
- An org's pointer is replaced only if it is the one that the writer has seen; else the writer was `Overtaken`.
- A judgement is stored unless there is one. The report beside it has its hash in its key, because of two judges at once
  each stores its own.

A pointer that is taken away leaves an object of blanks, so that who has seen the former one cannot put another in its
place. The blanks differ each time, because some stores tell objects apart by their content alone. Each change of a
pointer, and each judgement, is announced in `changes`.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, NamedTuple

from leadscore.errors import Damaged, Overtaken, RegistryBusy, RegistryUnavailable
from leadscore.registry.changes import announce
from leadscore.registry.durable_files import sha256_of
from leadscore.registry.ids import is_version_id
from leadscore.registry.object_client import Entry, ObjectClient
from leadscore.registry.storage import Seen, Stamp, StoredFile
from leadscore.registry.version import MANIFEST_FILE

CLAIM_FILE = ".claim"
# whoever publishes is done or has given up by then, whatever the clocks of the machines show
ABANDONED = timedelta(days=1)
PUBLISH_SECONDS = 3_600.0
_HASH_CHARACTERS = 16

_log = logging.getLogger(__name__)


class ObjectFile(NamedTuple):
    """A version's file in the store, under the first of `keys` that there is."""

    client: ObjectClient
    name: str
    keys: tuple[str, ...]

    def read(self) -> bytes:
        """Return its content. Raises Damaged when there is none, RegistryUnavailable."""
        for key in self.keys:
            found = self.client.get(key)
            if found is not None:
                return found.content
        raise self._missing()

    def copy_to(self, target: BinaryIO) -> None:
        """Write its content to `target`, part by part. Raises like `read`, and OSError."""
        for key in self.keys:
            try:
                chunks = self.client.chunks(key)
                first = next(chunks, b"")
            except FileNotFoundError:
                continue
            target.write(first)
            for chunk in chunks:
                target.write(chunk)
            return
        raise self._missing()

    def _missing(self) -> Damaged:
        return Damaged(f"{self.name} cannot be read; roll back to another version or train again")


class ObjectStorage:
    """The files below `url`. A writer whom others overtake tries again for `wait_seconds` at most."""

    has_locks = False

    def __init__(self, url: str, wait_seconds: float) -> None:
        self.client = ObjectClient(url)
        self._wait_seconds = wait_seconds
        self._claims: dict[str, tuple[bytes, float]] = {}

    @property
    def place(self) -> str:
        """The store's URL."""
        return self.client.url

    @property
    def is_up(self) -> bool:
        """Whether it can be read: that shows when it is asked."""
        return True

    def close(self) -> None:
        """Do nothing: nothing runs beside."""

    # reading

    def folders(self) -> list[str]:
        """Return the names of the folders below the root."""
        return self.client.folders()

    def versions(self, folder: str) -> list[str]:
        """Return the versions that have a manifest."""
        return [version for version, entries in self._by_version(folder).items() if _is_whole(entries)]

    def newest_with(self, folder: str, name: str) -> str | None:
        """Return the newest version that has a file of this name, None when there is none."""
        found = self._by_version(folder).items()
        named = [version for version, entries in found if any(_name_of(entry.key) == name for entry in entries)]
        return max(named, default=None)

    def has_version(self, folder: str, version: str) -> bool:
        """Return whether the version has a manifest."""
        return self.client.has(f"{folder}/{version}/{MANIFEST_FILE}")

    def has(self, key: str) -> bool:
        """Return whether there is a file of this key."""
        return self.client.has(key)

    def read(self, key: str) -> bytes | None:
        """Return a file's content, None when there is none."""
        found = self.client.get(key)
        return None if found is None else found.content

    def read_small(self, key: str) -> bytes | None:
        """Return the present content of an org's pointer or record."""
        return self._seen(key).content

    def seen(self, folder: str, *names: str) -> dict[str, Seen]:
        """Return an org's small files, as they were together: the last one did not change while the others were read.

        Who replaces the last one has written to the others whatever it stands for: see `store`.
        """
        *others, last = names
        before = self._seen(f"{folder}/{last}")
        while True:
            found = {name: self._seen(f"{folder}/{name}") for name in others}
            after = self._seen(f"{folder}/{last}")
            if after.stamp == before.stamp:
                return {**found, last: after}
            before = after

    def file(self, key: str) -> StoredFile:
        """Return a version's file."""
        return ObjectFile(self.client, _name_of(key), (key,))

    def judged_file(self, key: str, sha256: str) -> StoredFile:
        """Return a file beside a judgement; one that was copied from a folder has no hash in its key."""
        return ObjectFile(self.client, _name_of(key), (_with_hash(key, sha256), key))

    def located(self, key: str) -> str:
        """Return the key."""
        return key

    def stamp(self, located: str) -> Stamp | None:
        """Return the file's stamp, by a request; None without a file."""
        seen = self._seen(located)
        return None if seen.content is None else seen.stamp

    def is_at_hand(self, key: str) -> bool:  # noqa: ARG002 (no file is)
        """Return False: nothing is kept in memory."""
        return False

    def newest_first(self, keys: Sequence[str]) -> list[str]:
        """Return all keys: when a file was replaced is not known without asking for each."""
        return list(keys)

    def file_sizes(self, folder: str, version: str) -> dict[str, int]:
        """Return the names of a version's files, and their sizes in bytes."""
        return {_name_of(entry.key): entry.size for entry in self.client.entries(f"{folder}/{version}")}

    def _seen(self, key: str) -> Seen:
        """Return a small file; blanks stand for none."""
        found = self.client.get(key)
        return Seen(None) if found is None else Seen(found.content if found.content.strip() else None, found.stamp)

    # writing

    @contextmanager
    def exclusive(self, folder: str) -> Iterator[None]:  # noqa: ARG002 (no org has a lock)
        """Do nothing: each write says what it has seen."""
        yield

    def claim_version(self, folder: str, next_id: Callable[[list[str]], str]) -> str:
        """Claim the next id that is free. What a killed writer left behind a day ago is removed."""
        known = self._by_version(folder)
        self._sweep(known)
        taken = list(known)
        while True:
            version, mark = next_id(taken), secrets.token_bytes(16)
            if self.client.create(f"{folder}/{version}/{CLAIM_FILE}", mark):
                self._claims[f"{folder}/{version}"] = mark, time.monotonic()
                return version
            taken.append(version)

    def add_version(self, folder: str, version: str, files: Mapping[str, bytes], check: Callable[[], None]) -> None:
        """Store the files, the last of them once the id is still claimed. Raises RegistryBusy, RegistryUnavailable."""
        path, *names = f"{folder}/{version}", *files
        mark, claimed_at = self._claims.pop(path)
        try:
            for name in names[:-1]:
                self.client.put(f"{path}/{name}", files[name])
            check()
            self._check_claimed(path, mark, claimed_at)
            if not self.client.create(f"{path}/{names[-1]}", files[names[-1]]):
                raise _overtaken()
        except BaseException:
            self._take_back(path, [*names, CLAIM_FILE])
            raise

    def add_once(self, key: str, content: bytes, beside: Mapping[str, bytes]) -> bool:
        """Store the files `beside` under their hashes, then the file itself; return False when that is there."""
        if self.client.has(key):
            return False
        for name, file in beside.items():
            self.client.put(_with_hash(_beside(key, name), sha256_of(file)), file)
        announce(self.client, key, content, self._wait_seconds)
        return self.client.create(key, content) is not None

    def remove_files(self, folder: str, version: str, names: Sequence[str]) -> None:
        """Remove these files of a version."""
        self.client.delete([f"{folder}/{version}/{name}" for name in names])

    def replace(self, folder: str, contents: Mapping[str, bytes], seen: Mapping[str, Stamp]) -> dict[str, Stamp]:
        """Replace the first of the files if it is the one that was seen, then the others. Raises Overtaken.

        The others follow from the first: whoever replaces that next writes them, if this writer does not come to it.
        """
        stamps, (first, *others) = dict(seen), contents
        stamps[first] = self._swap(f"{folder}/{first}", contents[first], seen.get(first))
        for name in others:
            try:
                stamps[name] = self.client.replace(f"{folder}/{name}", contents[name], seen.get(name))
            except Overtaken:
                pass  # who came after has written it
            except RegistryUnavailable as error:
                _log.warning("%s of %s will be written with the next change: %s", name, folder, error.message)
        return stamps

    def remove(self, folder: str, name: str, seen: Mapping[str, Stamp]) -> None:
        """Put blanks in the file's place, if it is the one that was seen. Raises Overtaken."""
        self._swap(f"{folder}/{name}", b"", seen.get(name))

    def create(self, key: str, content: bytes) -> None:
        """Store a file of the root, unless there is one."""
        self.client.create(key, content)

    def remove_all(self, folder: str, pointer: str) -> None:
        """Remove everything of an org; repeating it finishes what was interrupted.

        The pointer is emptied first, so that nothing is served or activated meanwhile, and goes last. A version that is
        about to be published meanwhile finds its claim gone.
        """
        key = f"{folder}/{pointer}"
        if not self.client.entries(folder):
            return
        self._empty(key)
        while keys := [entry.key for entry in self.client.entries(folder) if entry.key != key]:
            # first what makes a version whole, so that none is left in part
            self.client.delete([key for key in keys if _name_of(key) == MANIFEST_FILE])
            self.client.delete([key for key in keys if _name_of(key) != MANIFEST_FILE])
        self.client.delete([key])

    def _empty(self, key: str) -> None:
        deadline = time.monotonic() + self._wait_seconds
        while True:
            with suppress(Overtaken):
                self._swap(key, b"", self._seen(key).stamp)
                return
            if time.monotonic() > deadline:
                raise _overtaken()

    def _swap(self, key: str, content: bytes, seen: Stamp | None) -> Stamp:
        announce(self.client, key, content, self._wait_seconds)
        return self.client.replace(key, content or _blanks(), seen)

    def _by_version(self, folder: str) -> dict[str, list[Entry]]:
        """Return the objects of each version's folder, whole or not."""
        found: dict[str, list[Entry]] = {}
        for entry in self.client.entries(folder):
            _, version, *rest = entry.key.split("/")
            if rest and is_version_id(version):
                found.setdefault(version, []).append(entry)
        return found

    def _sweep(self, known: Mapping[str, list[Entry]]) -> None:
        """Remove what killed writers left behind long ago."""
        before = datetime.now(UTC) - ABANDONED
        for entries in known.values():
            if not _is_whole(entries) and all(entry.last_modified < before for entry in entries):
                self.client.delete([entry.key for entry in entries])

    def _check_claimed(self, path: str, mark: bytes, claimed_at: float) -> None:
        found = self.client.get(f"{path}/{CLAIM_FILE}")
        if found is None or found.content != mark or time.monotonic() - claimed_at > PUBLISH_SECONDS:
            raise _overtaken()

    def _take_back(self, path: str, names: Sequence[str]) -> None:
        """Remove what was stored of a version, its manifest first; what cannot be removed now is, a day later."""
        with suppress(RegistryUnavailable):
            self.client.delete([f"{path}/{MANIFEST_FILE}"])
            self.client.delete([f"{path}/{name}" for name in names if name != MANIFEST_FILE])


def _blanks() -> bytes:
    """Return blanks as nobody has written before."""
    return f"{secrets.randbits(64):064b}".translate({ord("0"): " ", ord("1"): "\t"}).encode()


def _is_whole(entries: Sequence[Entry]) -> bool:
    return any(_name_of(entry.key) == MANIFEST_FILE for entry in entries)


def _name_of(key: str) -> str:
    return key.rpartition("/")[2]


def _beside(key: str, name: str) -> str:
    return f"{key.rpartition('/')[0]}/{name}"


def _with_hash(key: str, sha256: str) -> str:
    return f"{key}.{sha256[:_HASH_CHARACTERS]}"


def _overtaken() -> RegistryBusy:
    return RegistryBusy("another change of the org's versions was quicker; look at them, then try again")
