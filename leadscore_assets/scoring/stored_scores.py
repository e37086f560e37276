"""Reads and writes an org's rows of `lead_score`, its history, `input_counts`, `scoring_run` and `org_setting`.

What concerns one org happens inside the transaction of the caller, who holds the org's lock (`source.org_locks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from psycopg.types.json import Jsonb

from leadscore_assets.scoring.grades import CutPoints, Rule
from leadscore_assets.scoring.org_scores import Labels
from leadscore_assets.source.database import Connection, explaining

REMEDY = "Run `python -m leadscore_assets.commands.set_up_database`, then try again."
# one step per org along the index, in place of a look at every row
SCORED_ORGS = """
WITH RECURSIVE steps AS (
    (SELECT org_id FROM leadscore.lead_score ORDER BY org_id LIMIT 1)
    UNION ALL
    SELECT (SELECT org_id FROM leadscore.lead_score WHERE org_id > steps.org_id ORDER BY org_id LIMIT 1)
    FROM steps WHERE steps.org_id IS NOT NULL
)
SELECT org_id FROM steps WHERE org_id IS NOT NULL
"""
STORED = """
SELECT lead_id, fingerprint, probability, confidence, probability_before,
    grade, action, trend, is_beyond_landmarks, model_version, model_scope
FROM leadscore.lead_score WHERE org_id = %s
"""
REASONS = """
SELECT lead_id, features, created_at, contributions, contributions_before FROM leadscore.lead_score WHERE org_id = %s
"""
LAST_RUN = "SELECT as_of, model_version FROM leadscore.last_scoring WHERE org_id = %s"
SCORED_BEFORE = "SELECT max(as_of) FROM leadscore.scoring_run WHERE org_id = %s AND as_of < %s"
FORGET_SAID = "DELETE FROM leadscore.lead_score_history WHERE org_id = %s AND said_at = %s AND lead_id = ANY (%s)"
FORGET_LATER = (
    "DELETE FROM leadscore.scoring_run WHERE org_id = %s AND as_of > %s",
    "DELETE FROM leadscore.lead_score_history WHERE org_id = %s AND said_at > %s",
    "DELETE FROM leadscore.input_counts WHERE org_id = %s AND said_at > %s",
)
# one step per org along the index, as above
LAST_SCORINGS = """
WITH RECURSIVE steps AS (
    (SELECT org_id FROM leadscore.scoring_run ORDER BY org_id LIMIT 1)
    UNION ALL
    SELECT (SELECT org_id FROM leadscore.scoring_run WHERE org_id > steps.org_id ORDER BY org_id LIMIT 1)
    FROM steps WHERE steps.org_id IS NOT NULL
)
SELECT last.org_id, last.as_of, last.scored_at, last.model_version, last.model_scope
FROM steps
JOIN LATERAL (
    SELECT * FROM leadscore.scoring_run WHERE org_id = steps.org_id ORDER BY as_of DESC LIMIT 1
) AS last ON true
"""
# the newest of each org stays, however old it is
REMOVE_OLD_RUNS = """
DELETE FROM leadscore.scoring_run AS old
WHERE old.as_of < %s
    AND EXISTS (SELECT FROM leadscore.scoring_run AS newer WHERE newer.org_id = old.org_id AND newer.as_of > old.as_of)
"""
SETTING = "SELECT grade_rule, weekly_capacity, cut_points FROM leadscore.org_setting WHERE org_id = %s"
SAVE_CUT_POINTS = """
INSERT INTO leadscore.org_setting (org_id, grade_rule, weekly_capacity, cut_points, set_by)
VALUES (%(org_id)s, %(rule)s, %(weekly_capacity)s, %(cut_points)s, 'default')
ON CONFLICT (org_id) DO UPDATE SET cut_points = excluded.cut_points
WHERE org_setting.cut_points IS NULL
    -- a rule that was set meanwhile waits for cut points of its own
    AND org_setting.grade_rule = excluded.grade_rule
    AND org_setting.weekly_capacity IS NOT DISTINCT FROM excluded.weekly_capacity
"""
SET_RULE = """
INSERT INTO leadscore.org_setting (org_id, grade_rule, weekly_capacity, set_by)
VALUES (%(org_id)s, %(rule)s, %(weekly_capacity)s, %(set_by)s)
ON CONFLICT (org_id) DO UPDATE SET grade_rule = excluded.grade_rule, weekly_capacity = excluded.weekly_capacity,
    cut_points = NULL, set_at = now(), set_by = excluded.set_by
