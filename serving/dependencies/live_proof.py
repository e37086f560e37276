"""Reads from the CRM's database what came true of an org's scores, and how what arrives differs. Dagster makes both."""

from __future__ import annotations

from datetime import datetime

import msgspec

from leadscore.live_inputs import LiveInputs
from leadscore.live_performance import LivePerformance
from serving.dependencies.crm_database import CrmDatabase

ARRIVED = """
SELECT
    (SELECT figures FROM leadscore.live_inputs WHERE org_id = %(org_id)s) AS inputs,
    (
        SELECT coalesce(json_agg(named ORDER BY feature), '[]')
        FROM (
            SELECT feature, as_of, compared, differing, sent, computed, cause, is_of_today
            FROM leadscore.feature_skew WHERE org_id = %(org_id)s AND is_named
        ) AS named
    ) AS skews
"""
READ = "SELECT figures FROM leadscore.live_performance WHERE org_id = %(org_id)s"


class _Row(msgspec.Struct, frozen=True):
    figures: LivePerformance


class NamedSkew(msgspec.Struct, frozen=True):
    """A feature that requests bring otherwise than the CRM's data give; the table's columns say what each means."""

    feature: str
    as_of: datetime
    compared: int
    differing: int
    sent: float | None
    computed: float | None
    cause: str
    is_of_today: bool


class Arrived(msgspec.Struct, frozen=True):
    """How what arrives differs from what was learned, None before the first time, and from the CRM's data."""

    inputs: LiveInputs | None
    skews: list[NamedSkew]


class LiveProof:
    """What came true in each org. Every call raises DatabaseUnavailable when the database cannot answer."""

    def __init__(self, database: CrmDatabase) -> None:
        self._database = database

    def of(self, org_id: str) -> LivePerformance | None:
        """Return the figures of the org's last proof; None for an org whose scores were not judged yet."""
        rows = self._database.rows(READ, {"org_id": org_id}, _Row, task="read what came true of the org's scores")
        return rows[0].figures if rows else None

    def arrived(self, org_id: str) -> Arrived:
        """Return how what arrives for the org differs."""
        [found] = self._database.rows(ARRIVED, {"org_id": org_id}, Arrived, task="read what arrives for the org")
        return found
