"""The one door through which a version becomes active: by its verdict, by a rollback, and by anything later.

Verify the version's files, swap the pointer in one step, append to the history. Two at once: one wins, and the other
gets an error. Whatever is refused changes nothing. What a decision rests on is read once, under the org's lock.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from leadscore.errors import ActiveVersionMoved, Damaged, NotActivatable, UnsupportedFormat
from leadscore.formats import COMPARED_SINCE_FORMAT
from leadscore.gate import Judgement
from leadscore.registry.store import History, Pointer, Registry


class Applied(NamedTuple):
    """How a version was judged, and the org's pointer now: `is_activated` when this call moved it to the version.

    Only a version that is active by force may have no judgement.
    """

    judgement: Judgement | None
    pointer: Pointer | None
    is_activated: bool


def apply_verdict(registry: Registry, org_id: str, version: str, *, by: str) -> Applied:
    """Make `version` active when its stored verdict says so; leave what is active when it was held or refused.

    The verdict was given once, when the version was judged, and no setting that changed since is looked at. Raises
    NotActivatable when the version was never judged, was judged by an earlier release's rules, or was active before
    (it was taken back, and only `roll_back` may return it); ActiveVersionMoved when another version is active than the
    one that it was judged against; VersionNotFound; Damaged when a file is not as recorded.
    """
    registry.check_exists(org_id, version)
    with registry.exclusive(org_id):
        history, judgement = registry.history(org_id), registry.judgement(org_id, version)
        if history.active_version == version:
            return Applied(judgement, history.pointer, is_activated=False)
        if judgement is None:
            raise NotActivatable(f"version {version} was not judged; materialize evaluation first")
        if judgement.decision.verdict != "activate":
            return Applied(judgement, history.pointer, is_activated=False)
        if judgement.format < COMPARED_SINCE_FORMAT:
            raise NotActivatable(f"version {version} was judged by an earlier release with other rules; train again")
        _check_unmoved(history, judgement.champion_version)
        if any(entry.version == version for entry in history.entries):
            raise NotActivatable(f"version {version} was active before; bring it back with a rollback, or train again")
        pointer = _swap(registry, org_id, version, judgement, history, by=by, reason=judgement.decision.text)
        return Applied(judgement, pointer, is_activated=True)


def roll_back(
    registry: Registry,
    org_id: str,
    version: str,
    *,
    by: str,
    reason: str,
    expected_active: str | None = None,
    is_forced: bool = False,
) -> Pointer:
    """Make an earlier version active again, and return the new pointer; nothing changes when it is active already.

    A version that was held, refused or never judged needs `is_forced`, the explicit act. So does one whose evaluation
    is damaged, and an org whose pointer is: it is written anew. `expected_active`, when given, must be the active
    version. Raises VersionNotFound, NotActivatable, ActiveVersionMoved or Damaged.
    """
    registry.check_exists(org_id, version)
    with registry.exclusive(org_id):
        history = _history(registry, org_id, is_forced=is_forced)
        judgement = _judgement(registry, org_id, version, is_forced=is_forced)
        if expected_active is not None:
            _check_unmoved(history, expected_active)
        if not is_forced and (judgement is None or judgement.decision.verdict != "activate"):
            raise NotActivatable(
                f"version {version} did not pass the gate ({_verdict_text(judgement)});"
                " choose a version that did, or repeat the call with force and a reason"
            )
        if history.pointer is not None and history.pointer.version == version:
            registry.verify(org_id, version, history.pointer.manifest_sha256)
            return history.pointer
        return _swap(registry, org_id, version, judgement, history, by=by, reason=reason)


def _history(registry: Registry, org_id: str, *, is_forced: bool) -> History:
    try:
        return registry.history(org_id)
    except UnsupportedFormat:
        raise  # a newer release can read it
    except Damaged:
        if not is_forced:
            raise
        return registry.history_without_pointer(org_id)


def _judgement(registry: Registry, org_id: str, version: str, *, is_forced: bool) -> Judgement | None:
    try:
        return registry.judgement(org_id, version)
    except UnsupportedFormat:
        raise
    except Damaged:
        if not is_forced:
            raise
        return None


def _check_unmoved(history: History, expected_active: str | None) -> None:
    if history.active_version != expected_active:
        raise ActiveVersionMoved(
            f"the active version is {history.active_version or 'none'}, but {expected_active or 'none'} was expected;"
            " look at the versions, then decide again"
        )


def _verdict_text(judgement: Judgement | None) -> str:
    return f"{judgement.decision.verdict}: {judgement.decision.text}" if judgement else "it was never judged"


def _swap(
    registry: Registry,
    org_id: str,
    version: str,
    judgement: Judgement | None,
    history: History,
    *,
    by: str,
    reason: str,
) -> Pointer:
    """Verify every file of the version, then make it the active one. The caller holds the org's lock."""
    pointer = Pointer(
        version=version,
        previous=history.active_version,
        activated_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        by=by,
        reason=reason,
        manifest_sha256=registry.verify(org_id, version, judgement.manifest_sha256 if judgement else None),
    )
    registry.swap_pointer(org_id, pointer, history)
    return pointer
