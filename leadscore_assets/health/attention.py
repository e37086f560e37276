"""What may need attention in an org, from the parts of its row: the rules of `leadscore.org_warnings`."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from leadscore.org_warnings import OrgWarning
from leadscore_assets.health.database_facts import Facts
from leadscore_assets.health.tables import Attention, DataPlan, Model, OpenLeads

SCORED = ("active", "pooled")


class Deadlines(NamedTuple):
    """The moments that an org's scores, and its last training, must not be older than."""

    scores: datetime
    trainings: datetime


def ready_since_of(plan: DataPlan, before: Attention | None, now: datetime) -> datetime | None:
    """Return since when the org has had enough data for a training, as `before` may know; None unless it has."""
    if not plan.is_ready:
        return None
    return before.ready_since if before and before.ready_since else now


def warnings_of(
    model: Model, fact: Facts, plan: DataPlan, ready_since: datetime | None, deadlines: Deadlines
) -> list[OrgWarning]:
    """Return what may need attention, in the order of `leadscore.org_warnings`."""
    holds: dict[OrgWarning, bool] = {
        "not_ready": plan.is_ready is False,
        "training_overdue": _is_training_overdue(model, ready_since, deadlines),
        "training_failed": fact.last_run.last_training == "failed",
        "refused": model.verdict == "refuse",
        "held": model.held_since is not None,
        "scores_overdue": _are_scores_overdue(model, fact.open_leads, deadlines),
    }
    return [warning for warning, is_so in holds.items() if is_so]


def _is_training_overdue(model: Model, ready_since: datetime | None, deadlines: Deadlines) -> bool:
    """Return whether a ready org was not judged for too long; one that never was counts from when it was ready."""
    return ready_since is not None and (model.judged_at or ready_since) < deadlines.trainings


def _are_scores_overdue(model: Model, open_leads: OpenLeads, deadlines: Deadlines) -> bool:
    """Return whether an org's scores are too old; one that was never scored counts from when a model was there."""
    if model.state not in SCORED:
        return False
    since = max(model.state_since, model.activated_at or model.state_since)
    return (open_leads.scored_as_of or since) < deadlines.scores
