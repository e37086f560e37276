"""Removes what old versions are scored and trained again with; what tells of them stays: manifest and judgement.

A version stays whole while an org's leads may be scored by it, now or after a rollback: see `old_versions`. The choice
is made under the org's lock, so a rollback comes before it, and is heeded, or after it, and is refused. A server that
maps a version's files keeps them until it lets go of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from leadscore.errors import Damaged, VersionNotFound
from leadscore.gate import Judgement
from leadscore.registry.store import History, Pointer, Registry, Withdrawal


class Keep(NamedTuple):
    """Which versions stay beside the active one: those active in the last `activated_days`, and the `newest` others."""

    newest: int
    activated_days: float


class RemovedVersions(NamedTuple):
    """What was removed of an org, or of many: versions, and the bytes of their files."""

    versions: int = 0
    freed_bytes: int = 0


def old_versions(
    versions: Sequence[str], history: History, held: str | None, keep: Keep, now: datetime
) -> Sequence[str]:
    """Return those of `versions`, newest first, that nothing needs any more, newest first.

    Needed are the active or withdrawn version and the one before it, `held`, which is `newest_held`, each that was
    active in the last `keep.activated_days`, and the `keep.newest` others: one of them may be in training.
    """
    needed = {held, *_present(history), *_active_since(history, now - timedelta(days=keep.activated_days))}
    others = [version for version in versions if version not in needed]
    return others[keep.newest :]


def remove_old_versions(registry: Registry, org_id: str, keep: Keep, now: datetime, *, by: str) -> RemovedVersions:
    """Remove the files of the org's old versions, and return what went; a removal that was interrupted is finished.

    Raises Damaged when it cannot be read which versions are needed, RegistryBusy, RegistryUnavailable.
    """
    if not registry.versions(org_id):
        return RemovedVersions()
    with registry.exclusive(org_id):
        history, versions = registry.history(org_id), registry.versions(org_id)
        old = old_versions(versions, history, newest_held(registry, org_id, history.active_version), keep, now)
        freed = [registry.remove_files(org_id, version, by=by) for version in old]
    return RemovedVersions(sum(map(bool, freed)), sum(freed))


def newest_held(registry: Registry, org_id: str, active: str | None) -> str | None:
    """Return the newest version that was held, and is newer than the `active` one; None where there is none."""
    for version, judgement in _judgements(registry, org_id, active or ""):
        if judgement.decision.verdict == "hold" and not judgement.withheld:
            return version
    return None


def _judgements(registry: Registry, org_id: str, active: str) -> Iterator[tuple[str, Judgement]]:
    for version in registry.versions(org_id):
        if version <= active:
            return
        judgement = _judgement(registry, org_id, version)
        if judgement:
            yield version, judgement


def _judgement(registry: Registry, org_id: str, version: str) -> Judgement | None:
    try:
        return registry.judgement(org_id, version)
    except (Damaged, VersionNotFound):
        return None


def _present(history: History) -> Collection[str | None]:
    """Return the version that is active, or was until it was withdrawn, and the one before it."""
    pointer = history.withdrawal.withdrawn if history.withdrawal else history.pointer
    return () if pointer is None else (pointer.version, pointer.previous)


def _active_since(history: History, since: datetime) -> Iterator[str]:
    """Yield each version that was active at some time after `since`: until then, nothing took its place."""
    for entry, following in pairwise([*history.entries, None]):
        if isinstance(entry, Pointer) and (following is None or _at(following) >= since):
            yield entry.version


def _at(entry: Pointer | Withdrawal) -> datetime:
    return datetime.fromisoformat(entry.activated_at if isinstance(entry, Pointer) else entry.withdrawn_at)
