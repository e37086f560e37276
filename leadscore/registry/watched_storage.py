"""An object store as a process reads it that asks for the same orgs again and again: the HTTP server, and the sensors.

What it asks for stands in memory. The process reads the object of `changes` once a second, and a pointer again only
when that announces it; so the requests do not grow with the orgs. A server also keeps what it read last in a folder of
its machine, in the registry's layout. The copies are read only while the store does not answer; whoever reads them
verifies them, as everything else.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from leadscore.errors import LeadscoreError, RegistryUnavailable
from leadscore.registry.changes import CHANGES_FILE, LOOK_SECONDS, Changes, decode_changes
from leadscore.registry.durable_files import read_if_there, replace_durably, sha256_of
from leadscore.registry.ids import is_version_id
from leadscore.registry.object_storage import ObjectStorage
from leadscore.registry.storage import Seen, Stamp, StoredFile
from leadscore.registry.version import BASE_VALUES_FILE, ENGINE_FILE, MANIFEST_FILE, PLAIN_FOREST_FILE

POLL_SECONDS = 1.0
MOST_KNOWN = 20_000
SERVED_FILES = (MANIFEST_FILE, ENGINE_FILE, PLAIN_FOREST_FILE, BASE_VALUES_FILE)

_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Copies:
    """The copies, in a folder that is made when it is first needed; there may be no folder, and then there are none."""

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self._has_warned = False

    def read(self, key: str) -> bytes | None:
        """Return a copy, None where there is none. Raises Damaged."""
        return read_if_there(self.root / key) if self.root else None

    def folders(self) -> list[str]:
        """Return the names of the orgs' folders."""
        return [path.name for path in self.root.iterdir() if path.is_dir()] if self.root and self.root.is_dir() else []

    def keep_orgs(self, folders: Collection[str]) -> None:
        """Remove the copies of orgs that have no folder among these: they were erased while nobody watched."""
        for folder in set(self.folders()) - set(folders):
            if self.root:
                shutil.rmtree(self.root / folder, ignore_errors=True)

    def keep(self, key: str, content: bytes | None) -> None:
        """Store a copy, or remove it for None."""
        if self.root is None:
            return
        path = self.root / key
        try:
            if content is None:
                path.unlink(missing_ok=True)
                return
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_durably({path: content})
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                _log.warning("no copy of the registry can be kept in %s (%s)", self.root, error.strerror)

    def keep_only(self, folder: str, pointer: bytes | None) -> None:
        """Remove an org's versions that the pointer does not name."""
        if self.root is None:
            return
        path = self.root / folder
        for version in [entry for entry in path.iterdir() if is_version_id(entry.name)] if path.is_dir() else ():
            if not _is_named(version.name, pointer):
                shutil.rmtree(version, ignore_errors=True)


class CopiedFile(NamedTuple):
    """A version's file, of which a copy may be kept."""

    storage: WatchedStorage
    key: str

    @property
    def name(self) -> str:
        """Its name, without a folder."""
        return self.key.rpartition("/")[2]

    def read(self) -> bytes:
        """Return its content. Raises Damaged when there is none, RegistryUnavailable."""
        return self.storage.read_file(self.key)

    def copy_to(self, target: BinaryIO) -> None:
        """Write its content to `target`. Raises like `read`, and OSError."""
        target.write(self.read())


