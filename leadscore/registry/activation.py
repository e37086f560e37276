"""The one door through which a version becomes active: by its verdict, by a rollback, and by anything later.

Verify the version's files, swap the pointer in one step, append to the history. Two at once: one wins, and the other
gets an error. Whatever is refused changes nothing. What a decision rests on is read once, under the org's lock.

A version leaves by the same door: when its org's id may belong to another customer, it is withdrawn, and nothing comes
in until an operator has decided whose the id is.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Literal, NamedTuple, ParamSpec, TypeVar

import msgspec

from leadscore.errors import (
    ActiveVersionMoved,
    Damaged,
    NotActivatable,
    Overtaken,
    RegistryBusy,
    UnsupportedFormat,
    VersionNotFound,
    VersionRemoved,
)
from leadscore.formats import COMPARED_SINCE_FORMAT, FORMAT
from leadscore.gate import Judgement
from leadscore.registry.store import History, Pointer, Registry, Withdrawal

MOST_TRIES = 20
_PAUSE_SECONDS = 0.1

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Outcome = Literal["activated", "active_already", "held", "refused", "withheld", "taken_back"]


class Applied(NamedTuple):
    """How a version was judged, the org's pointer now, and what became of the version.

    `taken_back`: it was active before, and another version was made active in its place. Only a version that is active
    by force may have no judgement.
    """

    judgement: Judgement | None
    pointer: Pointer | None
    outcome: Outcome

    @property
    def is_activated(self) -> bool:
        """Whether this call moved the pointer to the version."""
        return self.outcome == "activated"


def _again_if_moved(act: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let `act` decide again when another writer was quicker, which only a registry without locks lets happen."""

    @wraps(act)
    def again(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        for _ in range(MOST_TRIES):
            try:
                return act(*arguments, **named)
            except Overtaken:
                time.sleep(random.uniform(0, _PAUSE_SECONDS))
        raise RegistryBusy("other changes of the org's active version go on without a pause; try again in a minute")

    return again


@_again_if_moved
def apply_verdict(registry: Registry, org_id: str, version: str, *, by: str, activate_anyway: bool = False) -> Applied:
    """Make `version` active when its stored judgement says so; else leave what is active.

    The verdict was given once, when the version was judged, and no setting that changed since is looked at. A version
    that the judgement withholds needs `activate_anyway`; one that was active before is returned by `roll_back` only.
    Raises NotActivatable when the version was never judged, or was judged by an earlier release's rules;
    ActiveVersionMoved when another version is active than the one that it was judged against; OrgChanged;
    VersionNotFound; VersionRemoved; Damaged when a file is not as recorded.
    """
    registry.check_exists(org_id, version)
    with registry.exclusive(org_id):
        history, judgement = registry.history(org_id), registry.judgement(org_id, version)
        history.check_same_customer(org_id)
        if history.active_version == version:
            return Applied(judgement, history.pointer, "active_already")
        if judgement is None:
            raise NotActivatable(f"version {version} was not judged; materialize evaluation first")
        if left := _left_inactive(version, judgement, history, activate_anyway=activate_anyway):
            return Applied(judgement, history.pointer, left)
        if judgement.format < COMPARED_SINCE_FORMAT:
            raise NotActivatable(f"version {version} was judged by an earlier release with other rules; train again")
        _check_unmoved(history, judgement.champion_version)
        pointer = _swap(registry, org_id, version, judgement, history, by=by, reason=judgement.decision.text)
        return Applied(judgement, pointer, "activated")


def _left_inactive(version: str, judgement: Judgement, history: History, *, activate_anyway: bool) -> Outcome | None:
    """Return what keeps the judged version from becoming active; None where nothing does."""
    if version in history.activated_versions:
        return "taken_back"
    if judgement.decision.verdict != "activate":
        return "held" if judgement.decision.verdict == "hold" else "refused"
    return "withheld" if judgement.withheld and not activate_anyway else None


@_again_if_moved
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
    version. Raises VersionNotFound, VersionRemoved, NotActivatable, ActiveVersionMoved, OrgChanged or Damaged.
    """
    registry.check_exists(org_id, version)
    with registry.exclusive(org_id):
        registry.check_kept(org_id, version)
        history = _history(registry, org_id, is_forced=is_forced)
        history.check_same_customer(org_id)
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


@_again_if_moved
def withdraw(registry: Registry, org_id: str, *, by: str, reason: str, is_decision: bool = False) -> bool:
    """Leave the org without an active version, because its id may belong to another customer now.

    Until `reinstate`, or until the org's folder is set aside, nothing is published or activated for the org. Returns
    False when it is so already; then `is_decision` replaces who did it and why. A damaged pointer is written anew.
    Raises UnsupportedFormat, RegistryBusy or RegistryUnavailable.
    """
    with registry.exclusive(org_id):
        history = _history(registry, org_id, is_forced=True)
        if history.withdrawal and not is_decision:
            return False
        withdrawn = history.withdrawal.withdrawn if history.withdrawal else history.pointer
        registry.swap_pointer(org_id, Withdrawal(withdrawn, _now(), by, reason), history)
        return history.withdrawal is None


class Reinstated(NamedTuple):
    """How an org's withdrawal was lifted: the version that is active again, or why the withdrawn one is not."""

    version: str | None
    problem: str | None = None


@_again_if_moved
def reinstate(registry: Registry, org_id: str, *, by: str, reason: str) -> Reinstated | None:
    """Lift the org's withdrawal, and make the withdrawn version active again; return None when there is none.

    A version whose files cannot be verified any more is left inactive. Raises Damaged, RegistryBusy or
    RegistryUnavailable.
    """
    with registry.exclusive(org_id):
        history = _history(registry, org_id, is_forced=True)
        if history.withdrawal is None:
            return None
        withdrawn = history.withdrawal.withdrawn
        problem = _problem_of(registry, org_id, withdrawn) if withdrawn else None
        if withdrawn is None or problem:
            registry.lift_withdrawal(org_id, history)
            return Reinstated(None, problem)
        again = msgspec.structs.replace(
            withdrawn, previous=None, activated_at=_now(), by=by, reason=reason, format=FORMAT
        )
        registry.swap_pointer(org_id, again, history)
        return Reinstated(again.version)


def _problem_of(registry: Registry, org_id: str, withdrawn: Pointer) -> str | None:
    """Return why the version cannot be active again, None when all of its files are as recorded."""
    try:
        registry.verify(org_id, withdrawn.version, withdrawn.manifest_sha256)
    except UnsupportedFormat:
        raise  # a newer release can verify it
    except (Damaged, VersionNotFound, VersionRemoved) as error:
        return error.message
    return None


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
    manifest, sha256 = registry.verify(org_id, version, judgement.manifest_sha256 if judgement else None)
    pointer = Pointer(
        version=version,
        previous=history.active_version,
        activated_at=_now(),
        by=by,
        reason=reason,
        manifest_sha256=sha256,
        stands_on=manifest.stands_on.version if manifest.stands_on else None,
    )
    registry.swap_pointer(org_id, pointer, history)
    return pointer


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
