"""Which model scores an org's leads: its own active version, else the pooled model's, moved to the org's base rate.

The rule stands here alone. The server asks it with pointers that it keeps in memory, a judge with those on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from leadscore.errors import NoActiveModel
from leadscore.pooling import POOLED, Scope, scope_of, shift_to_base_value
from leadscore.registry.org_record import OrgRecord
from leadscore.registry.store import Pointer, Registry
from leadscore.registry.version import LoadedVersion


class ActiveModel(NamedTuple):
    """The pointer to the version that scores an org's leads, and whose it is: the org's own id, or POOLED."""

    owner: str
    pointer: Pointer

    @property
    def scope(self) -> Scope:
        """Whether it is the org's own model, one that the org taught, or the pooled one."""
        return scope_of(self.owner, self.pointer.stands_on)


def active_model(org_id: str, pointer_of: Callable[[str], Pointer | None], *, is_pooling: bool) -> ActiveModel | None:
    """Return the model that scores the org's leads, None when there is none.

    `pointer_of(owner)` gives the pointer that is kept under an id. What it raises is raised here: a damaged pointer of
    the org's own is an error, and the pooled model does not take its place.
    """
    own = pointer_of(org_id)
    if own is not None:
        return ActiveModel(org_id, own)
    pooled = pointer_of(POOLED) if is_pooling and org_id != POOLED else None
    return ActiveModel(POOLED, pooled) if pooled is not None else None


def base_value_for(version: LoadedVersion, org_id: str, record: OrgRecord) -> float | None:
    """Return the base value that the org's leads are scored at, None for the version's own.

    By the org's `record`, a version from before a rename has it under the former id, and one from before the id was
    given to this customer has another customer's.
    """
    if version.base_values is None:
        return None
    values = version.base_values.orgs
    ids = record.ids_at(org_id, version.manifest.window.as_of)
    return next((values[known_as] for known_as in ids if known_as in values), None)


def present_base_value(version: LoadedVersion, org_id: str, registry: Registry) -> float | None:
    """Return `base_value_for`, by what the registry now records of the org, which has no active version of its own.

    None while its version is withdrawn: the base value may be another customer's. Raises Damaged.
    """
    if version.base_values is None or (org_id != POOLED and registry.pointer_stamp(org_id) is not None):
        return None
    return base_value_for(version, org_id, registry.org_record(org_id))


def move_to_base_value(version: LoadedVersion, base_value: float) -> LoadedVersion:
    """Return `version` with its leaves moved such that it has `base_value`."""
    return msgspec.structs.replace(version, scorer=shift_to_base_value(version.scorer, base_value), sha256=None)


def as_served_to(org_id: str, version: LoadedVersion, record: OrgRecord) -> LoadedVersion:
    """Return `version` as it scores the org's leads; `record` is the org's."""
    base_value = base_value_for(version, org_id, record)
    return version if base_value is None else move_to_base_value(version, base_value)


def no_active_model(*, is_pooled: bool) -> NoActiveModel:
    """Return the error for an org without an active version of its own; `is_pooled` when the pooled model scores it."""
    its_own = " of its own, so the pooled model scores its leads" if is_pooled else ""
    return NoActiveModel(
        f"the org has no active model{its_own}; train the org, and read `reasons` if no version was activated"
    )
