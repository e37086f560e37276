"""The CRM, as it is handed to assets, sensors and schedules; it works without Dagster, and tests put others in.

The settings and the registry are handed over as they are: see `definitions.build_defs`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from leadscore.errors import InvalidSettings
from leadscore.features import CONTRACT, Contract
from leadscore.pooling import POOLED
from leadscore.records import Window
from leadscore.settings import Settings
from leadscore_assets.dataset import ConversionRecords
from leadscore_assets.partitions import valid_org_ids
from leadscore_assets.source.answer_lags import answer_lags
from leadscore_assets.source.database import connect
from leadscore_assets.source.extraction import extract, follows_our_rule, records_sql
from leadscore_assets.source.orgs import orgs
from leadscore_assets.source.pooled import extract_pooled

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Crm:
    """The CRM's database, as far as a training needs it."""

    settings: Settings

    def conversion_records(
        self, org_id: str, window: Window, contract: Contract = CONTRACT, log: logging.Logger = _log
    ) -> ConversionRecords:
        """Return the org's records in `window`, with the features of `contract`; for POOLED those of every org.

        Raises SourceMismatch, DatabaseUnavailable, and InvalidSettings for POOLED unless the settings ask for it.
        """
        if org_id != POOLED:
            return extract(self.settings, org_id, window, contract)
        if not self.settings.pooled_model:
            raise InvalidSettings(
                "the pooled model is trained only when POOLED_MODEL is true; set it to true, and restart"
            )
        return extract_pooled(self.settings, valid_org_ids(self.orgs(), log), window, contract, log)

    def answer_lags(self, org_id: str, window: Window) -> dict[int, int]:
        """Return when the org's leads were first answered; empty where RECORDS_SQL reads other tables.

        Raises SourceMismatch, DatabaseUnavailable.
        """
        if not follows_our_rule(records_sql(self.settings)):
            return {}
        with connect(self.settings, read_only=True) as connection:
            return answer_lags(connection, org_id, window)

    def orgs(self) -> list[str]:
        """Return the ids of all orgs that have leads."""
        with connect(self.settings, read_only=True) as connection:
            return orgs(connection)
