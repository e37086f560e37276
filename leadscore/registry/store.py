"""The registry of versions: the folder that MODEL_PATH names, or the URL. `ls` and `cat` suffice to read a folder.

    models/<org>/<version>/manifest.json, forest.safetensors.gz, model.joblib, records.safetensors.gz
                           engine.safetensors             the forest as it is served
                           input_bins.json                how the rows that it learned from spread
                           evaluation.json, report.html   added when the version is judged
                           removed.json                   added when it is old; then only what tells of it stays
    models/<org>/active.json            the pointer: which version is active
    models/<org>/activations.jsonl      its history
    models/<org>/org.json               its former ids, and since when it is this customer's: see `org_record`
    models/_former/                     folders of former customers, whose org ids are others' now: see `moves`
    models/_pooled/                     the pooled model's, as an org's; its versions also have base_values.json
    models/registry.id                  tells this folder from others, whatever path leads to it

A version is published whole, and one step swaps the pointer, so readers need no lock. How, and how the writers of one
org take turns, is the matter of the place that holds the files: see `storage`. `activation` decides which version may
be active.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

import msgspec

from leadscore.errors import (
    AlreadyJudged,
    CannotRun,
    Damaged,
    NotInFolder,
    NotKept,
    OrgChanged,
    UnsupportedFormat,
    VersionNotFound,
    VersionRemoved,
)
from leadscore.formats import FORMAT, decode_document
from leadscore.gate import Judgement
from leadscore.pooling import POOLED, scope_of
from leadscore.registry.durable_files import sha256_of
from leadscore.registry.folder_storage import FolderStorage
from leadscore.registry.ids import (
    check_org_id,
    check_version_id,
    folder_name,
    is_org_folder,
    is_version_id,
    next_version_id,
)
from leadscore.registry.org_record import ORG_FILE, OrgRecord, decode_org_record, encode_org_record
from leadscore.registry.storage import Stamp, Storage, StoredFile, read_into_memory, read_verified_file
from leadscore.registry.version import (
    ENGINE_FILE,
    MANIFEST_FILE,
    LoadedVersion,
    Manifest,
    decode_manifest,
    decode_scorer,
    load_base_values,
    load_version,
    scoring_file,
)

EVALUATION_FILE = "evaluation.json"
REPORT_FILE = "report.html"
REMOVED_FILE = "removed.json"
POINTER_FILE = "active.json"
HISTORY_FILE = "activations.jsonl"
ID_FILE = "registry.id"
# what stays of a version that is removed, so that history can be read
TELLING_FILES = (MANIFEST_FILE, EVALUATION_FILE, REMOVED_FILE)
# a caller over HTTP waits for an answer meanwhile; a training may wait longer
LOCK_WAIT_SECONDS = 5.0
MOST_PATHS = 4_096

_POINTER_REMEDY = "roll back to a version with force and a reason, which writes it anew"


class Pointer(msgspec.Struct, frozen=True):
    """Which version is active, since when, by whom and why; `manifest_sha256` ties it to that version's files.

    `stands_on` is the pooled version that it was taught from, None for a version that was not.
    """

    version: str
    previous: str | None
    activated_at: str
    by: str
    reason: str
    manifest_sha256: str
    format: int = FORMAT
    stands_on: str | None = None


class Withdrawal(msgspec.Struct, frozen=True):
    """In the pointer's place: no version is active, since when, by whom and why; `withdrawn` is what was active.

    The org's id may belong to another customer, so nothing is published or activated until an operator decides.
    """

    withdrawn: Pointer | None
    withdrawn_at: str
    by: str
    reason: str
    format: int = FORMAT


class Removal(msgspec.Struct, frozen=True):
    """That a version's files were removed, because it was old: since when, and by whom."""

    removed_at: str
    by: str
    format: int = FORMAT


