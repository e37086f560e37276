"""Reads a lead's features from the CRM's database as they are now, by the SQL that also makes the training's rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from leadscore.errors import DatabaseUnavailable
from leadscore.records import crm_time
from leadscore.registry.ids import check_crm_org_id
from leadscore.settings import Settings
from serving.dependencies.call_list import is_lead_id
from serving.dependencies.crm_database import CrmDatabase
from serving.dependencies.readiness_source import present_window

TASK = "read the lead's features"
FEATURES = """
SELECT *
FROM leadscore.features_at(
    %(org_id)s, ARRAY[%(lead_id)s]::text[], ARRAY[%(moment)s]::timestamp[], %(crm_time_zone)s
)
"""
LACKS = (
    "the CRM's database does not tell {names}, which the model needs; let leadscore_assets/source/features_at.sql"
    " return every feature of the model's contract, then run `python -m leadscore_assets.commands.set_up_database`"
)

Values = dict[str, Any]


class LeadReader:
    """Reads the features of one lead at a time. AS_OF counts as now unless it is in the future."""

    def __init__(self, settings: Settings, database: CrmDatabase) -> None:
        self._settings, self._database = settings, database

    def features(self, org_id: str, lead_id: str, names: Sequence[str]) -> Values | None:
        """Return the lead's features of these names, null where unknown; None when the org has no such lead.

        The values are not checked against the contract. Raises DatabaseUnavailable, also when the database does not
        return one of the names, and InvalidId for the pooled model, which has no leads of its own.
        """
        check_crm_org_id(org_id)
        if not is_lead_id(lead_id):
            return None
        window = present_window(self._settings)
        asked = {
            "org_id": org_id,
            "lead_id": lead_id,
            "moment": crm_time(window.as_of),
            "crm_time_zone": window.crm_time_zone,
        }
        told = self._database.rows(FEATURES, asked, Values, task=TASK)
        return _of_names(told[0], names) if told else None


def _of_names(told: Values, names: Sequence[str]) -> Values:
    missing = [name for name in names if name not in told]
    if missing:
        raise DatabaseUnavailable(LACKS.format(names=", ".join(missing)))
    return {name: told[name] for name in names}
