"""A CRM with two orgs by hand, and our tables filled with what two trainings and one of the pool would have stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from leadscore.features import CONTRACT
from leadscore.pooling import POOLED
from leadscore.settings import Settings
from leadscore_assets.dataset import ORG_COLUMN
from leadscore_assets.scoring.stored_scores import set_rule
from leadscore_assets.scoring.tables import create_month_of_history
from leadscore_assets.source.tables import ASSETS_WITH_ROWS, store
from tests.leadscore_assets.source.hand_made_crm import Crm, day

ROWS_OF_A_LEAD = 3
NOW = datetime(2026, 6, 1, tzinfo=UTC)
SCORE = """
INSERT INTO leadscore.lead_score (
    org_id, lead_id, created_at, probability, confidence, grade, action, trend, features, contributions,
    is_beyond_landmarks, model_version, model_scope, scored_since, fingerprint
) VALUES (%s, %s, now(), 0.5, 1, 'A', 'NURTURE', 'steady', '{}', '{}', false, '1', 'own', now(), '')
"""
SAID = """
INSERT INTO leadscore.lead_score_history (
    org_id, lead_id, said_at, because, age_days, probability, grade, trend, model_version, model_scope
) VALUES (%s, %s, %s, 'change', 1, 0.5, 'A', 'steady', '1', 'own')
"""
ANSWERED = """
INSERT INTO leadscore.answered_score (
    org_id, lead_id, landmark_days, answered_at, age_days, probability, model_version, model_scope
) VALUES (%s, %s, 1, now(), 1, 0.5, '1', 'own')
"""
JUDGED = """
INSERT INTO leadscore.judged_score (
    org_id, lead_id, landmark_days, created_at, said_at, said_by, probability, model_version, model_scope, is_converted
) VALUES (%s, %s, 0, now(), now(), 'predict', 0.5, '1', 'own', false)
"""
SKEW = """
INSERT INTO leadscore.feature_skew (
    org_id, feature, as_of, compared, differing, lead_id, cause, is_of_today, is_named
) VALUES (%s, %s, now(), 1, 1, %s, '', false, false)
"""
SCORING = """
INSERT INTO leadscore.scoring_run (
    org_id, as_of, feature_names, open_leads, scored, changed, removed, left_out, is_full
) VALUES (%s, %s, '{}', 1, 1, 1, 0, '{}', false)
"""


class Holding:
    """A CRM, and what we hold of it: three rows of each lead in both tables, and the same of the pooled model."""

    def __init__(self, settings: Settings) -> None:
        self.crm = Crm(settings)
        self.settings, self.connection = settings, self.crm.connection

    def fill(self, **leads: int) -> None:
        """Make this many leads per org, and store what trainings of the orgs and of the pool would."""
        ids = {
            org_id: [self.crm.lead(day(100), org_id=org_id) for _ in range(count)] for org_id, count in leads.items()
        }
        for org_id, lead_ids in ids.items():
            self.store(org_id, lead_ids)
        self.store_pool(ids)

    def store(self, org_id: str, lead_ids: list[str]) -> None:
        """Store the rows of an org's own leads, and the line of its model."""
        for asset in ASSETS_WITH_ROWS:
            store(self.connection, asset, org_id, run_id="run", info={}, rows=rows(lead_ids))
        store(self.connection, "trained_model", org_id, run_id="run", info={})

    def score(self, org_id: str, lead_ids: list[str]) -> None:
        """Store a score of each lead, two rows of its history, and the lines of the org."""
        create_month_of_history(self.connection, NOW)
        for lead_id in lead_ids:
            self.connection.execute(SCORE, [org_id, lead_id])
            for days in (0, 1):
                self.connection.execute(SAID, [org_id, lead_id, NOW + timedelta(days=days)])
        self.connection.execute(SCORING, [org_id, NOW])
        set_rule(self.connection, org_id, 40, set_by="test")

    def answer(self, org_id: str, lead_ids: list[str]) -> None:
        """Store a score of each lead that was answered over HTTP, whether the CRM has the lead or not."""
        for lead_id in lead_ids:
            self.connection.execute(ANSWERED, [org_id, lead_id])

    def judge(self, org_id: str, lead_ids: list[str]) -> None:
        """Store an answered score of each lead, its judgement, and the evidence that the org has by them."""
        self.answer(org_id, lead_ids)
        for lead_id in lead_ids:
            self.connection.execute(JUDGED, [org_id, lead_id])
            self.connection.execute(SKEW, [org_id, lead_id, lead_id])
        self.connection.execute("INSERT INTO leadscore.live_evidence VALUES (%s, '', '{}')", [org_id])
        self.connection.execute(
            "INSERT INTO leadscore.live_performance (org_id, as_of, state, in_words, leads, log_e, figures)"
            " VALUES (%s, now(), 'fine', '', 1, 0, '{}')",
            [org_id],
        )

    def store_pool(self, ids: dict[str, list[str]]) -> None:
        """Store the rows of the pooled model."""
        parts = [rows(lead_ids).assign(**{ORG_COLUMN: org_id}) for org_id, lead_ids in ids.items()]
        pooled = pd.concat(parts, ignore_index=True).astype({ORG_COLUMN: "str"})
        for asset in ASSETS_WITH_ROWS:
            store(self.connection, asset, POOLED, run_id="run", info={}, rows=pooled)

    def leads_of(self, org_id: str) -> list[str]:
        """Return the ids of the org's leads in the CRM."""
        return self.column("SELECT id::text FROM dossier WHERE org_id = %s ORDER BY id", org_id)

    def held(self, table: str, org_id: str) -> list[str]:
        """Return the ids of the leads whose rows are stored under an org's id, or the pool's."""
        return self.column(f"SELECT DISTINCT lead_id FROM leadscore.{table} WHERE org_id = %s ORDER BY lead_id", org_id)

    def lines(self) -> list[str]:
        """Return the orgs that have lines of what was materialized."""
        return self.column("SELECT DISTINCT org_id FROM leadscore.materializations ORDER BY org_id")

    def delete(self, condition: str) -> None:
        """Delete leads from the CRM."""
        self.connection.execute(f"DELETE FROM dossier WHERE {condition}".encode())

    def column(self, query: str, *parameters: Any) -> list[str]:
        return [str(value) for (value,) in self.connection.execute(query.encode(), parameters)]


def rows(lead_ids: list[str]) -> pd.DataFrame:
    """Return three rows of each lead."""
    count = len(lead_ids) * ROWS_OF_A_LEAD
    keys = {"lead_id": [lead_id for lead_id in lead_ids for _ in range(ROWS_OF_A_LEAD)], "landmark_days": range(count)}
    return pd.DataFrame(keys | {"converted": 1} | dict.fromkeys(CONTRACT.names, 0.5)).astype({"lead_id": "str"})


@pytest.fixture
def holding(database: Settings) -> Iterator[Holding]:
    """Give a CRM with orgs `north` of 8 leads and `south` of 2, all of which we hold."""
    made = Holding(database)
    made.fill(north=8, south=2)
    yield made
    made.connection.close()