"""
REMOVE = "DELETE FROM leadscore.lead_score WHERE org_id = %s AND lead_id = ANY (%s)"
SCORE_COLUMNS = (
    "org_id",
    "lead_id",
    "created_at",
    "probability",
    "confidence",
    "grade",
    "action",
    "trend",
    "probability_before",
    "features",
    "contributions",
    "contributions_before",
    "is_beyond_landmarks",
    "model_version",
    "model_scope",
    "scored_since",
    "fingerprint",
)
HISTORY_COLUMNS = (
    "org_id",
    "lead_id",
    "said_at",
    "because",
    "landmark_days",
    "age_days",
    "probability",
    "grade",
    "trend",
    "model_version",
    "model_scope",
    "held_version",
    "held_probability",
    "previous_version",
    "previous_probability",
)
INPUT_COUNT_COLUMNS = ("org_id", "model_version", "said_at", "landmark_days", "leads", "counts")
RECORD_RUN = """
INSERT INTO leadscore.scoring_run AS known (
    org_id, as_of, run_id, model_version, model_scope, base_value, feature_names,
    open_leads, scored, changed, removed, left_out, is_full
) VALUES (
    %(org_id)s, %(as_of)s, %(run_id)s, %(model_version)s, %(model_scope)s, %(base_value)s, %(feature_names)s,
    %(open_leads)s, %(scored)s, %(changed)s, %(removed)s, %(left_out)s, %(is_full)s
)
ON CONFLICT (org_id, as_of) DO UPDATE SET
    scored_at = now(), run_id = excluded.run_id, model_version = excluded.model_version,
    model_scope = excluded.model_scope, base_value = excluded.base_value, feature_names = excluded.feature_names,
    open_leads = excluded.open_leads, scored = excluded.scored, changed = excluded.changed,
    removed = excluded.removed, left_out = excluded.left_out, is_full = excluded.is_full
WHERE excluded.changed > 0 OR excluded.removed > 0 OR excluded.is_full > known.is_full
    OR (excluded.model_version, excluded.left_out) IS DISTINCT FROM (known.model_version, known.left_out)
"""


class Setting(NamedTuple):
    """How an org's leads are graded; `cut_points` are None until a scoring makes them."""

    rule: Rule = "base_rate"
    weekly_capacity: int | None = None
    cut_points: CutPoints | None = None


class LastRun(NamedTuple):
    """When the org's leads were last scored, and by which version; None when none scored them."""

    as_of: datetime
    model_version: str | None


class LastScoring(NamedTuple):
    """An org's newest scoring: as of when, when it was, and by which version; None when none scored the leads."""

    org_id: str
    as_of: datetime
    scored_at: datetime
    model_version: str | None
    model_scope: str | None


class StoredReasons(NamedTuple):
    """What a row of `lead_score` explains its score by; `contributions_before` are None without a history."""

    features: list[float | None]
    created_at: str
    contributions: list[float]
    contributions_before: list[float] | None


class StoredScore(NamedTuple):
    """A row of `lead_score`: what a new score is compared with; `said_by` are the version and its scope."""

    fingerprint: bytes
    verdict: tuple[float, float, float]
    labels: Labels
    said_by: tuple[str, str]

    def is_said_as(self, labels: Labels, scope: str) -> bool:
        """Return whether the grade, the trend and the scope are these."""
        return (self.labels.grade, self.labels.trend, self.said_by[1]) == (labels.grade, labels.trend, scope)


def scored_orgs(connection: Connection) -> list[str]:
    """Return the orgs that have scores. Raises SourceMismatch before the set-up, DatabaseUnavailable."""
    with explaining("listing the orgs that have scores", REMEDY), connection.transaction():
        return [str(org_id) for (org_id,) in connection.execute(SCORED_ORGS)]


def last_scorings(connection: Connection) -> dict[str, LastScoring]:
    """Return each org's newest scoring. Raises SourceMismatch before the set-up, DatabaseUnavailable."""
    with explaining("asking how the orgs were last scored", REMEDY), connection.transaction():
        rows: list[Any] = connection.execute(LAST_SCORINGS).fetchall()
    return {row[0]: LastScoring(*row) for row in rows}


def remove_old_runs(connection: Connection, before: datetime) -> int:
    """Remove what is recorded of the scorings as of before that moment; return how many there were."""
    with connection.transaction():
        return connection.execute(REMOVE_OLD_RUNS, [before]).rowcount


def last_run(connection: Connection, org_id: str) -> LastRun | None:
    """Return the org's newest scoring, None when it was never scored."""
    row: Any = connection.execute(LAST_RUN, [org_id]).fetchone()
    return row and LastRun(*row)


