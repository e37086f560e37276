"""What a backup holds of the registry: its files as they are copied from a registry in use, and checked when restored.

A copy needs no lock: a published version never changes, and one rename swaps a pointer. An org's pointer is read before
its versions are, so that the version that it names is among them. A version that a writer has not finished has another
name, and is left out, as locks are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from leadscore.errors import CannotRun, Damaged, VersionNotFound, VersionRemoved
from leadscore.pooling import POOLED
from leadscore.registry.durable_files import open_plain, read_if_there, sync_folder, verify
from leadscore.registry.ids import folder_name, is_org_folder, is_version_id
from leadscore.registry.org_record import ORG_FILE
from leadscore.registry.store import (
    EVALUATION_FILE,
    HISTORY_FILE,
    ID_FILE,
    POINTER_FILE,
    REMOVED_FILE,
    TELLING_FILES,
    Pointer,
    Registry,
    decode_pointer,
)
from leadscore.registry.version import MANIFEST_FILE, decode_manifest

_FILE_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"

File = tuple[str, bytes]


@dataclass
class Copied:
    """What was copied or checked: the orgs and versions, and in words each version that is damaged and not active."""

    orgs: int = 0
    versions: int = 0
    damaged: list[str] = field(default_factory=list)


def saved_files(registry: Registry, copied: Copied) -> Iterator[File]:
    """Yield the files of a registry in use: each one's name below its folder, and its content; count them in `copied`.

    Raises Damaged when a pointer or an active version cannot be verified, because a restore would refuse it; CannotRun
    when a folder of the registry cannot be read.
    """
    registry_id = read_if_there(registry.root / ID_FILE)
    if registry_id is not None:
        yield ID_FILE, registry_id
    for org_id in _orgs(registry):
        has_files = False
        for name, content in _org_files(registry, org_id, copied):
            yield f"{folder_name(org_id)}/{name}", content
            has_files = True
        copied.orgs += has_files


def is_saved_name(name: str) -> bool:
    """Return whether a file of a registry may have this name below its folder."""
    match name.split("/"):
        case [only]:
            return only == ID_FILE
        case [folder, file]:
            return _is_folder(folder) and file in (POINTER_FILE, HISTORY_FILE, ORG_FILE)
        case [folder, version, file]:
            return _is_folder(folder) and is_version_id(version) and re.fullmatch(_FILE_NAME, file) is not None
    return False


def check_no_registry(registry: Registry) -> None:
    """Raise CannotRun when the registry holds an org or an id, which a restore would overwrite or mix with others."""
    if _orgs(registry) or (registry.root / ID_FILE).exists():
        raise CannotRun(
            f"{registry.root} holds a registry already, but a backup is restored where there is none. Move that folder"
            " away, or set MODEL_PATH to another one."
        )


def check_copy(registry: Registry) -> Copied:
    """Verify every file of a registry that was unpacked. Raises Damaged when a pointer or an active version is not."""
    copied = Copied()
    for org_id in _orgs(registry):
        with _naming(org_id):
            active = registry.history(org_id).pointer
            if active:
                registry.verify(org_id, active.version, active.manifest_sha256)
        for version in registry.versions(org_id):
            copied.damaged += _faults(registry, org_id, version)
            copied.versions += 1
        copied.orgs += 1
    return copied


def put_in_place(unpacked: Path, root: Path) -> None:
    """Move a checked copy, which lies below `root`, to its place: each org at once, and the id once all are there."""
    for path in sorted(unpacked.iterdir(), key=lambda path: path.name == ID_FILE):
        path.rename(root / path.name)
    sync_folder(root)


def _orgs(registry: Registry) -> list[str]:
    with _listing(registry.root):
        has_pooled = (registry.root / folder_name(POOLED)).is_dir()
        return [*registry.orgs(), *([POOLED] if has_pooled else [])]


@contextmanager
def _listing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotRun(
            f"{error.filename or folder} cannot be read ({error.strerror or error}); let this user read MODEL_PATH and"
            " every folder in it"
        ) from error


def _is_folder(name: str) -> bool:
    return is_org_folder(name) or name == folder_name(POOLED)


def _org_files(registry: Registry, org_id: str, copied: Copied) -> Iterator[File]:
    folder = registry.root / folder_name(org_id)
    with _naming(org_id):
        pointer, history = _pointer_and_history(folder)
        present = decode_pointer(pointer) if pointer is not None else None
        active = present if isinstance(present, Pointer) else None
        record = read_if_there(folder / ORG_FILE)
    for name, content in ((ORG_FILE, record), (HISTORY_FILE, history), (POINTER_FILE, pointer)):
        if content is not None:
            yield name, content
    with _listing(folder):
        versions = registry.versions(org_id)
    if active and active.version not in versions:
        with _naming(org_id):
            raise Damaged(f"version {active.version} is gone")
    for version in versions:
        try:
            files = _version_files(folder / version)
        except Damaged as fault:
            if _is_active(version, active):
                with _naming(org_id):
                    raise
            copied.damaged.append(f"{_in_words(org_id, version, fault)}; it is left out")
            continue
        if not files and not _is_active(version, active):
            continue  # it was removed just now
        _check_files(org_id, version, files, active, copied)
        yield from ((f"{version}/{name}", content) for name, content in files.items())
        copied.versions += 1


def _pointer_and_history(folder: Path) -> tuple[bytes | None, bytes | None]:
    """Return both as they belong together: the pointer is swapped first, so one that stayed has its own history."""
    while True:
        pointer = read_if_there(folder / POINTER_FILE)
        history = read_if_there(folder / HISTORY_FILE)
        if read_if_there(folder / POINTER_FILE) == pointer:
            return pointer, history


def _version_files(folder: Path) -> dict[str, bytes]:
    """Return a version's files, none when it is gone; of a removed one what stays. Raises Damaged.

    One that is removed while it is read is read again.
    """
    is_removed = (folder / REMOVED_FILE).exists()
    try:
        files = _read_files(folder, is_removed=is_removed)
    except Damaged:
        if is_removed or not (folder / REMOVED_FILE).exists():
            raise
        files = {}
    return files if is_removed or not (folder / REMOVED_FILE).exists() else _read_files(folder, is_removed=True)


def _read_files(folder: Path, *, is_removed: bool) -> dict[str, bytes]:
    """Return the files, none when the folder is gone. Raises Damaged when one cannot be read.

    An evaluation is written after its report, so it is read before.
    """
    try:
        evaluation = read_if_there(folder / EVALUATION_FILE)
        names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.is_symlink())
        files = {} if evaluation is None else {EVALUATION_FILE: evaluation}
        for name in names:
            if name == EVALUATION_FILE or (is_removed and name not in TELLING_FILES):
                continue
            if re.fullmatch(_FILE_NAME, name):
                with open_plain(folder / name) as file:
                    files[name] = file.read()
    except (Damaged, OSError) as error:
        if not os.path.isdir(folder):  # noqa: PTH112 (Path.is_dir raises for some paths that are no folders)
            return {}
        if isinstance(error, OSError):
            raise Damaged(
                f"{error.filename or folder} cannot be read ({error.strerror or error}); let this user read it, or roll"
                " back to another version or train again"
            ) from error
        raise
    return files


def _check_files(org_id: str, version: str, files: Mapping[str, bytes], active: Pointer | None, copied: Copied) -> None:
    """Raise Damaged when the files of the active version are not as recorded; remember another version's fault."""
    pointer = active if _is_active(version, active) else None
    try:
        manifest = files.get(MANIFEST_FILE, b"")
        if pointer:
            verify(manifest, pointer.manifest_sha256, MANIFEST_FILE)
        recorded = decode_manifest(manifest).files
        for name, sha256 in recorded.items() if pointer or REMOVED_FILE not in files else ():
            verify(files.get(name, b""), sha256, name)
    except Damaged as fault:
        if pointer:
            with _naming(org_id):
                raise
        copied.damaged.append(_in_words(org_id, version, fault))


def _is_active(version: str, active: Pointer | None) -> bool:
    return active is not None and active.version == version


@contextmanager
def _naming(org_id: str) -> Iterator[None]:
    """Let an error about what scores an org's leads name the org."""
    try:
        yield
    except (Damaged, VersionNotFound, VersionRemoved) as fault:
        kind = type(fault) if isinstance(fault, Damaged) else Damaged
        raise kind(f"the active version of org {org_id} cannot be verified: {fault.message}") from fault


def _in_words(org_id: str, version: str, fault: Damaged) -> str:
    return f"version {version} of org {org_id}: {fault.message}"


def _faults(registry: Registry, org_id: str, version: str) -> list[str]:
    try:
        if registry.removal(org_id, version):
            registry.manifest(org_id, version)
            return []
        registry.verify(org_id, version)
        judgement = registry.judgement(org_id, version)
        for name in judgement.files if judgement else ():
            registry.judged_file(org_id, version, name)
    except Damaged as fault:
        return [_in_words(org_id, version, fault)]
    return []