class WatchedStorage(ObjectStorage):
    """The files below `url`, with copies in a folder, if one is given; `pointer` is the name of the orgs' pointers."""

    def __init__(self, url: str, wait_seconds: float, copies: Path | None, pointer: str) -> None:
        super().__init__(url, wait_seconds)
        self._copies, self._pointer = Copies(copies), pointer
        self._lock = threading.Lock()
        self._known: dict[str, Seen] = {}
        # announced, and not seen yet: the hash of what will be there, and until when it is looked for
        self._announced: dict[str, tuple[str, float]] = {}
        self._from_copies: set[str] = set()
        # by org and name, and until when an org may be changing
        self._newest: dict[tuple[str, str], str | None] = {}
        self._changing: dict[str, float] = {}
        self._changes, self._changes_stamp = Changes(), None
        self._announcements = 0
        self._is_down = self._has_asked = False
        self._watching: tuple[int, threading.Event] | None = None

    @property
    def is_up(self) -> bool:
        """Whether the store answered when it was asked last."""
        return not self._is_down

    @property
    def _is_asked(self) -> bool:
        """Whether to ask the store, though it did not answer: a server has copies in its place, and does not wait."""
        return not self._is_down or self._copies.root is None

    def close(self) -> None:
        """End the watch."""
        if self._watching:
            self._watching[1].set()

    # reading

    def folders(self) -> list[str]:
        """Return the names of the folders below the root; while the store is down, of those with copies."""
        self._watch()
        if self._is_asked:
            try:
                return super().folders()
            except RegistryUnavailable as error:
                self._note_down(error)
        return self._copies.folders()

    def newest_with(self, folder: str, name: str) -> str | None:
        """Return the newest version that has a file of this name: from memory, if nothing of the org was announced."""
        self._watch()
        if self._is_down or time.monotonic() < self._changing.get(folder, 0.0):
            return super().newest_with(folder, name)
        before, wanted = self._announcements, (folder, name)
        if wanted not in self._newest:
            found = super().newest_with(folder, name)
            with self._lock:
                if before != self._announcements:
                    return found
                self._newest[wanted] = found
        return self._newest.get(wanted)

    def stamp(self, located: str) -> Stamp | None:
        """Return the stamp of a pointer in memory; None without a pointer."""
        content, stamp = self._known.get(located) or self._look(located)
        return None if content is None else stamp

    def read_small(self, key: str) -> bytes | None:
        """Return the content of an org's pointer or record in memory, at most about a second old."""
        return (self._known.get(key) or self._look(key)).content

    def is_at_hand(self, key: str) -> bool:
        """Return whether the file is in memory."""
        return key in self._known

    def newest_first(self, keys: Sequence[str]) -> list[str]:
        """Return all keys, those that were announced lately first."""
        numbers = {change.key: change.number for change in self._changes.recent}
        return sorted(keys, key=lambda key: -numbers.get(key, 0))

    def read(self, key: str) -> bytes | None:
        """Return a file's content, None when there is none."""
        return self._with_copy(key, lambda: super(WatchedStorage, self).read(key))

    def has(self, key: str) -> bool:
        """Return whether there is a file of this key; while the store is down, whether a version served had it."""
        if self._is_asked:
            try:
                return super().has(key)
            except RegistryUnavailable as error:
                self._note_down(error)
        if self._copies.read(f"{key.rpartition('/')[0]}/{MANIFEST_FILE}") is None:
            raise self._unavailable()
        return self._copies.read(key) is not None

    def file(self, key: str) -> StoredFile:
        """Return a version's file."""
        return CopiedFile(self, key)

    def read_file(self, key: str) -> bytes:
        """Return a version's file. Raises Damaged when there is none, RegistryUnavailable."""
        content = self._with_copy(key, lambda: super(WatchedStorage, self).file(key).read())
        return content or b""

    def _with_copy(self, key: str, ask: Callable[[], bytes | None]) -> bytes | None:
        """Return what the store answers, and keep it if it is served; while the store is down, return the copy."""
        if self._is_asked:
            try:
                content = ask()
            except RegistryUnavailable as error:
                self._note_down(error)
            else:
                if content is not None and self._is_served(key):
                    self._copies.keep(key, content)
                return content
        copy = self._copies.read(key)
        if copy is None:
            raise self._unavailable()
        return copy

    def _is_served(self, key: str) -> bool:
        folder, version, name = key.split("/") if key.count("/") == 2 else ("", "", "")  # noqa: PLR2004 (org, version, file)
        known = self._known.get(f"{folder}/{self._pointer}")
        return name in SERVED_FILES and known is not None and _is_named(version, known.content)

    # watching

    def _look(self, key: str) -> Seen:
        """Return a small file as it is now, and remember it unless it was announced meanwhile."""
        self._watch()
        if not self._is_asked:
            return self._look_at_copy(key)
        before = self._announcements
        try:
            seen = self._seen(key)
        except RegistryUnavailable as error:
            self._note_down(error)
            return self._look_at_copy(key)
        with self._lock:
            if before == self._announcements:
                self._remember(key, seen)
        self._keep(key, seen)
        return seen

    def _swap(self, key: str, content: bytes, seen: Stamp | None) -> Stamp:
        stamp = super()._swap(key, content, seen)
        with self._lock:
            self._remember(key, Seen(content or None, stamp))
        return stamp

    def _look_at_copy(self, key: str) -> Seen:
        content = self._copies.read(key)
        if content is None and self._copies.read(f"{key.rpartition('/')[0]}/{self._pointer}") is None:
            raise self._unavailable()
        seen = Seen(content, {"copy": sha256_of(content or b"")})
        with self._lock:
            self._remember(key, seen)
            self._from_copies.add(key)
        return seen

    def _remember(self, key: str, seen: Seen) -> None:
        """Hold a file in memory; once it is what was announced, it is not looked for any more."""
        self._known[key] = seen
        if key in self._announced and self._announced[key][0] == sha256_of(seen.content or b""):
            del self._announced[key]
        while len(self._known) > MOST_KNOWN:
            self._known.pop(next(iter(self._known)))

    def _keep(self, key: str, seen: Seen) -> None:
        self._copies.keep(key, seen.content)
        if key.endswith(f"/{self._pointer}"):
            self._copies.keep_only(key.partition("/")[0], seen.content)

    def _watch(self) -> None:
        """Start the watch of this process: a thread does not survive a fork."""
        if self._watching and self._watching[0] == os.getpid():
            return
        with self._lock:
            if self._watching and self._watching[0] == os.getpid():
                return
            ended = threading.Event()
            self._watching = os.getpid(), ended
        self._poll()
        self._forget_erased()
        threading.Thread(target=self._poll_until, args=(ended,), daemon=True, name="registry-watch").start()

    def _forget_erased(self) -> None:
        """Remove the copies of orgs that are gone, if the store answers; else the next start does."""
        if self._copies.folders() and not self._is_down:
            try:
                self._copies.keep_orgs(super().folders())
            except RegistryUnavailable as error:
                self._note_down(error)

    def _poll_until(self, ended: threading.Event) -> None:
        while not ended.wait(POLL_SECONDS):
            try:
                self._poll()
            except Exception:
                # whatever is wrong with one answer, the next is asked for
                _log.exception("the registry's changes could not be followed")

    def _poll(self) -> None:
        """Ask what has changed, and look at what was announced."""
        try:
            found = self.client.get_if_new(CHANGES_FILE, self._changes_stamp)
            if found is not None:
                self._heed(*decode_changes(found))
            self._note_up()
            for key, (_, until_seconds) in list(self._announced.items()):
                self._look_at_announced(key, until_seconds)
        except LeadscoreError as error:
            self._note_down(error)

    def _heed(self, changes: Changes, stamp: Stamp) -> None:
        """Note what was announced since the last time; forget everything when that is not known."""
        since = changes.since(self._changes.last) if self._has_asked else None
        until = time.monotonic() + LOOK_SECONDS
        with self._lock:
            self._announcements += 1
            if since is None:
                self._known.clear()
                self._newest.clear()
                since = changes.recent
            folders = {change.key.partition("/")[0] for change in since}
            self._changing = {
                folder: at for folder, at in self._changing.items() if at > time.monotonic()
            } | dict.fromkeys(folders, until)
            self._newest = {wanted: found for wanted, found in self._newest.items() if wanted[0] not in folders}
            self._announced |= {change.key: (change.sha256, until) for change in since}
            self._changes, self._changes_stamp, self._has_asked = changes, stamp, True

    def _look_at_announced(self, key: str, until_seconds: float) -> None:
        if time.monotonic() > until_seconds:
            with self._lock:
                self._announced.pop(key, None)
        elif key in self._known:
            seen = self._seen(key)
            with self._lock:
                self._remember(key, seen)
            self._keep(key, seen)

    def _note_down(self, error: LeadscoreError) -> None:
        if not self._is_down:
            self._is_down = True
            _log.warning("what was read of the registry before is served: %s", error.message)

    def _note_up(self) -> None:
        if self._is_down:
            with self._lock:
                for key in self._from_copies:
                    self._known.pop(key, None)
                self._from_copies.clear()
            self._is_down = False
            _log.info("%s answers again", self.place)

    def _unavailable(self) -> RegistryUnavailable:
        return RegistryUnavailable(
            f"the object store of the model registry, {self.place}, does not answer, and this machine has no copy of"
            " what was asked for; look whether it can be reached, and whether this process's credentials allow it"
        )


def _is_named(version: str, pointer: bytes | None) -> bool:
    """Return whether the pointer names the version, as the active one or the one before it."""
    return pointer is not None and f'"{version}"'.encode() in pointer
