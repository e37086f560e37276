"""The one door through which a version becomes active: activation, rollback, and anything later.

Verify the version's files, swap the pointer in one step, append to the history. Two at once: one wins, and the
other is told. Whatever is refused changes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime

from leadscore.errors import ActiveVersionMoved, NotActivatable
from leadscore.registry.store import Pointer, Registry


def activate(registry: Registry, org_id: str, version: str, *, expected_active: str | None, by: str) -> Pointer:
    """Make `version` active because the gate said so, and return the new pointer.

    `expected_active` is the version that it was judged against. Raises ActiveVersionMoved when another one is active
    now, NotActivatable when the gate did not say so or the version was active before (somebody took it back, and only
    `roll_back` may return it), VersionNotFound, Damaged when a file is not as recorded.
    """
    registry.manifest(org_id, version)
    with registry.exclusive(org_id):
        _check_unmoved(registry, org_id, expected_active)
        judgement = registry.judgement(org_id, version)
        if judgement is None or judgement.decision.verdict != "activate":
            raise NotActivatable(f"version {version} did not pass the gate{_verdict_text(registry, org_id, version)}")
        if any(entry.version == version for entry in registry.history(org_id)):
            raise NotActivatable(f"version {version} was active before; bring it back with a rollback, or train again")
        return _swap(registry, org_id, version, by=by, reason=judgement.decision.text)


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

    A version that was held, refused or never judged needs `is_forced`, the explicit act. `expected_active`, when
    given, must be the active version. Raises VersionNotFound, NotActivatable, ActiveVersionMoved or Damaged.
    """
    registry.manifest(org_id, version)
    with registry.exclusive(org_id):
        if expected_active is not None:
            _check_unmoved(registry, org_id, expected_active)
        judgement = registry.judgement(org_id, version)
        if not is_forced and (judgement is None or judgement.decision.verdict != "activate"):
            raise NotActivatable(
                f"version {version} did not pass the gate{_verdict_text(registry, org_id, version)};"
                " choose a version that did, or repeat the call with force and a reason"
            )
        pointer = registry.active(org_id)
        if pointer is not None and pointer.version == version:
            registry.load(org_id, version, pointer.manifest_sha256)
            return pointer
        return _swap(registry, org_id, version, by=by, reason=reason)


def _check_unmoved(registry: Registry, org_id: str, expected_active: str | None) -> None:
    pointer = registry.active(org_id)
    active = pointer.version if pointer else None
    if active != expected_active:
        raise ActiveVersionMoved(
            f"version {active or 'none'} is active, not {expected_active or 'none'}; look again, then decide"
        )


def _verdict_text(registry: Registry, org_id: str, version: str) -> str:
    judgement = registry.judgement(org_id, version)
    return f" ({judgement.decision.verdict}: {judgement.decision.text})" if judgement else " (it was never judged)"


def _swap(registry: Registry, org_id: str, version: str, *, by: str, reason: str) -> Pointer:
    judgement = registry.judgement(org_id, version)
    recorded = judgement.manifest_sha256 if judgement else registry.manifest_sha256(org_id, version)
    registry.load(org_id, version, recorded)
    active = registry.active(org_id)
    pointer = Pointer(
        version=version,
        previous=active.version if active else None,
        activated_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        by=by,
        reason=reason,
        manifest_sha256=recorded,
    )
    registry.swap_pointer(org_id, pointer)
    return pointer
