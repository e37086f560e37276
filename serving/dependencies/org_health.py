"""Reads `leadscore.org_health` from the CRM's database: how each org stands. Dagster keeps the table true."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Generic, Literal, TypeVar

import msgspec

from leadscore.gate import Verdict
from leadscore.live_performance import LiveState
from leadscore.org_warnings import OrgWarning
from leadscore.pooling import Scope
from leadscore.registry.org_state import OrgState
from leadscore.training_status import TrainingStatus
from serving.dependencies.crm_database import CrmDatabase

Order = Literal["org", "state", "grade_a", "open_leads", "oldest_model", "held", "ready_on", "came_true"]
# beside states and warnings: orgs whose promises do not come true, and those on the fleet's list of orgs to look at
Filter = OrgState | OrgWarning | Literal["alarm", "listed"]

TASK = "read how the orgs stand"
# which state needs somebody soonest
_BY_STATE = "array_position(ARRAY['damaged', 'withdrawn', 'no_model', 'pooled', 'active'], state)"
_BY_LIVE_STATE = "array_position(ARRAY['alarm', 'fine', 'too_young', 'no_scores'], live_state) NULLS LAST"
_ORDERS: dict[Order, str] = {
    "org": "",
    "state": f"{_BY_STATE}, ",
    "grade_a": "leads_a DESC, ",
    "open_leads": "open_leads DESC NULLS LAST, ",
    "oldest_model": "trained_at NULLS LAST, ",
    "held": "held_since NULLS LAST, ",
    "ready_on": "is_ready NULLS LAST, ready_on NULLS LAST, ",
    "came_true": f"{_BY_LIVE_STATE}, live_is_listed DESC, live_alarmed_on, live_judgeable_on, ",
}
ORG_ORDER = 'org_id COLLATE "C"'
PAGE = """
WITH visible AS (
    SELECT {columns}
    FROM leadscore.org_health
    WHERE %(org_ids)s::text[] IS NULL OR org_id = ANY (%(org_ids)s::text[])
),
seen AS (
    SELECT *
    FROM visible
    WHERE (
            %(state)s::text IS NULL
            OR %(state)s IN (state, live_state)
            OR %(state)s = ANY (warnings)
            OR (%(state)s = 'listed' AND live_is_listed)
        )
        AND (%(search)s = '' OR position(lower(%(search)s) IN lower(org_id)) > 0)
)
SELECT json_build_object(
    'total', (SELECT count(*) FROM seen),
    'by_state', (
        SELECT coalesce(json_object_agg(state, orgs), '{}')
        FROM (SELECT state, count(*) AS orgs FROM visible GROUP BY state) AS counted
    ),
    'by_warning', (
        SELECT coalesce(json_object_agg(warning, orgs), '{}')
        FROM (
            SELECT warning, count(*) AS orgs FROM visible CROSS JOIN unnest(warnings) AS warning GROUP BY warning
        ) AS counted
    ),
    'alarms', (SELECT count(*) FROM visible WHERE live_state = 'alarm'),
    'listed', (
        SELECT coalesce(json_agg(org_id ORDER BY org_id COLLATE "C"), '[]') FROM visible WHERE live_is_listed
    ),
    'refreshed_at', (SELECT refreshed_at FROM leadscore.org_health_refresh),
    'orgs', (SELECT coalesce(json_agg(page), '[]') FROM ({page}) AS page)
)
"""


class OrgGlance(msgspec.Struct, frozen=True, kw_only=True):
    """What a row of the table says at a glance; its columns' comments say what they mean."""

    org_id: str
    state: OrgState
    state_since: datetime
    trained_at: datetime | None
    verdict: Verdict | None
    held_since: datetime | None
    is_ready: bool | None
    records: int | None
    records_needed: int | None
    ready_on: date | None
    scored_as_of: datetime | None
    open_leads: int | None
    leads_a: int
    improving_leads: int
    declining_leads: int
    live_state: LiveState | None
    live_leads: int
    live_promised: float | None
    live_converted: float | None
    live_alarmed_on: date | None
    live_judgeable_on: date | None
    live_is_listed: bool
    warnings: list[OrgWarning]


class OrgHealth(OrgGlance, frozen=True, kw_only=True):
    """A whole row of the table."""

    problem: str
    model_version: str | None
    model_scope: Scope | None
    activated_at: datetime | None
    judged_version: str | None
    verdict_reasons: list[str]
    judged_at: datetime | None
    last_run_at: datetime | None
    last_run_id: str | None
    last_training: TrainingStatus | None
    last_training_at: datetime | None
    readiness: str
    readiness_as_of: datetime | None
    scored_leads: int | None
    leads_b: int
    leads_c: int
    leads_d: int


Org = TypeVar("Org", bound=OrgGlance)


class OrgsPage(msgspec.Struct, Generic[Org], frozen=True, kw_only=True):
    """Some of the orgs that were asked for, of `total`.

    `by_state`, `by_warning` and `alarms` count all orgs that may be seen, and `listed` has those of them to look at.
    `refreshed_at` is None before the table was first filled.
    """

    total: int
    by_state: dict[OrgState, int]
    by_warning: dict[OrgWarning, int]
    alarms: int
    listed: list[str]
    refreshed_at: datetime | None
    orgs: list[Org]


class OrgHealthTable:
    """How the orgs stand. Every call raises DatabaseUnavailable when the database cannot answer."""

    def __init__(self, database: CrmDatabase) -> None:
        self._database = database

    def after(
        self, org_ids: Sequence[str] | None, org_id: str, *, state: Filter | None, most: int
    ) -> OrgsPage[OrgHealth]:
        """Return up to `most` orgs behind `org_id` in the order of ids, of `org_ids` or, with None, of all."""
        page = f"SELECT * FROM seen WHERE {ORG_ORDER} > %(after)s ORDER BY {ORG_ORDER} LIMIT %(most)s"  # noqa: S608 (ours)
        return self._page(OrgHealth, page, org_ids, state=state, search="", after=org_id, most=most)

    def sorted(
        self,
        org_ids: Sequence[str] | None,
        *,
        state: Filter | None,
        search: str,
        order: Order,
        most: int,
        skipped: int = 0,
    ) -> OrgsPage[OrgGlance]:
        """Return up to `most` orgs in that order whose ids contain `search`, without the first `skipped` ones."""
        page = f"SELECT * FROM seen ORDER BY {_ORDERS[order]}{ORG_ORDER} LIMIT %(most)s OFFSET %(skipped)s"  # noqa: S608 (ours)
        return self._page(OrgGlance, page, org_ids, state=state, search=search, most=most, skipped=skipped)

    def org(self, org_id: str) -> OrgHealth | None:
        """Return how one org stands; None for an org that the table does not have."""
        found = self.after([org_id], "", state=None, most=1)
        return next(iter(found.orgs), None)

    def _page(self, kind: type[Org], page: str, org_ids: Sequence[str] | None, **arguments: object) -> OrgsPage[Org]:
        """Return what `page` selects, with the columns that are fields of `kind`."""
        query = PAGE.replace("{columns}", ", ".join(kind.__struct_fields__)).replace("{page}", page)
        named = arguments | {"org_ids": None if org_ids is None else list(org_ids)}
        page_of: type[OrgsPage[Org]] = OrgsPage[kind]  # type: ignore[valid-type]  # msgspec reads it at run time
        return self._database.value(query, named, page_of, task=TASK)
