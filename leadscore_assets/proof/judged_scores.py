"""Joins what was said of an org's leads with what they became, and keeps it in `judged_score`.

A lead is mature when its conversion window is over. Leads of one creation day (UTC) are judged together, once that
holds for all of them: those that closed early are not counted before the others, because they would look too good.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from leadscore.arrays import Flags, Floats, Indices, Ints, Texts
from leadscore.records import Window, crm_time, outcome_parameters
from leadscore_assets.proof.evidence import SaidRows
from leadscore_assets.proof.process import Cohort
from leadscore_assets.source.database import Connection
from leadscore_assets.source.outcomes import LEAD_OUTCOMES

DAY = timedelta(days=1)
FIRST_SAID = """
SELECT least(
    (SELECT min(said_at) FROM leadscore.lead_score_history WHERE org_id = %(org_id)s),
    (SELECT min(answered_at) FROM leadscore.answered_score WHERE org_id = %(org_id)s)
)
"""
# what was said of leads, by either way
SAID = """
SELECT lead_id, said_at, 'lead_scores' AS said_by, age_days, probability, grade, model_version, model_scope,
    held_version, held_probability, previous_version, previous_probability
FROM leadscore.lead_score_history
WHERE org_id = %(org_id)s
UNION ALL
SELECT lead_id, answered_at, 'predict', age_days, probability, NULL, model_version, model_scope, NULL, NULL, NULL, NULL
FROM leadscore.answered_score
WHERE org_id = %(org_id)s
"""
# Of what was said in a span of ages the first counts; what the daily scoring alone says, grade and shadows, is its
# first. A caller may ask for a lead that is closed, or whose window is over: such an answer promises nothing.
JUDGE = f"""
INSERT INTO leadscore.judged_score (
    org_id, lead_id, landmark_days, created_at, said_at, said_by, probability, grade, model_version, model_scope,
    held_version, held_probability, previous_version, previous_probability, is_converted
)
SELECT DISTINCT ON (said.lead_id, landmark.days)
    %(org_id)s, said.lead_id, landmark.days, lead.created_at, said.said_at, said.said_by, said.probability,
    first_value(said.grade) OVER daily_first, said.model_version, said.model_scope,
    first_value(said.held_version) OVER daily_first, first_value(said.held_probability) OVER daily_first,
    first_value(said.previous_version) OVER daily_first, first_value(said.previous_probability) OVER daily_first,
    lead.is_converted
FROM ({SAID}) AS said
JOIN {LEAD_OUTCOMES} AS lead ON lead.org_id = %(org_id)s AND lead.lead_id = said.lead_id
CROSS JOIN LATERAL (SELECT said.said_at AT TIME ZONE 'UTC' AS at) AS said_in_utc
JOIN LATERAL (
    SELECT max(days) AS days FROM unnest(%(landmark_days)s::integer[]) AS days
    WHERE days * interval '1 day' <= said_in_utc.at - lead.created_at
) AS landmark ON landmark.days IS NOT NULL
WHERE lead.created_at::date > %(after)s AND lead.created_at::date <= %(through)s
    AND coalesce(lead.excluded_because, 'open_at_no_landmark') = 'open_at_no_landmark'
    AND lead.open_during @> said_in_utc.at
    AND said_in_utc.at < lead.created_at + %(conversion_window_days)s * interval '1 day'
    AND NOT said.model_version = ANY (%(other_question)s::text[])
WINDOW daily_first AS (PARTITION BY said.lead_id, landmark.days ORDER BY said.said_by = 'predict', said.said_at)
ORDER BY said.lead_id, landmark.days, said.said_at
ON CONFLICT DO NOTHING
"""  # noqa: S608 (ours)
SAID_VERSIONS = """
SELECT DISTINCT model_version, model_scope FROM leadscore.lead_score_history WHERE org_id = %(org_id)s
UNION
SELECT DISTINCT model_version, model_scope FROM leadscore.answered_score WHERE org_id = %(org_id)s
"""
JUDGED = """
SELECT lead_id, landmark_days, created_at, said_at, probability, grade, model_version, model_scope,
    held_version, held_probability, previous_version, previous_probability, is_converted
