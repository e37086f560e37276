"""How old the scores of each org are, against the schedule that makes them: the check `scores_are_fresh`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import dagster as dg

from leadscore.settings import Settings
from leadscore_assets.deadlines import scores_due_since
from leadscore_assets.scoring.stored_scores import LastScoring

CHECK = "scores_are_fresh"
KEY = dg.AssetKey("lead_scores")


def stale_scores(
    settings: Settings, scorings: Mapping[str, LastScoring], org_ids: Iterable[str], now: datetime
) -> dict[str, str]:
    """Return, for each org whose scores are older than the schedule asks for, how old they are, in words."""
    due = scores_due_since(settings, now)
    ages = {org_id: scorings[org_id].as_of if org_id in scorings else None for org_id in org_ids}
    return {org_id: in_words(as_of, due) for org_id, as_of in ages.items() if as_of is None or as_of < due}


def in_words(as_of: datetime | None, due: datetime) -> str:
    """Return how old an org's scores are, and what to do."""
    age = (
        "the org was never scored" if as_of is None else f"the scores are of {as_of.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    )
    return (
        f"{age}, but those of {due.astimezone(UTC):%Y-%m-%d %H:%M} UTC or later are due; look at the last run of"
        " score_open_leads, then materialize lead_scores"
    )


def scored_event(settings: Settings, org_id: str, as_of: datetime, now: datetime) -> dg.AssetCheckEvaluation:
    """Return whether scores that were made a moment ago are as new as they should be."""
    due = scores_due_since(settings, now)
    return fresh_scores_event(org_id) if as_of >= due else stale_scores_event(org_id, in_words(as_of, due))


def fresh_scores_event(org_id: str) -> dg.AssetCheckEvaluation:
    """Return that the org's scores are as new as they should be, as an event of its own."""
    return _event(org_id, True, "the leads were scored when they were due")


def stale_scores_event(org_id: str, said: str) -> dg.AssetCheckEvaluation:
    """Return that the org's scores are too old, as an event of its own."""
    return _event(org_id, False, said)


def _event(org_id: str, passed: bool, said: str) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=KEY,
        check_name=CHECK,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        partition=org_id,
    )
