"""A CRM of a few orgs that stand in different ways, as the sensor sees them, beside the registry of their versions."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from leadscore.registry.activation import withdraw
from leadscore_assets.health.attention import Deadlines
from leadscore_assets.health.refresh import refresh
from tests.serving.crm_of_leads import AS_OF, Crm
from tests.serving.scored_leads import Lead, Scores

LOG = logging.getLogger(__name__)
# nothing is late by these
DUE = Deadlines(scores=AS_OF - timedelta(days=1), trainings=AS_OF - timedelta(days=60))
ORGS = ("acme", "beta", "gone", "new")


def refreshed(crm: Crm, shelf: Any, *org_ids: str) -> None:
    """Let the table of the orgs' health be as the sensor makes it."""
    refresh(replace(crm.settings, as_of=AS_OF), shelf.registry, org_ids or ORGS, DUE, LOG)


def standing_orgs(crm: Crm, shelf: Any) -> dict[str, str]:
    """Add an org with a model and scores, one whose last version is held, one withdrawn, and one that is new.

    Returns the versions of the first two.
    """
    versions = {"acme": shelf.activated("acme"), "beta": shelf.activated("beta")}
    shelf.judged("beta", "hold")
    shelf.activated("gone")
    withdraw(shelf.registry, "gone", by="a sensor", reason="its leads are gone")
    crm.leads("new", 20, "LOST", every=1)
    leads = [Lead("a", 0.75, "A", "improving"), Lead("b", 0.5, "B", "declining"), Lead("c", 0.25, "B")]
    Scores(crm.settings).scored("acme", leads)
    refreshed(crm, shelf)
    return versions
