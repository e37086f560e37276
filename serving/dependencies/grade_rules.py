"""Reads and sets, in the CRM's database, the rule by which an org's open leads are graded.

The next scoring grades by it: it computes the cut points, and stores them beside the rule.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from serving.dependencies.crm_database import CrmDatabase

Rule = Literal["base_rate", "capacity"]
WeeklyCapacity = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]

READ = """
SELECT grade_rule AS rule, weekly_capacity, cut_points, set_at, set_by
FROM leadscore.org_setting WHERE org_id = %(org_id)s
"""
# an org is known that was trained, or looked at for scores
SET = """
INSERT INTO leadscore.org_setting AS setting (org_id, grade_rule, weekly_capacity, cut_points, set_at, set_by)
SELECT %(org_id)s, %(rule)s, %(weekly_capacity)s::integer, NULL, now(), %(set_by)s
WHERE %(is_known)s
    OR EXISTS (SELECT FROM leadscore.scoring_run WHERE org_id = %(org_id)s)
    OR EXISTS (SELECT FROM leadscore.materializations WHERE org_id = %(org_id)s)
ON CONFLICT (org_id) DO UPDATE SET
    grade_rule = excluded.grade_rule,
    weekly_capacity = excluded.weekly_capacity,
    cut_points = NULL,
    set_at = excluded.set_at,
    set_by = excluded.set_by
RETURNING grade_rule AS rule, weekly_capacity, cut_points, set_at, set_by
"""


class GradeSetting(msgspec.Struct, frozen=True, kw_only=True):
    """How an org's leads are graded; by default, as long as nobody set it, by multiples of the base rate.

    `cut_points` are the lowest probabilities of A, B and C, None until a scoring computed them.
    """

    rule: Rule = "base_rate"
    weekly_capacity: int | None = None
    cut_points: list[float] | None = None
    set_at: datetime | None = None
    set_by: str | None = None


class GradeRules:
    """The rules of all orgs. Every call raises DatabaseUnavailable when the database cannot answer."""

    def __init__(self, database: CrmDatabase) -> None:
        self._database = database

    def read(self, org_id: str) -> GradeSetting:
        """Return how the org's leads are graded."""
        rows = self._database.rows(READ, {"org_id": org_id}, GradeSetting, task="read the org's grade rule")
        return rows[0] if rows else GradeSetting()

    def set(
        self, org_id: str, rule: Rule, weekly_capacity: int | None, *, set_by: str, is_known: bool
    ) -> GradeSetting | None:
        """Set how the org's leads are graded from the next scoring on, and return it.

        None, and nothing is set, for an org that neither the caller knows nor the database.
        """
        arguments = {
            "org_id": org_id,
            "rule": rule,
            "weekly_capacity": weekly_capacity,
            "set_by": set_by,
            "is_known": is_known,
        }
        rows = self._database.rows(SET, arguments, GradeSetting, task="set the org's grade rule", is_writing=True)
        return rows[0] if rows else None
