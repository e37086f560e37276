"""The state of an org in a word: whose model scores its leads, and if none does, why.

The rule stands here alone. `leadscore.org_health` has it for all orgs, and the server's page of an org asks it again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from leadscore.errors import Damaged
from leadscore.pooling import POOLED, is_of_the_org
from leadscore.registry.active_model import ActiveModel, active_model
from leadscore.registry.store import History, Pointer, Registry, Withdrawal

OrgState = Literal["active", "pooled", "no_model", "withdrawn", "damaged"]

MEANINGS: dict[OrgState, str] = {
    "active": "its own active version scores its leads",
    "pooled": "it has no active version of its own, so the pooled model scores its leads",
    "no_model": "no model scores its leads",
    "withdrawn": "its active version was withdrawn, because its id may have been given to another customer",
    "damaged": "the files in the registry that its model needs cannot be read, so its leads are not scored",
}


class Standing(NamedTuple):
    """An org's state, the model that scores its leads, and the problem in words where there is one."""

    state: OrgState
    model: ActiveModel | None = None
    problem: str = ""


def pooled_pointer(registry: Registry, *, is_pooling: bool) -> Pointer | Damaged | None:
    """Return the pooled model's pointer, None where there is none or orgs are not pooled, or why it cannot be read.

    That is not raised, because it does not concern an org with a model of its own.
    """
    try:
        return registry.active(POOLED) if is_pooling else None
    except Damaged as error:
        return error


def standing(registry: Registry, org_id: str, pooled: Pointer | Damaged | None) -> Standing:
    """Return how the org stands. `pooled` is what `pooled_pointer` gives: many orgs share it."""
    try:
        present = registry.present(org_id)
    except Damaged as error:
        return Standing("damaged", problem=error.message)
    own = present if isinstance(present, Pointer) else None
    shared = pooled if isinstance(pooled, Pointer) else None
    model = active_model(org_id, {org_id: own, POOLED: shared}.get, is_pooling=shared is not None)
    if isinstance(present, Withdrawal):
        return Standing("withdrawn", model, present.reason)
    if model is None:
        return _without_model(pooled)
    return Standing("active" if is_of_the_org(model.scope) else "pooled", model)


def _without_model(pooled: Pointer | Damaged | None) -> Standing:
    if not isinstance(pooled, Damaged):
        return Standing("no_model")
    problem = f"The org has no model of its own, and the pooled one cannot be read: {pooled.message}"
    return Standing("damaged", problem=problem)


def holds_since(history: History) -> datetime | None:
    """Return since when the org has had an active version without a break, or since when it is withdrawn; else None."""
    since = None
    for entry in reversed(history.entries):
        if isinstance(entry, Withdrawal):
            return since or datetime.fromisoformat(entry.withdrawn_at)
        since = datetime.fromisoformat(entry.activated_at)
    return since
