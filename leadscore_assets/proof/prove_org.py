"""Proves one org's scores in one transaction: judges what became mature, goes on with the evidence, makes the figures.

A process that is killed in the middle leaves the org as it was; a repeat judges nothing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import msgspec

from leadscore.live_performance import LivePerformance
from leadscore.records import Window
from leadscore_assets.proof import judged_scores as judged
from leadscore_assets.proof.figures import Findings, live_performance
from leadscore_assets.proof.judged_scores import Judged
from leadscore_assets.proof.process import ALL_VERSIONS, Process
from leadscore_assets.proof.promises import Promises
from leadscore_assets.proof.tables import REMEDY
from leadscore_assets.scoring.stored_scores import setting
from leadscore_assets.source.database import Connection, explaining
from leadscore_assets.source.org_locks import lock_scores

DAY = timedelta(days=1)

PROCESSES = "SELECT model_version, process::text FROM leadscore.live_evidence WHERE org_id = %s"
SAVE_PROCESS = """
INSERT INTO leadscore.live_evidence (org_id, model_version, process) VALUES (%s, %s, %s::jsonb)
ON CONFLICT (org_id, model_version) DO UPDATE SET process = excluded.process
"""
FIGURES = "SELECT figures::text FROM leadscore.live_performance WHERE org_id = %s"
SAVE_FIGURES = """
INSERT INTO leadscore.live_performance (
    org_id, as_of, state, in_words, leads, promised, converted, log_e, judged_through, judgeable_on, alarmed_on, figures
) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb)
ON CONFLICT (org_id) DO UPDATE SET
    as_of = excluded.as_of, proved_at = now(), state = excluded.state, in_words = excluded.in_words,
    leads = excluded.leads, promised = excluded.promised, converted = excluded.converted, log_e = excluded.log_e,
    judged_through = excluded.judged_through, judgeable_on = excluded.judgeable_on, alarmed_on = excluded.alarmed_on,
    figures = excluded.figures
"""


def prove_org(connection: Connection, promises: Promises, org_id: str, window: Window) -> LivePerformance:
    """Prove what was said of the org's leads, as of the window's `as_of`, and return the figures.

    Raises SourceMismatch before the set-up or without the CRM's tables, DatabaseUnavailable.
    """
    with explaining(f"proving the scores of org {org_id}", REMEDY), connection.transaction():
        # an erasure waits, so that what is judged of a lead cannot be written again after it
        lock_scores(connection, [org_id])
        processes, through = _processes(connection, org_id), judged.mature_through(window)
        after = _judged_through(connection, org_id, processes, window)
        if after is not None and after < through:
            other_question = _other_question(connection, promises, org_id, window)
            judged.judge(connection, org_id, window, judged.Days(after, through), other_question)
        scores = judged.judged_scores(connection, org_id)
        processes = _advanced(processes, scores, through, window.conversion_window_days)
        _save_processes(connection, org_id, processes)
        pending = [] if after is None else judged.pending_leads(connection, org_id, max(after, through))
        capacity, active = setting(connection, org_id).weekly_capacity, promises.active(org_id)
        found = Findings(org_id, window, scores, processes, pending, capacity, active)
        figures = live_performance(found, promises)
        _save_figures(connection, figures)
        return figures


def stored_figures(connection: Connection, org_id: str) -> LivePerformance | None:
    """Return the figures that were last made, None for none. Raises SourceMismatch, DatabaseUnavailable."""
    with explaining(f"reading what came true of org {org_id}", REMEDY), connection.transaction():
        row: Any = connection.execute(FIGURES, [org_id]).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=LivePerformance)


def _processes(connection: Connection, org_id: str) -> dict[str, Process]:
    """Return the org's processes by version, that of all its scores under ALL_VERSIONS."""
    rows: list[Any] = connection.execute(PROCESSES, [org_id]).fetchall()
    return {version: msgspec.json.decode(process, type=Process) for version, process in rows}


def _judged_through(connection: Connection, org_id: str, processes: dict[str, Process], window: Window) -> date | None:
    """Return the last creation day that was judged or, before the first, the last one that cannot have a score."""
    if ALL_VERSIONS in processes:
        return processes[ALL_VERSIONS].through
    first_said = judged.first_said_on(connection, org_id)
    return None if first_said is None else first_said - (window.conversion_window_days + 1) * DAY


def _other_question(connection: Connection, promises: Promises, org_id: str, window: Window) -> list[str]:
    """Return the versions that scored the org's leads for another conversion window than is asked for now."""
    said = judged.said_versions(connection, org_id)
    return [version for version, scope in said if promises.asks_otherwise(org_id, version, scope, window)]


def _advanced(processes: dict[str, Process], scores: Judged, through: date, window_days: int) -> dict[str, Process]:
    """Return the processes after all mature leads: one over whatever was said, and one for each version."""
    known = processes.get(ALL_VERSIONS, Process())
    advanced = {ALL_VERSIONS: known.advanced(judged.cohorts(scores, known.through), window_days)}
    for version in sorted(set(scores.version.tolist())):
        process = processes.get(version, Process(through=known.through))
        of_version = judged.cohorts(scores.where(scores.version == version), process.through)
        advanced[version] = process.advanced(of_version, window_days, restarts=False)
    if not advanced[ALL_VERSIONS].through and not len(scores.lead):
        return {}
    return {
        version: msgspec.structs.replace(process, through=max(through, process.through or through))
        for version, process in advanced.items()
    }


def _save_processes(connection: Connection, org_id: str, processes: dict[str, Process]) -> None:
    rows = [(org_id, version, msgspec.json.encode(process).decode()) for version, process in processes.items()]
    with connection.cursor() as cursor:
        cursor.executemany(SAVE_PROCESS, rows)


def _save_figures(connection: Connection, figures: LivePerformance) -> None:
    overall, evidence = figures.overall, figures.evidence
    row: Sequence[Any] = (
        figures.org_id,
        figures.as_of,
        figures.state,
        figures.in_words,
        overall.leads if overall else 0,
        overall.promised if overall else None,
        overall.converted.value if overall else None,
        evidence.log_e if evidence else 0.0,
        figures.judged_through,
        figures.judgeable_on,
        figures.alarmed_on,
        msgspec.json.encode(figures).decode(),
    )
    connection.execute(SAVE_FIGURES, row)
