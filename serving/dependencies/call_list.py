"""Reads the scores of the open leads from the CRM's database: an org's call list by pages, and one lead with history.

The scores are those of the last scoring, which Dagster makes. Here nothing is scored.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, NamedTuple

import msgspec

from leadscore.pooling import Scope
from leadscore.records import crm_time
from leadscore.registry.ids import VERSION_ID_PATTERN
from leadscore.scoring import Action
from serving.dependencies.crm_database import CrmDatabase

Grade = Literal["A", "B", "C", "D"]
Trend = Literal["improving", "steady", "declining", "not_enough_history"]
Version = Annotated[str, msgspec.Meta(pattern=VERSION_ID_PATTERN)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
MAX_LEAD_ID_LENGTH = 128
MOST_HISTORY = 200

# the names of the API for what the view names otherwise; times are UTC
_ENTRY = """
    list.lead_id, list.rank, list.grade, list.trend, list.probability AS conversion_probability, list.confidence,
    list.action AS recommended_action, list.probability_before AS conversion_probability_before, list.reasons,
    list.moves, list.created_at AT TIME ZONE 'UTC' AS created_at, list.is_beyond_landmarks, list.model_version,
    list.model_scope, list.scored_since
"""
PAGE = f"""
SELECT
    scoring.as_of AS scored_as_of,
    scoring.model_version,
    scoring.scored AS scored_leads,
    (
        SELECT coalesce(json_agg(page ORDER BY page.rank), '[]')
        FROM (
            SELECT {_ENTRY}
            FROM leadscore.call_list AS list
            WHERE list.org_id = scoring.org_id
                AND (%(grade)s::text IS NULL OR list.grade = %(grade)s)
                AND (%(trend)s::text IS NULL OR list.trend = %(trend)s)
                AND (
                    %(probability)s::float8 IS NULL
                    OR list.probability < %(probability)s
                    OR (
                        list.probability = %(probability)s
                        AND (
                            list.created_at < %(created_at)s::timestamp
                            OR (list.created_at = %(created_at)s::timestamp AND list.lead_id > %(lead_id)s)
                        )
                    )
                )
            ORDER BY list.rank
            LIMIT %(most)s
        ) AS page
    ) AS leads
FROM leadscore.last_scoring AS scoring
WHERE scoring.org_id = %(org_id)s
"""  # noqa: S608 (our own text)
# of the stored scores, since the list would make every lead's rank and words first
HAS_MORE = """
SELECT to_json(count(*) > %(leads)s)
FROM (
    SELECT FROM leadscore.lead_score
    WHERE org_id = %(org_id)s
        AND (%(grade)s::text IS NULL OR grade = %(grade)s)
        AND (%(trend)s::text IS NULL OR trend = %(trend)s)
    LIMIT %(leads)s + 1
) AS matching
"""
LEAD = f"""
SELECT
    scoring.as_of AS scored_as_of,
    (
        SELECT to_json(lead)
        FROM (
            SELECT
                {_ENTRY},
                scoring.base_value,
                scoring.feature_names,
                (
                    -- a row stays while the lead's score does; its age goes on
                    SELECT array_agg(CASE
                        WHEN name = 'days_since_creation'
                            THEN extract(epoch FROM scoring.as_of - list.created_at AT TIME ZONE 'UTC') / 86400
                        ELSE value
                    END ORDER BY nth)
                    FROM unnest(scoring.feature_names, score.features) WITH ORDINALITY AS each (name, value, nth)
                ) AS features,
                score.contributions,
                (
                    SELECT coalesce(json_agg(said), '[]')
                    FROM (
                        SELECT said_at, because, landmark_days, age_days, probability AS conversion_probability,
                            grade, trend, model_version, model_scope
                        FROM leadscore.lead_score_history AS history
                        WHERE history.org_id = score.org_id AND history.lead_id = score.lead_id
                        ORDER BY said_at DESC, because
                        LIMIT %(most)s
                    ) AS said
                ) AS history
            FROM leadscore.call_list AS list
            JOIN leadscore.lead_score AS score ON score.org_id = list.org_id AND score.lead_id = list.lead_id
            WHERE list.org_id = scoring.org_id AND list.lead_id = %(lead_id)s
        ) AS lead
    ) AS lead
