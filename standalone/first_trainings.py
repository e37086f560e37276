"""Which orgs a start trains, and whose lead it shows. An org with a problem gets a reason and stops nothing."""

from __future__ import annotations

from collections.abc import Iterable

from leadscore.errors import CannotRun, Damaged, InvalidId, LeadscoreError
from leadscore.registry.ids import check_org_id
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.source.orgs import TrainingNeed
from standalone.api import Api
from standalone.showcase import ScoredLead, score_best_lead


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


def first_lead(api: Api, settings: Settings) -> tuple[ScoredLead | None, dict[str, str]]:
    """Return the best lead of the first org that has one, and why each org before it has none.

    The org `default` comes first. Raises CannotRun when the server does not answer.
    """
    reasons = dict[str, str]()
    for org_id in sorted(Registry(settings.model_path).orgs(), key=lambda org_id: org_id != "default"):
        shown = _lead_of(api, settings, org_id)
        if isinstance(shown, ScoredLead):
            return shown, reasons
        if shown:
            reasons[org_id] = shown
    return None, reasons


def in_one_line(org_id: str) -> str:
    """Return an org id for printing. An invalid id is quoted, because it may contain line breaks."""
    try:
        return check_org_id(org_id)
    except InvalidId:
        return repr(org_id)


def _lead_of(api: Api, settings: Settings, org_id: str) -> ScoredLead | str | None:
    try:
        if Registry(settings.model_path).active(org_id) is None:
            return None
        return score_best_lead(api, settings, org_id)
    except CannotRun:
        raise
    except LeadscoreError as error:
        return error.message
