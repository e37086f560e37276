"""Asks the CRM's database how much data an org has.

`leadscore.readiness` judges whether the data suffices for a training; `serving.api.readiness` answers the request.
"""

from __future__ import annotations

from datetime import UTC, datetime

from leadscore.gate import policy_from
from leadscore.outcome_forecast import OutcomeCounts, counts_query
from leadscore.readiness import Readiness, assess
from leadscore.records import Window, window_from
from leadscore.registry.ids import check_crm_org_id
from leadscore.settings import Settings
from serving.dependencies.crm_database import CrmDatabase

TASK = "count the org's leads"


class ReadinessSource:
    """Asks the CRM's database how much data an org has."""

    def __init__(self, settings: Settings, database: CrmDatabase) -> None:
        self._settings, self._database = settings, database

    def readiness(self, org_id: str, window: Window | None = None) -> Readiness:
        """Return whether the org has enough data for a training of `window`, by default of now, and the plan.

        An unknown org has no data. Raises DatabaseUnavailable, and InvalidId for the pooled model, whose leads are
        those of all orgs.
        """
        check_crm_org_id(org_id)
        window = window or present_window(self._settings)
        counts = self._database.value(*counts_query(org_id, window), OutcomeCounts, task=TASK)
        return assess(counts, window, policy_from(self._settings).requirements)


def present_window(settings: Settings) -> Window:
    """Return the window of a training that starts now; AS_OF counts unless it is in the future."""
    now = datetime.now(UTC)
    return window_from(settings, min(settings.as_of or now, now))