FROM leadscore.last_scoring AS scoring
WHERE scoring.org_id = %(org_id)s
"""  # noqa: S608 (our own text)


COUNTS = """
WITH lead AS (SELECT grade, trend FROM leadscore.lead_score WHERE org_id = %(org_id)s)
SELECT json_build_object(
    'grades', (
        SELECT coalesce(json_object_agg(grade, leads), '{}')
        FROM (SELECT grade, count(*) AS leads FROM lead GROUP BY grade) AS counted
    ),
    'trends', (
        SELECT coalesce(json_object_agg(trend, leads), '{}')
        FROM (SELECT trend, count(*) AS leads FROM lead GROUP BY trend) AS counted
    )
)
"""


class CallListEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An open lead on the call list.

    `rank` is its place in its org, 1 for the highest probability. `reasons` are up to three features that move the
    probability most, and `moves` up to three whose contribution moved most in the last 7 days, in words.
    `conversion_probability_before` is what the same model version says of the lead as it was 7 days ago, null for
    younger leads. `is_beyond_landmarks` marks a lead that is older than every age that the model was trained at.
    `scored_since` is the scoring since which the score is unchanged.
    """

    lead_id: str
    rank: int
    grade: Grade
    trend: Trend
    conversion_probability: Share
    confidence: Share
    recommended_action: Action
    conversion_probability_before: Share | None
    reasons: list[str]
    moves: list[str]
    created_at: Moment
    is_beyond_landmarks: bool
    model_version: Version
    model_scope: Scope
    scored_since: Moment


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a scoring said of a lead, since its grade, trend or scope had changed, or it had reached a landmark age."""

    said_at: Moment
    because: Literal["change", "landmark"]
    landmark_days: int | None
    age_days: float
    conversion_probability: Share
    grade: Grade
    trend: Trend
    model_version: Version
    model_scope: Scope


class ScoredLead(CallListEntry, frozen=True, kw_only=True):
    """An entry of the call list with all contributions, which with `base_value` sum to the probability, and history.

    `features` are the values of `feature_names`, None where unknown, and `contributions` what each adds. `history` has
    the newest MOST_HISTORY entries, newest first.
    """

    base_value: Share
    feature_names: list[str]
    features: list[float | int | None]
    contributions: list[float]
    history: list[Said]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Some of an org's entries, best first, as of its last scoring, which scored `scored_leads` in all."""

    scored_as_of: Moment
    model_version: Version | None
    scored_leads: int
    leads: list[CallListEntry]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many leads of the call list have each grade and each trend; none is left out."""

    grades: dict[Grade, int]
    trends: dict[Trend, int]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The lead, None when it has no score, as of its org's last scoring."""

    scored_as_of: Moment
    lead: ScoredLead | None


class Place(NamedTuple):
    """A place on the call list: that of a lead with these values, whether it is still there or not."""

    probability: float
    created_at: datetime
    lead_id: str


class CallList:
    """The call lists of all orgs. Every call raises DatabaseUnavailable when the database cannot answer."""

    def __init__(self, database: CrmDatabase) -> None:
        self._database = database

    def counts(self, org_id: str) -> Counts:
        """Return how many of the org's leads have each grade and each trend."""
        return self._database.value(COUNTS, {"org_id": org_id}, Counts, task="count the call list")

    def page(
        self,
        org_id: str,
        *,
        most: int,
        grade: Grade | None = None,
        trend: Trend | None = None,
        after: Place | None = None,
    ) -> Page | None:
        """Return up to `most` of the org's leads, best first, `after` a place; None when the org was never scored."""
        probability, created_at, lead_id = after or (None, None, None)
        arguments = {
            "org_id": org_id,
            "most": most,
            "grade": grade,
            "trend": trend,
            "probability": probability,
            "created_at": created_at and crm_time(created_at),
            "lead_id": lead_id,
        }
        return next(iter(self._database.rows(PAGE, arguments, Page, task="read the call list")), None)

    def has_more(self, org_id: str, *, than: int, grade: Grade | None = None, trend: Trend | None = None) -> bool:
        """Return whether more than so many of the org's leads match the filters."""
        arguments = {"org_id": org_id, "leads": than, "grade": grade, "trend": trend}
        return self._database.value(HAS_MORE, arguments, bool, task="count the leads of the call list")

    def lead(self, org_id: str, lead_id: str) -> Found | None:
        """Return one of the org's leads, with history; None when the org was never scored."""
        known = lead_id if is_lead_id(lead_id) else None
        arguments = {"org_id": org_id, "lead_id": known, "most": MOST_HISTORY}
        return next(iter(self._database.rows(LEAD, arguments, Found, task="read a lead's score")), None)


def is_lead_id(text: str) -> bool:
    """Return whether the text can be a lead's id: one that a database can hold, and not longer than any is."""
    return 0 < len(text) <= MAX_LEAD_ID_LENGTH and "\0" not in text


def place_of(entry: CallListEntry) -> Place:
    """Return the place at which the entry stands."""
    return Place(entry.conversion_probability, entry.created_at, entry.lead_id)
