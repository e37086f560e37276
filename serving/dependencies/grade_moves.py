"""Reads which open leads have another grade than the day before, from what the scorings said of them."""

from __future__ import annotations

import msgspec

from serving.dependencies.call_list import Grade, Share, Trend
from serving.dependencies.crm_database import CrmDatabase

# the scoring of the day before was a little less than a day earlier, or a little more
SINCE_HOURS = 20
MOVES = """
WITH moved AS (
    SELECT DISTINCT ON (history.lead_id) history.lead_id, before.grade AS grade_before
    FROM leadscore.lead_score_history AS history
    LEFT JOIN LATERAL (
        SELECT earlier.grade
        FROM leadscore.lead_score_history AS earlier
        WHERE earlier.org_id = history.org_id
            AND earlier.lead_id = history.lead_id
            AND earlier.said_at < history.said_at
        ORDER BY earlier.said_at DESC
        LIMIT 1
    ) AS before ON true
    WHERE history.org_id = %(org_id)s
        AND history.said_at > (
            SELECT as_of - %(hours)s * interval '1 hour' FROM leadscore.last_scoring WHERE org_id = %(org_id)s
        )
    ORDER BY history.lead_id, history.said_at
),
open_lead AS (
    SELECT moved.lead_id, moved.grade_before, score.grade, score.probability AS conversion_probability, score.trend
    FROM moved
    JOIN leadscore.lead_score AS score ON score.org_id = %(org_id)s AND score.lead_id = moved.lead_id
    WHERE moved.grade_before IS DISTINCT FROM score.grade
)
SELECT json_build_object(
    'is_first', NOT EXISTS (
        SELECT FROM leadscore.scoring_run
        WHERE org_id = %(org_id)s AND model_version IS NOT NULL AND as_of <= (
            SELECT as_of - %(hours)s * interval '1 hour' FROM leadscore.last_scoring WHERE org_id = %(org_id)s
        )
    ),
    'new', (SELECT count(*) FROM open_lead WHERE grade_before IS NULL),
    'up', (SELECT count(*) FROM open_lead WHERE grade < grade_before),
    'down', (SELECT count(*) FROM open_lead WHERE grade > grade_before),
    'largest', (
        SELECT coalesce(json_agg(largest), '[]')
        FROM (
            SELECT * FROM open_lead
            WHERE grade_before IS NOT NULL
            ORDER BY least(grade, grade_before), abs(ascii(grade) - ascii(grade_before)) DESC,
                conversion_probability DESC, lead_id
            LIMIT %(most)s
        ) AS largest
    )
)
"""


class GradeMove(msgspec.Struct, frozen=True, kw_only=True):
    """A lead that has another grade than the day before."""

    lead_id: str
    grade_before: Grade
    grade: Grade
    conversion_probability: Share
    trend: Trend


class Moves(msgspec.Struct, frozen=True, kw_only=True):
    """How many leads of an org are new, moved up and moved down, and the largest moves, from the best grade down.

    `is_first` when there was no list the day before.
    """

    is_first: bool
    new: int
    up: int
    down: int
    largest: list[GradeMove]


class GradeMoves:
    """What moved on the call lists. Every call raises DatabaseUnavailable when the database cannot answer."""

    def __init__(self, database: CrmDatabase) -> None:
        self._database = database

    def of(self, org_id: str, *, most: int) -> Moves:
        """Return how the org's open leads moved since the day before its last scoring, and up to `most` of them."""
        arguments = {"org_id": org_id, "hours": SINCE_HOURS, "most": most}
        return self._database.value(MOVES, arguments, Moves, task="read what moved on the call list")
