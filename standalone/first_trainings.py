"""Which orgs a start trains. An org with a problem gets a reason and stops nothing."""

from __future__ import annotations

from collections.abc import Iterable

from leadscore.errors import Damaged, InvalidId
from leadscore.pooling import POOLED
from leadscore.registry.ids import check_org_id
from leadscore.registry.store import Registry
from leadscore_assets.source.orgs import TrainingNeed


def split_by_need(registry: Registry, needs: Iterable[TrainingNeed]) -> tuple[list[str], dict[str, str]]:
    """Return the orgs without an active version that are due, and the reason for each that is not."""
    due, others = list[str](), dict[str, str]()
    for need in needs:
        try:
            is_active = registry.active(need.org_id) is not None
        except (InvalidId, Damaged) as error:
            others[need.org_id] = error.message
        else:
            if need.is_due and not is_active:
                due.append(need.org_id)
            elif not is_active:
                others[need.org_id] = need.reason
    return due, others


def pooled_first(org_ids: Iterable[str]) -> list[list[str]]:
    """Return the orgs that are trained together, one part after the other: orgs begin with the pooled model."""
    every = list(org_ids)
    parts = ([org_id for org_id in every if (org_id == POOLED) == is_pool] for is_pool in (True, False))
    return [part for part in parts if part]


def in_one_line(org_id: str) -> str:
    """Return an org id for printing. An invalid id is quoted, because it may contain line breaks."""
    try:
        return check_org_id(org_id)
    except InvalidId:
        return repr(org_id)
