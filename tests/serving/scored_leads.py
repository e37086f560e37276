"""The scores of a test's open leads, written as a scoring leaves them, and the app that answers with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from leadscore.features import CONTRACT
from leadscore.settings import Settings
from leadscore_assets.scoring.tables import create_month_of_history
from leadscore_assets.source.database import connect

SCORED_AT = datetime(2026, 6, 1, 4, tzinfo=UTC)
VERSION = "20260601020000"
SCORING = """
INSERT INTO leadscore.scoring_run (org_id, as_of, model_version, model_scope, base_value, feature_names, open_leads,
    scored, changed, removed, left_out, is_full)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 0, 0, '{}', true)
"""
SCORE = """
INSERT INTO leadscore.lead_score (org_id, lead_id, created_at, probability, confidence, grade, action, trend,
    probability_before, features, contributions, contributions_before, is_beyond_landmarks, model_version, model_scope,
    scored_since, fingerprint)
VALUES (%s, %s, %s, %s, 0.875, %s, %s, %s, %s, %s, %s, %s, false, %s, 'own', %s, '')
ON CONFLICT (org_id, lead_id) DO UPDATE SET probability = excluded.probability, grade = excluded.grade
"""
SAID = """
INSERT INTO leadscore.lead_score_history (org_id, lead_id, said_at, because, landmark_days, age_days, probability,
    grade, trend, model_version, model_scope)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'own')
"""


@dataclass(frozen=True)
class Lead:
    """A scored lead: the first feature adds what the probability lacks to the base value of 0.25."""

    lead_id: str
    probability: float
    grade: str = "B"
    trend: str = "steady"
    created_at: datetime = SCORED_AT - timedelta(days=10)

    @property
    def contributions(self) -> list[float]:
        """What each feature adds."""
        return [self.probability - 0.25, *[0.0] * (len(CONTRACT.names) - 1)]


class Scores:
    """Writes scores as the tests need them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def scored(
        self, org_id: str, leads: Sequence[Lead] = (), *, at: datetime = SCORED_AT, version: str | None = VERSION
    ) -> None:
        """Add a scoring of the org, which gave these leads these scores."""
        scope = version and "own"
        names = list(CONTRACT.names)
        with connect(self.settings) as connection:
            connection.execute(SCORING, [org_id, at, version, scope, 0.25, names, len(leads), len(leads)])
            with connection.cursor() as cursor:
                cursor.executemany(SCORE, [self._row(org_id, lead, at) for lead in leads])

    @staticmethod
    def _row(org_id: str, lead: Lead, at: datetime) -> list[object]:
        features: list[float | None] = [30.0, None, 2.0, 1.0, 0.0, 1.0, 250000.0, 1.0, 2.0, 10.0, 62.5]
        before = [lead.probability - 0.35, 0.1, *lead.contributions[2:]]
        created_at = lead.created_at.replace(tzinfo=None)
        return [
            *(org_id, lead.lead_id, created_at, lead.probability, lead.grade, "NURTURE", lead.trend),
            *(lead.probability, features, lead.contributions, before, VERSION, at),
        ]

    def said(self, org_id: str, lead_id: str, at: datetime, because: str = "change", grade: str = "C") -> None:
        """Add an entry of the lead's history."""
        days = 7 if because == "landmark" else None
        with connect(self.settings) as connection:
            create_month_of_history(connection, at)
            connection.execute(SAID, [org_id, lead_id, at, because, days, 7.5, 0.25, grade, "steady", VERSION])