class History(msgspec.Struct, frozen=True):
    """Every activation and withdrawal of an org, oldest first, including the present one, and the present one."""

    entries: list[Pointer | Withdrawal]
    present: Pointer | Withdrawal | None
    # by which a writer says what it has seen of the pointer and of the history's file
    seen: dict[str, Stamp] = {}
    # a crash between the swap and the entry leaves the pointer as the only witness
    is_last_unwritten: bool = False

    @property
    def pointer(self) -> Pointer | None:
        """The pointer; None when nothing was ever activated, or the active version was withdrawn."""
        return self.present if isinstance(self.present, Pointer) else None

    @property
    def withdrawal(self) -> Withdrawal | None:
        """The withdrawal that holds now."""
        return self.present if isinstance(self.present, Withdrawal) else None

    @property
    def active_version(self) -> str | None:
        """The version that is active."""
        return self.pointer.version if self.pointer else None

    @property
    def activated_versions(self) -> list[str]:
        """The versions of all activations, oldest first."""
        return [entry.version for entry in self.entries if isinstance(entry, Pointer)]

    def check_same_customer(self, org_id: str) -> None:
        """Raise OrgChanged while the org's active version is withdrawn."""
        if self.withdrawal:
            raise OrgChanged(org_id)


class Registry:
    """The versions of all orgs below one root. A writer waits `wait_seconds` for another one's change at most.

    A process that asks for the same orgs again and again watches an object store, and a server keeps `copies` in a
    folder: see `watched_storage`.
    """

    def __init__(
        self,
        place: Path | str,
        wait_seconds: float = LOCK_WAIT_SECONDS,
        *,
        is_watching: bool = False,
        copies: Path | None = None,
    ) -> None:
        self._storage = _storage_at(place, wait_seconds, copies, is_watching=is_watching or copies is not None)
        self.stamp = self._storage.stamp
        self._check: Callable[[str], None] = lambda _: None
        # asked for with every request
        self.pointer_place = lru_cache(MOST_PATHS)(
            lambda org_id: self._storage.located(self._key(org_id, POINTER_FILE))
        )
        self._record_key = lru_cache(MOST_PATHS)(lambda org_id: self._key(org_id, ORG_FILE))

    @property
    def place(self) -> str:
        """Where the registry is, as a person reads it."""
        return self._storage.place

    @property
    def is_in_folder(self) -> bool:
        """Whether the registry is in a folder, and not in an object store."""
        return isinstance(self._storage, FolderStorage)

    @property
    def root(self) -> Path:
        """The registry's folder. Raises NotInFolder when it is in an object store."""
        if isinstance(self._storage, FolderStorage):
            return self._storage.root
        raise NotInFolder(self.place)

    def check_in_folder(self) -> None:
        """Raise NotInFolder when the registry is in an object store."""
        if not self.is_in_folder:
            raise NotInFolder(self.place)

    def fenced(self, check: Callable[[str], None]) -> Registry:
        """Return the same registry, whose every change asks `check(org_id)` first, under the org's lock.

        It raises when another may be at work on the org.
        """
        fenced = copy(self)
        fenced._check = check  # noqa: SLF001 (it is of this class)
        return fenced

    @property
    def is_up(self) -> bool:
        """Whether the folder can be read, or the object store answered when it was asked last."""
        return self._storage.is_up

    def close(self) -> None:
        """End what this process does beside: see `watched_storage`."""
        self._storage.close()

    # reading

    def orgs(self) -> list[str]:
        """Return the orgs that have a folder, sorted."""
        return sorted(unquote(name) for name in self._storage.folders() if is_org_folder(name))

    def versions(self, org_id: str) -> list[str]:
        """Return the org's version ids, newest first; empty for an org without versions."""
        return sorted(filter(is_version_id, self._storage.versions(self._folder(org_id))), reverse=True)

    def check_exists(self, org_id: str, version: str) -> None:
        """Raise VersionNotFound when the org has no such version. No file is opened, and no folder is made."""
        if not self._storage.has_version(self._folder(org_id), check_version_id(version)):
            raise VersionNotFound("the org has no version with this id; list its versions, and choose one of them")

    def manifest(self, org_id: str, version: str, expected_sha256: str | None = None) -> Manifest:
        """Return a version's manifest. Raises VersionNotFound, or Damaged when it is not the one recorded."""
        return self._manifest(org_id, version, expected_sha256)[0]

    def manifest_sha256(self, org_id: str, version: str) -> str:
        """Return the SHA-256 of a version's manifest as it is stored now."""
        return sha256_of(self._manifest_bytes(org_id, version))

    def removal(self, org_id: str, version: str) -> Removal | None:
        """Return since when the version's files are removed, None while they are kept. Raises Damaged."""
        content = self._storage.read(self._key(org_id, check_version_id(version), REMOVED_FILE))
        return None if content is None else decode_document(content, Removal, REMOVED_FILE, "train again")

    def check_kept(self, org_id: str, version: str) -> None:
        """Raise VersionRemoved when the version's files were removed. No file is opened."""
        if self._storage.has(self._key(org_id, check_version_id(version), REMOVED_FILE)):
            raise VersionRemoved(version)

    def verify(self, org_id: str, version: str, expected_sha256: str | None = None) -> tuple[Manifest, str]:
        """Read every file of a version, compare it with its recorded hash, and return the manifest and its hash.

        `expected_sha256` is that of the manifest, when it was recorded. Raises VersionNotFound, VersionRemoved or
        Damaged.
        """
        manifest, sha256 = self._manifest(org_id, version, expected_sha256)
        with self._kept_files(org_id, version) as file:
            load_version(file, manifest)
        return manifest, sha256

    def load(self, org_id: str, version: str, expected_sha256: str | None = None) -> LoadedVersion:
        """Return a version, with every file's hash verified. Raises VersionNotFound, VersionRemoved or Damaged."""
        manifest = self.manifest(org_id, version, expected_sha256)
        with self._kept_files(org_id, version) as file:
            return load_version(file, manifest)

    def load_for_scoring(
        self,
        org_id: str,
        version: str,
        expected_sha256: str,
        map_file: Callable[[StoredFile, str], memoryview] = read_into_memory,
    ) -> LoadedVersion:
        """Return a version, of which only the files that scoring needs are read and verified.

        The others were verified when it was activated. `map_file(file, sha256)` gives the verified content of the
        engine's arrays. Raises VersionNotFound, VersionRemoved or Damaged.
        """
        manifest = self.manifest(org_id, version, expected_sha256)
        name = scoring_file(manifest)
        is_mapped, recorded = name == ENGINE_FILE, manifest.files[name]
        with self._kept_files(org_id, version) as file:
            content = map_file(file(name), recorded) if is_mapped else read_verified_file(file(name), recorded)
            base_values = load_base_values(file, org_id, manifest.files)
        scorer = decode_scorer(content, name, len(manifest.contract.features))
        return LoadedVersion(
            manifest, scorer, base_values, recorded if is_mapped else None, scope_of(org_id, manifest.stands_on)
        )

    def org_record(self, org_id: str) -> OrgRecord:
        """Return what is recorded of the org itself. Raises Damaged."""
        return decode_org_record(self._storage.read_small(self._record_key(check_org_id(org_id))))

    def judgement(self, org_id: str, version: str) -> Judgement | None:
        """Return how a version was judged, or None when it was not. Raises Damaged when that cannot be read."""
        content = self._storage.read(self._key(org_id, check_version_id(version), EVALUATION_FILE))
        return None if content is None else decode_document(content, Judgement, EVALUATION_FILE, "train again")

    def newest_judged(self, org_id: str) -> str | None:
        """Return the newest version that was judged, None when there is none; no judgement is read."""
        return self._storage.newest_with(self._folder(org_id), EVALUATION_FILE)

    def file(self, org_id: str, version: str, name: str) -> bytes:
        """Return a file that the version was published with, verified.

        Raises VersionNotFound, VersionRemoved, NotKept or Damaged.
        """
        recorded = self._recorded(org_id, version, name, self.manifest(org_id, version).files)
        with self._kept_files(org_id, version) as file:
            return read_verified_file(file(name), recorded)

    def judged_file(self, org_id: str, version: str, name: str) -> bytes:
        """Return a file that was stored with the judgement, verified. Raises VersionNotFound, NotKept or Damaged."""
        judgement = self.judgement(org_id, version)
        recorded = self._recorded(org_id, version, name, judgement.files if judgement else {})
        with self._kept_files(org_id, version):
            return read_verified_file(self._storage.judged_file(self._key(org_id, version, name), recorded), recorded)

    def active(self, org_id: str) -> Pointer | None:
        """Return the org's pointer, or None when nothing was ever activated, or it was withdrawn. Raises Damaged."""
        present = self.present(org_id)
        return present if isinstance(present, Pointer) else None

    def check_same_customer(self, org_id: str) -> None:
        """Raise OrgChanged while the org's active version is withdrawn; Damaged when its pointer cannot be read."""
        History([], self.present(org_id)).check_same_customer(org_id)

    def present(self, org_id: str) -> Pointer | Withdrawal | None:
        """Return the org's pointer, or the withdrawal in its place; None when nothing was ever activated.

        Raises Damaged.
        """
        return _decode_present(self._storage.read_small(self._key(org_id, POINTER_FILE)))

    def pointer_stamp(self, org_id: str) -> Stamp | None:
        """Return a stamp that changes whenever the pointer is swapped; None without a pointer."""
        return self.stamp(self.pointer_place(org_id if isinstance(org_id, str) else check_org_id(org_id)))

    def is_at_hand(self, org_id: str, *, is_record: bool = False) -> bool:
        """Return whether the org's pointer, or its record, can be read without a request to another machine."""
        return self._storage.is_at_hand((self._record_key if is_record else self.pointer_place)(org_id))

    def active_orgs(self) -> list[str]:
        """Return the orgs that may have a pointer or a withdrawal, those whose it was swapped last first."""
        org_ids = {self._key(org_id, POINTER_FILE): org_id for org_id in self.orgs()}
        return [org_ids[key] for key in self._storage.newest_first(list(org_ids))]

    def history(self, org_id: str) -> History:
        """Return the org's activations. Raises Damaged, or UnsupportedFormat when a newer release wrote them."""
        entries, content, seen = self._seen(org_id)
        present = _decode_present(content)
        is_witness = present is not None and present not in entries
        return History([*entries, present] if present and is_witness else entries, present, seen, is_witness)

    def history_without_pointer(self, org_id: str) -> History:
        """Return the activations of an org whose pointer is damaged. A withdrawal that came last still holds."""
        entries, _, seen = self._seen(org_id)
        return History(entries, entries[-1] if entries and isinstance(entries[-1], Withdrawal) else None, seen)

    def _seen(self, org_id: str) -> tuple[list[Pointer | Withdrawal], bytes | None, dict[str, Stamp]]:
        """Return the history's entries and the pointer's content, as they are stored, and the stamps of both."""
        found = self._storage.seen(self._folder(org_id), HISTORY_FILE, POINTER_FILE)
        entries = map(_history_entry, (found[HISTORY_FILE].content or b"").splitlines())
        stamps = {name: file.stamp for name, file in found.items() if file.stamp is not None}
        return [entry for entry in entries if entry], found[POINTER_FILE].content, stamps

    # writing

    def registry_id(self) -> str:
        """Return the id of this registry, made the first time. Raises Damaged, RegistryBusy, RegistryUnavailable."""
        present = self.present_id()
        if present is None:
            self._storage.create(ID_FILE, f"{secrets.token_hex(16)}\n".encode())
        return present or self.present_id() or ""

    def present_id(self) -> str | None:
        """Return the id of this registry, None when it has none yet. Raises Damaged."""
        content = self._storage.read(ID_FILE)
        if content is None:
            return None
        text = content.decode(errors="replace").strip()
        if not re.fullmatch(r"[0-9a-f]{32}", text):
            raise Damaged(
                f"{ID_FILE} in {self.place} holds no id; restore it from a backup, or delete it for a new one"
            )
        return text

    def publish(
        self, org_id: str, files: Mapping[str, bytes], describe: Callable[[str, dict[str, str]], Manifest]
    ) -> Manifest:
        """Add a version holding `files` and return its manifest, which `describe(version, hashes)` makes.

        It is seen whole or not at all. Raises OrgChanged while the org's active version is withdrawn, and
        RegistryUnavailable when it cannot be written; then no part of a version is left behind.
        """
        with self.exclusive(org_id):
            history, folder = self.history(org_id), self._folder(org_id)
            history.check_same_customer(org_id)
            activated, now = history.activated_versions, datetime.now(UTC)
            version = self._storage.claim_version(folder, lambda taken: next_version_id([*taken, *activated], now))
            manifest = describe(version, {name: sha256_of(content) for name, content in files.items()})
            whole = {**files, MANIFEST_FILE: _pretty(manifest)}
            self._storage.add_version(folder, version, whole, lambda: self._check(org_id))
            return manifest

    def record_judgement(
        self, org_id: str, version: str, judgement: Judgement, files: Mapping[str, bytes] | None = None
    ) -> Judgement:
        """Store how a version was judged, once, with `files` beside it, and return it with their hashes.

        The judgement is written last, so a reader that sees it also sees its files. Raises VersionNotFound, or
        AlreadyJudged.
        """
        self.check_exists(org_id, version)
        files = files or {}
        judgement = msgspec.structs.replace(
            judgement, files={name: sha256_of(content) for name, content in files.items()}
        )
        key = self._key(org_id, version, EVALUATION_FILE)
        with self.exclusive(org_id):
            if not self._storage.add_once(key, _pretty(judgement), files):
                raise AlreadyJudged(f"version {version} was already judged; train again to get a new candidate")
        return judgement

    def remove_files(self, org_id: str, version: str, *, by: str) -> int:
        """Remove a version's files but those that tell of it: TELLING_FILES; return how many bytes went.

        The removal is recorded first, so that a version is whole or says that it is removed, wherever this is
        interrupted; repeating it finishes it. The caller holds the org's lock, and knows that nothing is served by the
        version: see `old_versions`.
        """
        self.check_exists(org_id, version)
        folder, removal = self._folder(org_id), Removal(datetime.now(UTC).isoformat(timespec="microseconds"), by)
        sizes = self._storage.file_sizes(folder, version)
        going = [name for name in sizes if name not in TELLING_FILES]
        is_new = self._storage.add_once(self._key(org_id, version, REMOVED_FILE), _pretty(removal), {})
        if is_new and not self._storage.has_locks:
            # a rollback to the version may be under way: it heeds the record, or is heeded here and by the next removal
            self._keep_if_active(org_id, version, self.history(org_id).active_version)
            return 0
        self._storage.remove_files(folder, version, going)
        return sum(sizes[name] for name in going)

    def _keep_if_active(self, org_id: str, version: str, active: str | None) -> None:
        """Take back the record that the version is removed, if it is active; its files are there until a later time."""
        if version == active and self._storage.has(self._key(org_id, version, REMOVED_FILE)):
            self._storage.remove_files(self._folder(org_id), version, [REMOVED_FILE])

    def swap_pointer(self, org_id: str, pointer: Pointer | Withdrawal, history: History) -> None:
        """Make `pointer` the org's and add it to `history`, which is the org's as it is stored.

        It is called in `exclusive`: see `activation`. Raises Overtaken when the history is not the present any more.
        """
        seen = self._with_last_entry(org_id, history)
        entries = _lines([*history.entries, pointer])
        self._storage.replace(self._folder(org_id), {POINTER_FILE: _pretty(pointer), HISTORY_FILE: entries}, seen)
        if isinstance(pointer, Pointer) and not self._storage.has_locks:
            self._keep_if_active(org_id, pointer.version, pointer.version)

    def record_other_lead_ids(self) -> None:
        """Record that leads may have other ids from now on, if there is a pooled model that may know the former ones.

        Raises Damaged, RegistryBusy, RegistryUnavailable, or Overtaken when another writer was quicker.
        """
        if not self.versions(POOLED):
            return
        with self.exclusive(POOLED):
            [seen] = self._storage.seen(self._folder(POOLED), ORG_FILE).values()
            record = msgspec.structs.replace(decode_org_record(seen.content), lead_ids_since=datetime.now(UTC))
            stamps = {} if seen.stamp is None else {ORG_FILE: seen.stamp}
            self._storage.replace(self._folder(POOLED), {ORG_FILE: encode_org_record(record)}, stamps)

    def lift_withdrawal(self, org_id: str, history: History) -> None:
        """Leave the org without a pointer, as one of which no version was ever active. It is called in `exclusive`.

        `history` is the org's as it is stored. Raises Overtaken when it is not the present one any more.
        """
        seen = self._with_last_entry(org_id, history)
        self._storage.remove(self._folder(org_id), POINTER_FILE, seen)

    def _with_last_entry(self, org_id: str, history: History) -> dict[str, Stamp]:
        """Write the entry of which the pointer is the only witness, because that is about to go; return the stamps."""
        if not history.is_last_unwritten:
            return history.seen
        entries = _lines(history.entries)
        return self._storage.replace(self._folder(org_id), {HISTORY_FILE: entries}, history.seen)

    def remove_everything(self, org_id: str) -> None:
        """Remove everything of the org: see `removal`. Raises RegistryBusy, RegistryUnavailable."""
        self._storage.remove_all(self._folder(org_id), POINTER_FILE)

    @contextmanager
    def exclusive(self, org_id: str) -> Iterator[None]:
        """Let no other writer change the org unnoticed. Raises RegistryBusy, or RegistryUnavailable."""
        with self._storage.exclusive(self._folder(org_id)):
            self._check(org_id)
            yield

    def _folder(self, org_id: str) -> str:
        return folder_name(check_org_id(org_id))

    def _key(self, org_id: str, *names: str) -> str:
        return "/".join((self._folder(org_id), *names))

    @contextmanager
    def _kept_files(self, org_id: str, version: str) -> Iterator[Callable[[str], StoredFile]]:
        """Give the files of a version that is kept; what goes while they are read was removed, not damaged."""
        self.check_kept(org_id, version)
        try:
            yield lambda name: self._storage.file(self._key(org_id, version, name))
        except Damaged:
            self.check_kept(org_id, version)
            raise

    def _recorded(self, org_id: str, version: str, name: str, recorded: Mapping[str, str]) -> str:
        """Return the file's hash in `recorded`. Raises VersionNotFound, or NotKept when it is not there."""
        if name in recorded:
            return recorded[name]
        self.check_exists(org_id, version)
        raise NotKept(f"version {version} has no {name}, because an earlier release made it; train again to get one")

    def _manifest(self, org_id: str, version: str, expected_sha256: str | None) -> tuple[Manifest, str]:
        """Return a version's manifest and its SHA-256."""
        content = self._manifest_bytes(org_id, version)
        sha256 = sha256_of(content)
        if expected_sha256 not in (None, sha256):
            raise Damaged(
                f"{MANIFEST_FILE} of version {version} is damaged: its SHA-256 is not the recorded one; roll back to"
                " another version or train again"
            )
        manifest = decode_manifest(content)
        if manifest.version != version or not self._may_hold(org_id, manifest):
            raise Damaged(f"the folder of version {version} holds the manifest of another version; train again")
        return manifest, sha256

    def _may_hold(self, org_id: str, manifest: Manifest) -> bool:
        """Return whether the org's folder may hold the version: it is the org's own, maybe from before a rename."""
        return manifest.org_id == org_id or manifest.org_id in self.org_record(org_id).trained_as(manifest.version)

    def _manifest_bytes(self, org_id: str, version: str) -> bytes:
        content = self._storage.read(self._key(org_id, check_version_id(version), MANIFEST_FILE))
        if content is None:
            self.check_exists(org_id, version)
            raise Damaged(f"version {version} has no {MANIFEST_FILE}; roll back to another version or train again")
        return content


