"""Reads from the CRM's database what came true of an org's scores. Dagster makes the figures."""

from __future__ import annotations

import msgspec

from leadscore.live_performance import LivePerformance
from serving.dependencies.crm_database import CrmDatabase

READ = "SELECT figures FROM leadscore.live_performance WHERE org_id = %(org_id)s"


class _Row(msgspec.Struct, frozen=True):
    figures: LivePerformance


class LiveProof:
    """What came true in each org. Every call raises DatabaseUnavailable when the database cannot answer."""

    def __init__(self, database: CrmDatabase) -> None:
        self._database = database

    def of(self, org_id: str) -> LivePerformance | None:
        """Return the figures of the org's last proof; None for an org whose scores were not judged yet."""
        rows = self._database.rows(READ, {"org_id": org_id}, _Row, task="read what came true of the org's scores")
        return rows[0].figures if rows else None
