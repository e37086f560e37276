"""Removes the old versions of all orgs, and of the pooled model, from the registry."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import NamedTuple

from leadscore.errors import LeadscoreError
from leadscore.pooling import POOLED
from leadscore.registry.old_versions import Keep, remove_old_versions
from leadscore.registry.store import Registry
from leadscore_assets.retention.removed import Removed, total

BY = "retention"


class OldVersions(NamedTuple):
    """What was removed, and in words why it was not in some orgs."""

    removed: Removed
    failures: dict[str, str]


def remove_of_all_orgs(registry: Registry, keep: Keep, now: datetime, log: logging.Logger) -> OldVersions:
    """Remove the old versions of each org; one whose versions cannot be removed does not hold up the others."""
    parts, failures = list[tuple[int, int]](), dict[str, str]()
    for org_id in [*registry.orgs(), POOLED]:
        try:
            removed = remove_old_versions(registry, org_id, keep, now, by=BY)
        except LeadscoreError as error:
            failures[org_id] = error.message
            continue
        if removed.versions:
            log.info("%s: removed the files of %s old versions", org_id, removed.versions)
        parts.append((removed.versions, removed.freed_bytes))
    return OldVersions(total("versions", parts), failures)
