"""The CRM, as it is handed to assets, sensors and schedules; it works without Dagster, and tests put others in.

The settings and the registry are handed over as they are: see `definitions.build_defs`.
"""

from __future__ import annotations

from dataclasses import dataclass

from leadscore.features import CONTRACT, Contract
from leadscore.records import Window
from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from leadscore_assets.source.extraction import ConversionRecords, extract
from leadscore_assets.source.orgs import orgs


@dataclass(frozen=True)
class Crm:
    """The CRM's database, as far as a training needs it."""

    settings: Settings

    def conversion_records(self, org_id: str, window: Window, contract: Contract = CONTRACT) -> ConversionRecords:
        """Return the org's records in `window`, with the features of `contract`."""
        return extract(self.settings, org_id, window, contract)

    def orgs(self) -> list[str]:
        """Return the ids of all orgs that have leads."""
        with connect(self.settings, read_only=True) as connection:
            return orgs(connection)
