"""Which orgs may have changed hands: their ids are in the CRM, but not the leads by which they were known.

Such an org's active version is withdrawn, and its trainings are refused, until an operator says whose the id is. When
more than FEWEST_IN_A_RELOAD orgs and more than MAX_ORGS_REMOVED_SHARE of all change at once, a reload has rather given
all leads new ids. Then no version is withdrawn, and an operator decides first.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace

from leadscore.errors import Damaged, LeadscoreError, OrgChanged
from leadscore.pooling import POOLED
from leadscore.registry.activation import withdraw
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.source import identities as source
from leadscore_assets.source.database import connect

CHECK = "orgs_keep_their_leads"
REASON = "the CRM no longer has the leads by which the org was known, and has others under its id"
COMMAND = "python -m leadscore_assets.commands.accept_org"
REMEDY = f"run `{COMMAND} --org …` with `--same` for the same customer, with `--new` for another one"
SHOWN_IDS = 20
# so few at once are withdrawn in any case, which an operator can undo: a small CRM may give two ids to new customers
FEWEST_IN_A_RELOAD = 10


@dataclass(frozen=True)
class ChangedOrgs:
    """The orgs that may have changed hands: those whose versions are withdrawn, and those that are not yet."""

    withdrawn: list[str]
    not_withdrawn: list[str]
    most_at_once: int
    orgs: int

    @property
    def is_too_many(self) -> bool:
        """Whether more orgs changed than versions may be withdrawn at once."""
        return len(self.not_withdrawn) > self.most_at_once

    @property
    def all(self) -> list[str]:
        """All of them, sorted."""
        return sorted({*self.withdrawn, *self.not_withdrawn})

    def __str__(self) -> str:
        if not self.all:
            return "every org has a lead by which it was known"
        is_one = len(self.all) == 1
        orgs, have, was, its = ("org", "has", "it was", "its") if is_one else ("orgs", "have", "they were", "their")
        said = (
            f"{len(self.all)} {orgs} {have} none of the leads by which {was} known, but {have} other leads"
            f" ({_ids(self.all)})"
        )
        if self.is_too_many:
            return (
                f"{said}; at most {self.most_at_once} of the {self.orgs} orgs may change at once"
                f" (MAX_ORGS_REMOVED_SHARE), so no version is withdrawn, but {its} trainings are refused. If the CRM"
                f" was loaded anew, run `{COMMAND} --all --same`; if an id was given to another customer, run it with"
                " `--org … --new` before that"
            )
        return f"{said}; {its} trainings are refused{self._withdrawal(its)}. To decide, {REMEDY}"

    def _withdrawal(self, its: str) -> str:
        if not self.not_withdrawn:
            return f", and {its} {'version is' if len(self.withdrawn) == 1 else 'versions are'} withdrawn"
        return f"; the sensor will try again to withdraw the version of {_ids(self.not_withdrawn)}"


def follow_identities(settings: Settings, with_leads: Collection[str]) -> list[str]:
    """Return the orgs of `with_leads` that may have changed hands; remember leads of the others.

    Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    with connect(settings) as connection:
        known = source.identities(connection)
        source.renew(connection, known, with_leads)
    return source.changed_orgs(known, with_leads)


def assess(settings: Settings, registry: Registry, changed: Collection[str], orgs: int) -> ChangedOrgs:
    """Return what becomes of the orgs that have changed, of so many `orgs` in the CRM."""
    withdrawn = withdrawn_orgs(registry)
    most_at_once = max(FEWEST_IN_A_RELOAD, int(settings.max_orgs_removed_share * orgs))
    return ChangedOrgs(withdrawn, sorted(set(changed) - set(withdrawn)), most_at_once, orgs)


def withdraw_changed(settings: Settings, registry: Registry, found: ChangedOrgs, log: logging.Logger) -> ChangedOrgs:
    """Withdraw the versions of the orgs that changed, unless they are too many; return what is withdrawn now.

    An org for which it fails, such as one whose folder is locked, is left for the next time. Each is looked at again,
    because an operator may have accepted it a moment ago.
    """
    if found.is_too_many or not found.not_withdrawn:
        return found
    with connect(settings, read_only=True) as connection:
        changed = [org_id for org_id in found.not_withdrawn if source.is_changed(connection, org_id)]
    withdrawn = [org_id for org_id in changed if _is_now_withdrawn(registry, org_id, log)]
    return replace(
        found,
        withdrawn=sorted([*found.withdrawn, *withdrawn]),
        not_withdrawn=sorted(set(changed) - set(withdrawn)),
    )


def _is_now_withdrawn(registry: Registry, org_id: str, log: logging.Logger) -> bool:
    try:
        withdraw(registry, org_id, by="sensor follow_identities", reason=REASON)
    except LeadscoreError as error:
        log.warning("the version of org %s is not withdrawn yet: %s", org_id, error.message)
        return False
    return True


def withdrawn_orgs(registry: Registry) -> list[str]:
    """Return the orgs whose active version is withdrawn, sorted."""
    return [org_id for org_id in registry.orgs() if is_withdrawn(registry, org_id)]


def is_withdrawn(registry: Registry, org_id: str) -> bool:
    """Return whether the org's active version is withdrawn; False when its pointer cannot be read."""
    try:
        registry.check_same_customer(org_id)
    except OrgChanged:
        return True
    except Damaged:
        return False
    return False


def check_same_customer(settings: Settings, registry: Registry, org_id: str) -> None:
    """Raise OrgChanged when the org's id may be another customer's now, whether or not the sensor has seen it yet.

    Also raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    if is_withdrawn(registry, org_id):
        raise OrgChanged(org_id)
    if org_id == POOLED:
        return
    with connect(settings, read_only=True) as connection:
        if source.is_changed(connection, org_id):
            raise OrgChanged(org_id)


def _ids(org_ids: Collection[str]) -> str:
    more = f" and {len(org_ids) - SHOWN_IDS:,} more" if len(org_ids) > SHOWN_IDS else ""
    return ", ".join(list(org_ids)[:SHOWN_IDS]) + more
