"""Which orgs have partitions and no leads, and which of these partitions may go.

That the CRM shows no lead of an org need not mean that the org is gone: a reload may have emptied the table for a
moment, a view may hide it. So a partition goes only after ORG_ABSENT_DAYS, and when more than MAX_ORGS_REMOVED_SHARE
of all would go at once, none goes before a person has looked.
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
    """The orgs without leads, since when each is so, and which of them lose their partitions now."""

    since: dict[str, datetime]
    removed: list[str]
    most_at_once: int
    absent_days: float

    @property
    def is_too_many(self) -> bool:
        """Whether so many are absent that they could not all go at once."""
        return len(self.since) > self.most_at_once

    @property
    def kept(self) -> dict[str, datetime]:
        """Those that keep their partitions, and since when they are absent."""
        return {org_id: moment for org_id, moment in self.since.items() if org_id not in self.removed}

    def __str__(self) -> str:
        if not self.kept:
            return ""
        has = "has a partition" if len(self.kept) == 1 else "have partitions"
        said = f"{len(self.kept)} more {has} and no lead ({_ids(self.kept)}), the first since {_first(self.kept)}"
        if self.is_too_many:
            return (
                f"{said}; no more than {self.most_at_once} may lose their partitions at once, and when more are due"
                " none does. Look whether the CRM's table dossier is whole; if these orgs are gone, raise"
                " MAX_ORGS_REMOVED_SHARE, or delete their partitions in Dagster"
            )
        return f"{said}; a partition goes after {self.absent_days:g} days"


def absent_orgs(
    partitions: Collection[str],
    orgs_with_leads: Collection[str],
    since: Mapping[str, datetime],
    now: datetime,
    settings: Settings,
) -> AbsentOrgs:
    """Return the orgs of `partitions` without leads; `since` says when those that are known already were first seen."""
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
