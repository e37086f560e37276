"""What the database says of the orgs' health: the last run, scoring and proof, and the plan until there is enough data.

Each question is one query for many orgs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from leadscore.outcome_forecast import OutcomeCounts, counts_of_orgs_query
from leadscore.readiness import assess
from leadscore.records import RecordCounts, Window
from leadscore.requirements import Requirement, requirement_of_records
from leadscore_assets.health.tables import CameTrue, DataPlan, LastRun, OpenLeads, OrgHealth
from leadscore_assets.source.database import Connection, explaining
from leadscore_assets.source.outcomes import REMEDY as OUTCOMES_REMEDY
from leadscore_assets.source.tables import REMEDY

RUNS_SCORINGS_AND_PROOFS = """
SELECT
    asked.org_id,
    run.stored_at,
    run.run_id,
    ended.status,
    ended.ended_at,
    (run.info -> 'counts')::text,
    scoring.as_of,
    scoring.scored_at,
    scoring.open_leads,
    scoring.scored,
    proof.state,
    coalesce(proof.leads, 0),
    proof.promised,
    proof.converted,
    proof.alarmed_on,
    proof.judgeable_on,
    coalesce(proof.is_listed, false)
FROM unnest(%s::text[]) AS asked (org_id)
LEFT JOIN leadscore.materializations AS run ON run.asset = 'lead_features' AND run.org_id = asked.org_id
LEFT JOIN LATERAL (
    SELECT status, ended_at
    FROM leadscore.ended_training
    WHERE ended_training.org_id = asked.org_id
    ORDER BY ended_at DESC
    LIMIT 1
) AS ended ON true
LEFT JOIN LATERAL (
    SELECT as_of, scored_at, open_leads, scored
    FROM leadscore.scoring_run
    WHERE scoring_run.org_id = asked.org_id
    ORDER BY as_of DESC
    LIMIT 1
) AS scoring ON true
LEFT JOIN leadscore.live_performance AS proof ON proof.org_id = asked.org_id
"""
GRADES = """
SELECT
    org_id,
    count(*) FILTER (WHERE grade = 'A'),
    count(*) FILTER (WHERE grade = 'B'),
    count(*) FILTER (WHERE grade = 'C'),
    count(*) FILTER (WHERE grade = 'D'),
    count(*) FILTER (WHERE trend = 'improving'),
    count(*) FILTER (WHERE trend = 'declining')
FROM leadscore.lead_score
WHERE org_id = ANY (%s)
GROUP BY org_id
"""


class Facts(NamedTuple):
    """What the database says of an org; `counts` are those of the last run's records."""

    last_run: LastRun
    counts: RecordCounts | None
    open_leads: OpenLeads
    came_true: CameTrue


def facts_of(connection: Connection, org_ids: Sequence[str], known: Mapping[str, OrgHealth]) -> dict[str, Facts]:
    """Return each org's last run, scoring and proof; leads are counted again only after another scoring than the known.

    Raises SourceMismatch before the set-up, DatabaseUnavailable.
    """
    facts = {}
    with explaining("reading the last runs, scorings and proofs", REMEDY), connection.transaction():
        found: list[Any] = connection.execute(RUNS_SCORINGS_AND_PROOFS, [list(org_ids)]).fetchall()
    for org_id, run_at, run_id, ended, ended_at, counts, *rest in found:
        read = msgspec.json.decode(str(counts), type=RecordCounts) if counts else None
        facts[org_id] = Facts(LastRun(run_at, run_id, ended, ended_at), read, OpenLeads(*rest[:4]), CameTrue(*rest[4:]))
    scored_anew = [org_id for org_id, fact in facts.items() if _is_scored_anew(fact.open_leads, known.get(org_id))]
    grades = _grades(connection, scored_anew)
    return {org_id: _with_grades(fact, grades.get(org_id), known.get(org_id)) for org_id, fact in facts.items()}


def plans_of(
    connection: Connection, org_ids: Sequence[str], window: Window, requirements: Sequence[Requirement]
) -> dict[str, DataPlan]:
    """Return for each org whether it has enough data for a training in `window` and, if not, when it will.

    Raises SourceMismatch before the set-up or without the CRM's tables, DatabaseUnavailable.
    """
    with explaining("counting the orgs' outcomes", OUTCOMES_REMEDY), connection.transaction():
        found = connection.execute(*counts_of_orgs_query(org_ids, window)).fetchall()
    return {
        str(org_id): _plan(msgspec.json.decode(str(counts), type=OutcomeCounts), window, requirements)
        for org_id, counts in found
    }


def is_plan_due(fact: Facts, known: OrgHealth | None, as_of: datetime) -> bool:
    """Return whether the org's plan is of an earlier day (UTC), or of before its last run."""
    if known is None or known.plan.readiness_as_of is None or known.last_run != fact.last_run:
        return True
    return known.plan.readiness_as_of.date() != as_of.date()


def _plan(counts: OutcomeCounts, window: Window, requirements: Sequence[Requirement]) -> DataPlan:
    readiness = assess(counts, window, requirements)
    records = requirement_of_records(requirements)
    [have] = [need.have for need in readiness.needs if need.what == records.name]
    return DataPlan(readiness.is_ready, have, records.needed, readiness.expected_on, readiness.message, readiness.as_of)


def _is_scored_anew(scoring: OpenLeads, known: OrgHealth | None) -> bool:
    return scoring.scored_at is not None and (known is None or known.open_leads.scored_at != scoring.scored_at)


def _grades(connection: Connection, org_ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
    if not org_ids:
        return {}
    with explaining("counting the open leads by grade", REMEDY), connection.transaction():
        found = connection.execute(GRADES, [list(org_ids)]).fetchall()
    return {str(org_id): tuple(int(str(count)) for count in counts) for org_id, *counts in found}


def _with_grades(fact: Facts, grades: tuple[int, ...] | None, known: OrgHealth | None) -> Facts:
    """Return the fact with the grades that were counted now or, after the known scoring, those known."""
    scoring = msgspec.structs.astuple(fact.open_leads)[:4]
    if grades is not None:
        return fact._replace(open_leads=OpenLeads(*scoring, *grades))
    if known and not _is_scored_anew(fact.open_leads, known) and fact.open_leads.scored_at is not None:
        return fact._replace(open_leads=known.open_leads)
    return fact