FROM leadscore.judged_score
WHERE org_id = %s
ORDER BY created_at, lead_id, landmark_days
"""
# the leads that have a score and are not mature yet, by the day of their creation
PENDING = f"""
SELECT created_on, count(*) FROM (
    SELECT lead_id, min((said_at AT TIME ZONE 'UTC' - age_days * interval '1 day')::date) AS created_on
    FROM ({SAID}) AS said
    WHERE said_at > %(since)s
    GROUP BY lead_id
) AS lead
WHERE created_on > %(through)s
GROUP BY created_on
ORDER BY created_on
"""  # noqa: S608 (ours)


class Days(NamedTuple):
    """The days after one and up to another."""

    after: date
    through: date


class Judged(NamedTuple):
    """The judged scores of an org in the order of their leads' creation, a row each; all of shape (rows,).

    `lead` is the row's place among the leads, `nth` counts the rows of a lead from 0. `created_on` holds days,
    `said_at` UTC moments. A shadow's version is empty, and its probability NaN, where there was none.
    """

    lead: Indices
    nth: Indices
    landmark_days: Ints
    created_on: npt.NDArray[np.datetime64]
    said_at: npt.NDArray[np.datetime64]
    probability: Floats
    grade: Texts
    version: Texts
    scope: Texts
    held_version: Texts
    held_probability: Floats
    previous_version: Texts
    previous_probability: Floats
    is_converted: Flags

    def where(self, chosen: Flags) -> Judged:
        """Return the chosen rows, with their leads numbered anew."""
        columns: list[Any] = [column[chosen] for column in self]
        _, columns[0] = np.unique(columns[0], return_inverse=True)
        columns[1] = _nth(columns[0])
        return Judged(*columns)

    @property
    def leads(self) -> int:
        """The number of leads."""
        return int(self.lead[-1]) + 1 if len(self.lead) else 0

    @property
    def first(self) -> Judged:
        """The first row of each lead: what was said of it first."""
        return self.where(self.nth == 0)


def mature_through(window: Window) -> date:
    """Return the last creation day (UTC) whose leads are all mature at the window's `as_of`."""
    return (window.as_of.astimezone(UTC) - window.conversion_window_days * DAY).date() - DAY


def first_said_on(connection: Connection, org_id: str) -> date | None:
    """Return the day (UTC) on which a lead of the org was first scored, None when none was."""
    row: Any = connection.execute(FIRST_SAID, {"org_id": org_id}).fetchone()
    moment: datetime | None = row[0]
    return None if moment is None else moment.astimezone(UTC).date()


def said_versions(connection: Connection, org_id: str) -> list[tuple[str, str]]:
    """Return the versions that scored the org's leads, with their scope."""
    return [(str(version), str(scope)) for version, scope in connection.execute(SAID_VERSIONS, {"org_id": org_id})]


def judge(connection: Connection, org_id: str, window: Window, days: Days, other_question: list[str]) -> int:
    """Judge what was said of the leads that were created on these days; return the number of rows.

    Versions of `other_question` asked for another conversion window, and are left out.
    """
    parameters = outcome_parameters(window) | {
        "org_id": org_id,
        "after": days.after,
        "through": days.through,
        "training_window_days": (window.as_of.astimezone(UTC).date() - days.after).days + 1,
        "other_question": other_question,
    }
    return connection.execute(JUDGE.encode(), parameters).rowcount


def judged_scores(connection: Connection, org_id: str) -> Judged:
    """Return all scores of the org that were judged."""
    rows: list[Any] = connection.execute(JUDGED, [org_id]).fetchall()
    columns = list(zip(*rows, strict=True)) or [()] * 13
    _, first, lead = np.unique(np.array(columns[0], str), return_index=True, return_inverse=True)
    # in the order of their creation, not of their ids
    lead = np.argsort(np.argsort(first))[lead]
    said_at = [crm_time(moment) for moment in columns[3]]
    return Judged(
        lead,
        _nth(lead),
        np.array(columns[1], np.int64),
        np.array(columns[2], "datetime64[D]"),
        np.array(said_at, "datetime64[us]"),
        np.array(columns[4], np.float64),
        _texts(columns[5]),
        _texts(columns[6]),
        _texts(columns[7]),
        _texts(columns[8]),
        np.array(columns[9], np.float64),
        _texts(columns[10]),
        np.array(columns[11], np.float64),
        np.array(columns[12], bool),
    )


def cohorts(judged: Judged, after: date | None) -> Iterator[Cohort]:
    """Yield the leads of each creation day after that one, in order."""
    days = np.unique(judged.created_on)
    for day in days[days > np.datetime64(after, "D")] if after else days:
        of_day = judged.where(judged.created_on == day)
        yield Cohort(
            day.item(), SaidRows(of_day.lead, of_day.nth, of_day.probability, of_day.is_converted[of_day.nth == 0])
        )


def pending_leads(connection: Connection, org_id: str, through: date) -> list[tuple[date, int]]:
    """Return how many leads were scored and are not mature yet, by the day of their creation."""
    parameters = {
        "org_id": org_id,
        "through": through,
        "since": datetime(through.year, through.month, through.day, tzinfo=UTC),
    }
    rows: list[Any] = connection.execute(PENDING.encode(), parameters).fetchall()
    return [(day, count) for day, count in rows]


def _nth(lead: Indices) -> Indices:
    """Return the place of each row among those of its lead; the rows of a lead stand together."""
    starts = np.flatnonzero(np.diff(lead, prepend=-1))
    place: Indices = np.arange(len(lead)) - np.repeat(starts, np.diff(starts, append=len(lead)))
    return place


def _texts(column: tuple[Any, ...]) -> Texts:
    return np.array([value or "" for value in column], str)
