"""Counts the orgs in the CRM's database by how they stand, for metrics: seldom, whoever asks how often."""

from __future__ import annotations

import threading
import time
from typing import get_args

import msgspec

from leadscore.errors import DatabaseUnavailable
from leadscore.live_performance import LiveState
from leadscore.registry.org_state import OrgState
from serving.dependencies.crm_database import CrmDatabase

FRESH_SECONDS = 60.0
# an org whose scores were not judged yet has no live state
READ = """
SELECT state, coalesce(live_state, 'no_scores') AS live_state, count(*) AS orgs
FROM leadscore.org_health GROUP BY 1, 2
"""
WARNED = """
SELECT
    (SELECT count(DISTINCT org_id) FROM leadscore.feature_skew WHERE is_named) AS skew,
    (SELECT count(*) FROM leadscore.live_inputs WHERE state = 'shifted') AS shifted,
    (
        SELECT count(*) FROM leadscore.org_health
        WHERE state IN ('active', 'pooled')
            AND (scored_as_of IS NULL OR scored_as_of < now() - %(stale_hours)s * interval '1 hour')
    ) AS stale
"""
# the leads are scored daily
STALE_HOURS = 30


class Warned(msgspec.Struct, frozen=True):
    """How many orgs have requests with features that differ, inputs that shifted, and scores that are too old."""

    skew: int
    shifted: int
    stale: int


class _Row(msgspec.Struct, frozen=True):
    state: OrgState
    live_state: LiveState
    orgs: int


class Counts(msgspec.Struct, frozen=True):
    """How many orgs there are in each state and each state of live proof, all of which are there, and those warned."""

    by_state: dict[str, int]
    by_live_state: dict[str, int]
    warned: Warned


class OrgCounts:
    """The counts of all orgs, which are read at most once in FRESH_SECONDS."""

    def __init__(self, database: CrmDatabase) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._counts: Counts | None = None
        self._read_at_seconds = float("-inf")

    def present(self) -> Counts | None:
        """Return the counts; None while the database cannot answer, also for FRESH_SECONDS after it could not."""
        with self._lock:
            if time.monotonic() - self._read_at_seconds >= FRESH_SECONDS:
                self._counts = self._read()
                self._read_at_seconds = time.monotonic()
            return self._counts

    def _read(self) -> Counts | None:
        try:
            rows = self._database.rows(READ, {}, _Row, task="count the orgs")
            [warned] = self._database.rows(WARNED, {"stale_hours": STALE_HOURS}, Warned, task="count the warned orgs")
        except DatabaseUnavailable:
            return None
        counts = Counts(dict.fromkeys(get_args(OrgState), 0), dict.fromkeys(get_args(LiveState), 0), warned)
        for row in rows:
            counts.by_state[row.state] += row.orgs
            counts.by_live_state[row.live_state] += row.orgs
        return counts