def scored_before(connection: Connection, org_id: str, as_of: datetime) -> datetime | None:
    """Return the newest `as_of` before this one at which the org's leads were scored, None when there is none."""
    row: Any = connection.execute(SCORED_BEFORE, [org_id, as_of]).fetchone()
    found: datetime | None = row[0]
    return found


def setting(connection: Connection, org_id: str) -> Setting:
    """Return how the org's leads are graded."""
    row: Any = connection.execute(SETTING, [org_id]).fetchone()
    if row is None:
        return Setting()
    rule, weekly_capacity, cut_points = row
    return Setting(rule, weekly_capacity, CutPoints(*cut_points) if cut_points else None)


def stored_reasons(connection: Connection, org_id: str) -> dict[str, StoredReasons]:
    """Return what the org's present rows explain their scores by, by lead id."""
    rows: list[Any] = connection.execute(REASONS, [org_id]).fetchall()
    return {
        lead_id: StoredReasons(features, created_at.isoformat(), now, before)
        for lead_id, features, created_at, now, before in rows
    }


def set_rule(connection: Connection, org_id: str, weekly_capacity: int | None, *, set_by: str) -> None:
    """Grade the org's leads by its capacity, or without one by its base rate; the next scoring makes the cut points.

    Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    rule = "base_rate" if weekly_capacity is None else "capacity"
    parameters = {"org_id": org_id, "rule": rule, "weekly_capacity": weekly_capacity, "set_by": set_by}
    with explaining(f"setting the grades of org {org_id}", REMEDY), connection.transaction():
        connection.execute(SET_RULE, parameters)


def stored_scores(connection: Connection, org_id: str) -> dict[str, StoredScore]:
    """Return the org's present rows by lead id."""
    rows: list[Any] = connection.execute(STORED, [org_id]).fetchall()
    return {
        lead_id: StoredScore(
            fingerprint,
            (probability, confidence, np.nan if before is None else before),
            Labels(*said),
            (version, scope),
        )
        for lead_id, fingerprint, probability, confidence, before, *said, version, scope in rows
    }


def save_cut_points(connection: Connection, org_id: str, setting: Setting) -> None:
    """Keep the cut points that a scoring made for an org that had none."""
    cuts = list(setting.cut_points) if setting.cut_points else None
    parameters = {"org_id": org_id, "rule": setting.rule, "weekly_capacity": setting.weekly_capacity}
    connection.execute(SAVE_CUT_POINTS, parameters | {"cut_points": cuts})


def remove_scores(connection: Connection, org_id: str, lead_ids: Sequence[str]) -> None:
    """Remove the rows of these leads."""
    if lead_ids:
        connection.execute(REMOVE, [org_id, list(lead_ids)])


def replace_scores(connection: Connection, org_id: str, lead_ids: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Remove the rows of these leads, and add `rows` of SCORE_COLUMNS."""
    remove_scores(connection, org_id, lead_ids)
    _copy(connection, "lead_score", SCORE_COLUMNS, rows)


def forget_said(connection: Connection, org_id: str, as_of: datetime, lead_ids: Sequence[str]) -> None:
    """Remove what the history has of these leads at that moment, which is about to be said anew."""
    if lead_ids:
        connection.execute(FORGET_SAID, [org_id, as_of, list(lead_ids)])


def forget_later(connection: Connection, org_id: str, as_of: datetime) -> None:
    """Remove the org's scorings as of later than that, and what they said."""
    for statement in FORGET_LATER:
        connection.execute(statement.encode(), [org_id, as_of])


def add_history(connection: Connection, rows: Iterable[Sequence[str]]) -> None:
    """Add `rows` of HISTORY_COLUMNS."""
    _copy(connection, "lead_score_history", HISTORY_COLUMNS, rows)


def add_input_counts(connection: Connection, rows: Iterable[Sequence[str]]) -> None:
    """Add `rows` of INPUT_COUNT_COLUMNS."""
    _copy(connection, "input_counts", INPUT_COUNT_COLUMNS, rows)


def _copy(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    content = "".join("\t".join(row) + "\n" for row in rows)
    if content:
        statement = f"COPY leadscore.{table} ({', '.join(columns)}) FROM STDIN"
        with connection.cursor().copy(statement.encode()) as copy:
            copy.write(content)


def record_run(connection: Connection, run: dict[str, Any]) -> None:
    """Record a scoring of an org; a second one at the same `as_of` replaces it where it found something else."""
    connection.execute(RECORD_RUN, run | {"left_out": Jsonb(run["left_out"])})
