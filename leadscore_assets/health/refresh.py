"""Refreshes `leadscore.org_health`: what the registry and the database say now, written where it differs."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from leadscore.errors import Damaged, SourceMismatch
from leadscore.gate import policy_from, refuse_unfittable
from leadscore.left_out import causes_of
from leadscore.pooling import POOLED
from leadscore.records import window_from
from leadscore.registry.org_state import pooled_pointer
from leadscore.registry.store import Pointer, Registry
from leadscore.settings import Settings
from leadscore_assets.health.attention import Deadlines, ready_since_of, warnings_of
from leadscore_assets.health.database_facts import Facts, facts_of, is_plan_due, plans_of
from leadscore_assets.health.registry_facts import model_of, refused_by
from leadscore_assets.health.tables import Attention, DataPlan, Model, OrgHealth, stored, write
from leadscore_assets.source.database import Connection, connect

# counting an org's outcomes takes 10 ms for 200 leads; a tick must end, so the others wait for the next one
PLANNED_AT_A_TIME = 20
PLANNING_SECONDS = 15.0


class Refreshed(NamedTuple):
    """How many orgs there are, how many rows were written or removed, and how many plans wait for the next time."""

    orgs: int
    changed: int
    waiting: int

    def __str__(self) -> str:
        waiting = f"; the readiness of {self.waiting} waits for the next tick" if self.waiting else ""
        return f"{self.changed} of {self.orgs} orgs changed{waiting}"


def refresh(
    settings: Settings, registry: Registry, org_ids: Collection[str], deadlines: Deadlines, log: logging.Logger
) -> Refreshed:
    """Make `leadscore.org_health` true for the orgs, which are all that there are.

    `deadlines` are the moments by which they should have been scored and trained.
    Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    asked = sorted(set(org_ids) - {POOLED})
    with connect(settings) as connection:
        known = stored(connection)
        facts = facts_of(connection, asked, known)
        pooled = pooled_pointer(registry, is_pooling=settings.pooled_model)
        if isinstance(pooled, Damaged):
            log.warning("the pooled model scores no leads: %s", pooled.message)
        models = {
            org_id: _model(settings, registry, org_id, pooled=pooled, fact=facts[org_id], known=known.get(org_id))
            for org_id in asked
        }
        plans, waiting = _plans(settings, connection, facts, known, log)
        rows = [
            _row(models[org_id], fact, plans[org_id], deadlines, org_id=org_id, known=known.get(org_id))
            for org_id, fact in facts.items()
        ]
        return Refreshed(len(rows), write(connection, known, rows), waiting)


def _row(
    model: Model, fact: Facts, plan: DataPlan, deadlines: Deadlines, *, org_id: str, known: OrgHealth | None
) -> OrgHealth:
    ready_since = ready_since_of(plan, known.attention if known else None, datetime.now(UTC))
    attention = Attention(ready_since, warnings_of(model, fact, plan, ready_since, deadlines))
    return OrgHealth(org_id, model, fact.last_run, plan, fact.open_leads, fact.came_true, attention)


def _model(
    settings: Settings,
    registry: Registry,
    org_id: str,
    *,
    pooled: Pointer | Damaged | None,
    fact: Facts,
    known: OrgHealth | None,
) -> Model:
    """Return what the registry says or, when the last run was refused before there was a version, this refusal."""
    model = model_of(registry, org_id, pooled, known, datetime.now(UTC))
    counts, run_at = fact.counts, fact.last_run.last_run_at
    if counts is None or run_at is None or (model.judged_at and model.judged_at > run_at):
        return model
    if 0 < counts.converted_records < counts.records:
        return model
    refusal = refuse_unfittable(
        counts.records,
        counts.converted_records,
        counts.records,
        counts.converted_records,
        policy_from(settings),
        causes=causes_of(counts),
    )
    return refused_by(model, refusal, run_at) if refusal else model


def _plans(
    settings: Settings,
    connection: Connection,
    facts: Mapping[str, Facts],
    known: Mapping[str, OrgHealth],
    log: logging.Logger,
) -> tuple[dict[str, DataPlan], int]:
    """Return each org's plan, counted anew where it is due and there is time, and how many are still due."""
    window, requirements = window_from(settings), policy_from(settings).requirements
    plans = {org_id: known[org_id].plan if org_id in known else DataPlan() for org_id in facts}
    due = [org_id for org_id, fact in facts.items() if is_plan_due(fact, known.get(org_id), window.as_of)]
    due.sort(key=lambda org_id: str(plans[org_id].readiness_as_of or ""))
    until_seconds = time.monotonic() + PLANNING_SECONDS
    planned = 0
    try:
        for some in _parts(due):
            if time.monotonic() > until_seconds:
                break
            plans |= plans_of(connection, some, window, requirements)
            planned += len(some)
    except SourceMismatch as error:
        # a site whose RECORDS_SQL reads other tables has no outcomes that our functions could count
        log.warning("no readiness is known: %s", error.message)
        return plans, 0
    return plans, len(due) - planned


def _parts(org_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(org_ids), PLANNED_AT_A_TIME):
        yield org_ids[start : start + PLANNED_AT_A_TIME]
