"""The registry of versions: the folder that MODEL_PATH names. `ls` and `cat` suffice to read it.

    models/<org>/<version>/manifest.json, forest.safetensors, model.joblib, records.safetensors
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

Readers need no lock, because one rename publishes a whole version, and one rename swaps the pointer. Writers of one org
take turns by a lock on the org's folder. `activation` decides which version may be active.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

import msgspec

from leadscore.errors import (
    AlreadyJudged,
    Damaged,
    NotKept,
    OrgChanged,
    RegistryUnavailable,
    UnsupportedFormat,
    VersionNotFound,
    VersionRemoved,
)
from leadscore.formats import FORMAT, decode_document
from leadscore.gate import Judgement
from leadscore.pooling import scope_of
from leadscore.registry.durable_files import (
    PARTIAL_PREFIX,
    read_if_there,
    read_verified,
    replace_durably,
    sha256_of,
    sync_folder,
    write_durably,
)
from leadscore.registry.ids import (
    check_org_id,
    check_version_id,
    folder_name,
    is_org_folder,
    is_version_id,
    next_version_id,
)
from leadscore.registry.org_lock import OrgLocks
from leadscore.registry.org_record import ORG_FILE, OrgRecord, read_org_record
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
    """Which version is active, since when, by whom and why; `manifest_sha256` ties it to that version's files."""

    version: str
    previous: str | None
    activated_at: str
    by: str
    reason: str
    manifest_sha256: str
    format: int = FORMAT


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
    """The versions of all orgs below one folder. A writer waits `wait_seconds` for an org's lock at most.

    `check` is that of `fenced`.
    """

    def __init__(
        self, root: Path, wait_seconds: float = LOCK_WAIT_SECONDS, check: Callable[[str], None] = lambda _: None
    ) -> None:
        self.root = root
        self._wait_seconds, self._check = wait_seconds, check
        self._locks = OrgLocks(wait_seconds)
        # asked for with every request
        self._pointer_path = lru_cache(MOST_PATHS)(lambda org_id: str(self._org_folder(org_id) / POINTER_FILE))
        self._record_path = lru_cache(MOST_PATHS)(lambda org_id: self._org_folder(org_id) / ORG_FILE)

    def fenced(self, check: Callable[[str], None]) -> Registry:
        """Return the same registry, whose every change asks `check(org_id)` first, under the org's lock.

        It raises when another may be at work on the org.
        """
        return Registry(self.root, self._wait_seconds, check)

    # reading

    def orgs(self) -> list[str]:
        """Return the orgs that have a folder, sorted."""
        if not self.root.is_dir():
            return []
        folders = (entry.name for entry in self.root.iterdir() if entry.is_dir() and not entry.is_symlink())
        return sorted(unquote(name) for name in folders if is_org_folder(name))

    def versions(self, org_id: str) -> list[str]:
        """Return the org's version ids, newest first; empty for an org without versions."""
        folder = self._org_folder(org_id)
        if not folder.is_dir():
            return []
        entries = (entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())
        return sorted((entry.name for entry in entries if is_version_id(entry.name)), reverse=True)

    def check_exists(self, org_id: str, version: str) -> None:
        """Raise VersionNotFound when the org has no such version. No file is opened, and no folder is made."""
        self._existing_folder(org_id, version)

    def manifest(self, org_id: str, version: str, expected_sha256: str | None = None) -> Manifest:
        """Return a version's manifest. Raises VersionNotFound, or Damaged when it is not the one recorded."""
        return self._manifest(org_id, version, expected_sha256)[0]

    def manifest_sha256(self, org_id: str, version: str) -> str:
        """Return the SHA-256 of a version's manifest as it is stored now."""
        return sha256_of(self._manifest_bytes(org_id, version))

    def removal(self, org_id: str, version: str) -> Removal | None:
        """Return since when the version's files are removed, None while they are kept. Raises Damaged."""
        content = read_if_there(self._version_folder(org_id, version) / REMOVED_FILE)
        return None if content is None else decode_document(content, Removal, REMOVED_FILE, "train again")

    def check_kept(self, org_id: str, version: str) -> None:
        """Raise VersionRemoved when the version's files were removed. No file is opened."""
        if (self._version_folder(org_id, version) / REMOVED_FILE).exists():
            raise VersionRemoved(version)

    def verify(self, org_id: str, version: str, expected_sha256: str | None = None) -> str:
        """Return the SHA-256 of the version's manifest once every file has the hash that is recorded for it.

        `expected_sha256` is that of the manifest, when it was recorded. Raises VersionNotFound, VersionRemoved or
        Damaged.
        """
        manifest, sha256 = self._manifest(org_id, version, expected_sha256)
        with self._kept_folder(org_id, version) as folder:
            load_version(folder, manifest)
        return sha256

    def load(self, org_id: str, version: str, expected_sha256: str | None = None) -> LoadedVersion:
        """Return a version, with every file's hash verified. Raises VersionNotFound, VersionRemoved or Damaged."""
        manifest = self.manifest(org_id, version, expected_sha256)
        with self._kept_folder(org_id, version) as folder:
            return load_version(folder, manifest)

    def load_for_scoring(
        self, org_id: str, version: str, expected_sha256: str, map_file: Callable[[Path, str], memoryview]
    ) -> LoadedVersion:
        """Return a version, of which only the files that scoring needs are read and verified.

        The others were verified when it was activated. `map_file(path, sha256)` gives the verified content of the
        engine's arrays. Raises VersionNotFound, VersionRemoved or Damaged.
        """
        manifest = self.manifest(org_id, version, expected_sha256)
        name = scoring_file(manifest)
        is_mapped, recorded = name == ENGINE_FILE, manifest.files[name]
        with self._kept_folder(org_id, version) as folder:
            content = map_file(folder / name, recorded) if is_mapped else read_verified(folder / name, recorded)
            base_values = load_base_values(folder, org_id, manifest.files)
        scorer = decode_scorer(content, name, len(manifest.contract.features))
        return LoadedVersion(manifest, scorer, base_values, recorded if is_mapped else None, scope_of(org_id))

    def org_record(self, org_id: str) -> OrgRecord:
        """Return what is recorded of the org itself. Raises Damaged."""
        return read_org_record(self._record_path(check_org_id(org_id)))

    def judgement(self, org_id: str, version: str) -> Judgement | None:
        """Return how a version was judged, or None when it was not. Raises Damaged when that cannot be read."""
        content = read_if_there(self._version_folder(org_id, version) / EVALUATION_FILE)
        return None if content is None else decode_document(content, Judgement, EVALUATION_FILE, "train again")

    def is_judged(self, org_id: str, version: str) -> bool:
        """Return whether the version was judged; its judgement is not read."""
        return (self._version_folder(org_id, version) / EVALUATION_FILE).exists()

    def file(self, org_id: str, version: str, name: str) -> bytes:
        """Return a file that the version was published with, verified.

        Raises VersionNotFound, VersionRemoved, NotKept or Damaged.
        """
        return self._recorded_file(org_id, version, name, self.manifest(org_id, version).files)

    def judged_file(self, org_id: str, version: str, name: str) -> bytes:
        """Return a file that was stored with the judgement, verified. Raises VersionNotFound, NotKept or Damaged."""
        judgement = self.judgement(org_id, version)
        return self._recorded_file(org_id, version, name, judgement.files if judgement else {})

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
        content = read_if_there(self._org_folder(org_id) / POINTER_FILE)
        return None if content is None else decode_pointer(content)

    def pointer_stamp(self, org_id: str) -> tuple[int, int, int] | None:
        """Return a stamp that changes whenever the pointer is swapped, by one `stat`; None without a pointer."""
        path = self._pointer_path(org_id if isinstance(org_id, str) else check_org_id(org_id))
        try:
            status = os.stat(path)  # noqa: PTH116 (a Path takes longer than the call)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def active_orgs(self) -> list[str]:
        """Return the orgs that have a pointer or a withdrawal, those whose it was swapped last first."""
        stamps = {org_id: self.pointer_stamp(org_id) for org_id in self.orgs()}
        moved = {org_id: stamp[1] for org_id, stamp in stamps.items() if stamp is not None}
        return sorted(moved, key=moved.__getitem__, reverse=True)

    def history(self, org_id: str) -> History:
        """Return the org's activations. Raises Damaged, or UnsupportedFormat when a newer release wrote them."""
        entries, present = self._history_entries(org_id), self.present(org_id)
        # a crash between the swap and the entry leaves the pointer as the only witness
        is_witness = present is not None and present not in entries
        return History([*entries, present] if present and is_witness else entries, present)

    def history_without_pointer(self, org_id: str) -> History:
        """Return the activations of an org whose pointer is damaged. A withdrawal that came last still holds."""
        entries = self._history_entries(org_id)
        return History(entries, entries[-1] if entries and isinstance(entries[-1], Withdrawal) else None)

    def _history_entries(self, org_id: str) -> list[Pointer | Withdrawal]:
        content = read_if_there(self._org_folder(org_id) / HISTORY_FILE) or b""
        return [entry for entry in map(_history_entry, content.splitlines()) if entry]

    # writing

    def registry_id(self) -> str:
        """Return the id of this registry, made the first time. Raises Damaged, RegistryBusy, RegistryUnavailable."""
        with _unavailable_when_not_written():
            return self.present_id() or self._make_id()

    def present_id(self) -> str | None:
        """Return the id of this registry, None when it has none yet. Raises Damaged."""
        content = read_if_there(self.root / ID_FILE)
        if content is None:
            return None
        text = content.decode(errors="replace").strip()
        if not re.fullmatch(r"[0-9a-f]{32}", text):
            raise Damaged(f"{ID_FILE} in {self.root} holds no id; restore it from a backup, or delete it for a new one")
        return text

    def publish(
        self, org_id: str, files: Mapping[str, bytes], describe: Callable[[str, dict[str, str]], Manifest]
    ) -> Manifest:
        """Add a version holding `files` and return its manifest, which `describe(version, hashes)` makes.

        The version is written beside its place and renamed into it, so that it is seen whole or not at all.
        Raises OrgChanged while the org's active version is withdrawn, and RegistryUnavailable when the folder cannot be
        written; then no part of a version is left behind.
        """
        with self.exclusive(org_id) as folder:
            history = self.history(org_id)
            history.check_same_customer(org_id)
            self._sweep(folder)
            known = [*self.versions(org_id), *history.activated_versions]
            version = next_version_id(known, datetime.now(UTC))
            manifest = describe(version, {name: sha256_of(content) for name, content in files.items()})
            partial = folder / f"{PARTIAL_PREFIX}{version}"
            try:
                partial.mkdir(mode=0o700)
                for name, content in {**files, MANIFEST_FILE: _pretty(manifest)}.items():
                    write_durably(partial / name, content)
                sync_folder(partial)
                partial.rename(folder / version)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            sync_folder(folder)
            return manifest

    def record_judgement(
        self, org_id: str, version: str, judgement: Judgement, files: Mapping[str, bytes] | None = None
    ) -> Judgement:
        """Store how a version was judged, once, with `files` beside it, and return it with their hashes.

        The judgement is written last, so a reader that sees it also sees its files. Raises VersionNotFound, or
        AlreadyJudged.
        """
        folder, files = self._existing_folder(org_id, version), files or {}
        judgement = msgspec.structs.replace(
            judgement, files={name: sha256_of(content) for name, content in files.items()}
        )
        with self.exclusive(org_id):
            if (folder / EVALUATION_FILE).exists():
                raise AlreadyJudged(f"version {version} was already judged; train again to get a new candidate")
            beside = {folder / name: content for name, content in files.items()}
            replace_durably(beside | {folder / EVALUATION_FILE: _pretty(judgement)})
        return judgement

    def remove_files(self, org_id: str, version: str, *, by: str) -> int:
        """Remove a version's files but those that tell of it: TELLING_FILES; return how many bytes went.

        The removal is recorded first, so that a version is whole or says that it is removed, wherever this is
        interrupted; repeating it finishes it. The caller holds the org's lock, and knows that nothing is served by the
        version: see `old_versions`.
        """
        folder = self._existing_folder(org_id, version)
        going = [path for path in folder.iterdir() if path.name not in TELLING_FILES]
        freed_bytes = sum(path.lstat().st_size for path in going)
        if not (folder / REMOVED_FILE).exists():
            removal = Removal(datetime.now(UTC).isoformat(timespec="microseconds"), by)
            replace_durably({folder / REMOVED_FILE: _pretty(removal)})
        for path in going:
            path.unlink()
        if going:
            sync_folder(folder)
        return freed_bytes

    def swap_pointer(self, org_id: str, pointer: Pointer | Withdrawal, history: History) -> None:
        """Make `pointer` the org's and add it to `history`, which is the org's as it is stored.

        The caller holds the org's lock: see `activation`.
        """
        folder = self._org_folder(org_id)
        entries = _lines([*history.entries, pointer])
        replace_durably({folder / POINTER_FILE: _pretty(pointer), folder / HISTORY_FILE: entries})

    def lift_withdrawal(self, org_id: str, history: History) -> None:
        """Leave the org without a pointer, as one of which no version was ever active. The caller holds its lock.

        `history` is the org's as it is stored; the withdrawal may be the only witness of its last entry.
        """
        folder = self._org_folder(org_id)
        replace_durably({folder / HISTORY_FILE: _lines(history.entries)})
        (folder / POINTER_FILE).unlink()
        sync_folder(folder)

    @contextmanager
    def exclusive(self, org_id: str) -> Iterator[Path]:
        """Hold the org's lock; yields the org's folder. Raises RegistryBusy, or RegistryUnavailable."""
        folder = self._org_folder(org_id)
        with _unavailable_when_not_written():
            if not folder.is_dir():
                self.root.mkdir(parents=True, exist_ok=True)
                folder.mkdir(mode=0o700, exist_ok=True)
                sync_folder(self.root)
            with self._locks.hold(folder):
                self._check(org_id)
                yield folder

    def _make_id(self) -> str:
        """Put a new id into the folder, unless another process was quicker, and return the one that is there."""
        self.root.mkdir(parents=True, exist_ok=True)
        with self._locks.hold(self.root):
            if not (self.root / ID_FILE).exists():
                replace_durably({self.root / ID_FILE: f"{secrets.token_hex(16)}\n".encode()})
        return self.present_id() or ""

    def _sweep(self, folder: Path) -> None:
        """Remove the files that a killed writer left behind; the lock shows that no writer is at work."""
        for leftover in [*folder.glob(f"{PARTIAL_PREFIX}*"), *folder.glob(f"*/{PARTIAL_PREFIX}*")]:
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)

    def _org_folder(self, org_id: str) -> Path:
        return self.root / folder_name(check_org_id(org_id))

    def _version_folder(self, org_id: str, version: str) -> Path:
        return self._org_folder(org_id) / check_version_id(version)

    def _existing_folder(self, org_id: str, version: str) -> Path:
        folder = self._version_folder(org_id, version)
        if folder.is_symlink() or not folder.is_dir():
            raise VersionNotFound("the org has no version with this id; list its versions, and choose one of them")
        return folder

    @contextmanager
    def _kept_folder(self, org_id: str, version: str) -> Iterator[Path]:
        """Give the folder of a version whose files are kept; what goes while they are read was removed, not damaged."""
        self.check_kept(org_id, version)
        try:
            yield self._version_folder(org_id, version)
        except Damaged:
            self.check_kept(org_id, version)
            raise

    def _recorded_file(self, org_id: str, version: str, name: str, recorded: Mapping[str, str]) -> bytes:
        self._existing_folder(org_id, version)
        if name not in recorded:
            raise NotKept(
                f"version {version} has no {name}, because an earlier release made it; train again to get one"
            )
        with self._kept_folder(org_id, version) as folder:
            return read_verified(folder / name, recorded[name])

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
        content = read_if_there(self._existing_folder(org_id, version) / MANIFEST_FILE)
        if content is None:
            raise Damaged(f"version {version} has no {MANIFEST_FILE}; roll back to another version or train again")
        return content


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


@contextmanager
def _unavailable_when_not_written() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RegistryUnavailable(
            f"the model registry cannot be written ({error.strerror or type(error).__name__});"
            " make MODEL_PATH a writable folder with free space"
        ) from error


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