def _storage_at(place: Path | str, wait_seconds: float, copies: Path | None, *, is_watching: bool) -> Storage:
    """Return the place of the registry: a folder, or the object store at a URL. Raises CannotRun."""
    if isinstance(place, Path):
        return FolderStorage(place, wait_seconds)
    try:
        from leadscore.registry.object_storage import ObjectStorage  # noqa: PLC0415 (its library is an extra)
        from leadscore.registry.watched_storage import WatchedStorage  # noqa: PLC0415 (as above)
    except ModuleNotFoundError as error:
        raise CannotRun(
            f"MODEL_PATH is {place}, but the library for object stores is missing ({error.name}); install the extra"
            " `object-store`, or set MODEL_PATH to a folder"
        ) from error
    return (
        WatchedStorage(place, wait_seconds, copies, POINTER_FILE) if is_watching else ObjectStorage(place, wait_seconds)
    )


def _decode_present(content: bytes | None) -> Pointer | Withdrawal | None:
    return None if content is None else decode_pointer(content)


def decode_pointer(content: bytes) -> Pointer | Withdrawal:
    """Return the pointer, or the withdrawal, in the content of an org's `active.json`. Raises Damaged."""
    present = _decode_act(content, POINTER_FILE)
    pointer = present.withdrawn if isinstance(present, Withdrawal) else present
    if pointer and not is_version_id(pointer.version):
        raise Damaged(f"{POINTER_FILE} does not name a version; {_POINTER_REMEDY}")
    return present


class _Kind(msgspec.Struct, frozen=True):
    """What tells a withdrawal from an activation."""

    withdrawn_at: str | None = None


def _decode_act(content: bytes, name: str) -> Pointer | Withdrawal:
    if decode_document(content, _Kind, name, _POINTER_REMEDY).withdrawn_at:
        return decode_document(content, Withdrawal, name, _POINTER_REMEDY)
    return decode_document(content, Pointer, name, _POINTER_REMEDY)


def _history_entry(line: bytes) -> Pointer | Withdrawal | None:
    """Return the entry, or None for the torn last line of a disk that lost power."""
    try:
        return _decode_act(line, HISTORY_FILE)
    except UnsupportedFormat:
        raise
    except Damaged:
        return None


def _lines(entries: Sequence[Pointer | Withdrawal]) -> bytes:
    return b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)


def _pretty(content: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
