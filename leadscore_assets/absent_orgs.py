"""Which orgs have a partition but no leads, and which of these partitions to remove.

An org without leads in the CRM may still exist: a reload may have emptied the table for a moment, or a view may hide
its leads. So a partition is removed only after ORG_ABSENT_DAYS. When more than MAX_ORGS_REMOVED_SHARE of all partitions
are due at once, none is removed until an operator acts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from leadscore.settings import Settings

CHECK = "orgs_have_leads"
SHOWN_IDS = 20


@dataclass(frozen=True)
class AbsentOrgs:
    """The orgs without leads, when each was first seen so, and those whose partitions are removed now."""

    since: dict[str, datetime]
    removed: list[str]
    most_at_once: int
    absent_days: float

    @property
    def is_too_many(self) -> bool:
        """Whether more orgs are absent than partitions may be removed at once."""
        return len(self.since) > self.most_at_once

    @property
    def kept(self) -> dict[str, datetime]:
        """The orgs that keep their partitions, and when each was first seen without leads."""
        return {org_id: moment for org_id, moment in self.since.items() if org_id not in self.removed}

    def __str__(self) -> str:
        if not self.kept:
            return ""
        orgs = "org has a partition" if len(self.kept) == 1 else "orgs have partitions"
        said = f"{len(self.kept)} {orgs} but no leads ({_ids(self.kept)}), the first since {_first(self.kept)}"
        if self.is_too_many:
            return (
                f"{said}; at most {self.most_at_once} may be removed at once, and none is when more are due. Check that"
                " the CRM's table dossier is complete; if these orgs are gone, raise MAX_ORGS_REMOVED_SHARE, or delete"
                " their partitions in Dagster"
            )
        return f"{said}; a partition is removed after {self.absent_days:g} days"


def absent_orgs(
    partitions: Collection[str],
    orgs_with_leads: Collection[str],
    since: Mapping[str, datetime],
    now: datetime,
    settings: Settings,
) -> AbsentOrgs:
    """Return the orgs of `partitions` without leads; `since` says when an earlier call first saw each."""
    absent = {org_id: since.get(org_id, now) for org_id in sorted(set(partitions) - set(orgs_with_leads))}
    most_at_once = max(1, int(settings.max_orgs_removed_share * len(partitions)))
    limit = now - timedelta(days=settings.org_absent_days)
    due = [org_id for org_id, moment in absent.items() if moment <= limit]
    removed = due if len(due) <= most_at_once else []
    return AbsentOrgs(absent, removed, most_at_once, settings.org_absent_days)


def _first(since: Mapping[str, datetime]) -> str:
    return f"{min(since.values()).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _ids(org_ids: Collection[str]) -> str:
    more = f" and {len(org_ids) - SHOWN_IDS:,} more" if len(org_ids) > SHOWN_IDS else ""
    return ", ".join(list(org_ids)[:SHOWN_IDS]) + more
