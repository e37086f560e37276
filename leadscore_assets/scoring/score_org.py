"""Scores one org's open leads in one transaction: reads them, compares with the stored scores, writes the differences.

A process that is killed in the middle leaves the org as it was.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from leadscore.errors import InvalidInput
from leadscore.records import Window
from leadscore.registry.store import Registry
from leadscore.scoring import ActionPolicy
from leadscore_assets.scoring import stored_scores as stored
from leadscore_assets.scoring.changes import compare
from leadscore_assets.scoring.cut_points import cut_points_of
from leadscore_assets.scoring.input_counts import bins_of, count_inputs
from leadscore_assets.scoring.leads_to_score import DAY, LeadsToScore, count_open_leads, read_open_leads
from leadscore_assets.scoring.org_models import OrgModel, OrgModels
from leadscore_assets.scoring.score_rows import ScoreRows
from leadscore_assets.scoring.shadows import shadows
from leadscore_assets.source.database import Connection, explaining
from leadscore_assets.source.extraction import PLANNER
from leadscore_assets.source.org_locks import lock_scores


@dataclass(frozen=True)
class Task:
    """How orgs are scored: as of when, by which run, and whether every lead is scored again (`is_full`).

    Scores of a later `as_of` are replaced when it `replaces_later`. A scoring as of the present (`is_present`) that
    another one overtook scores as of the other's time; any other is refused.
    """

    window: Window
    policy: ActionPolicy
    run_id: str | None = None
    is_full: bool = False
    replaces_later: bool = False
    is_present: bool = False

    @property
    def as_of(self) -> datetime:
        """The moment as of which leads are scored."""
        return self.window.as_of.astimezone(UTC)


@dataclass(frozen=True)
class Scoring:
    """What one scoring of an org found and did; without a model there are no scores, and the version is None.

    `rescored` leads were scored, `changed` rows written and `removed` ones deleted. `unequal` counts, in a full
    scoring, the leads whose score differs though their ranks do not: 0, unless something is broken. `content` is a
    hash of all scores.
    """

    org_id: str
    as_of: datetime
    open_leads: int
    left_out: dict[str, int]
    model: OrgModel | None = None
    rescored: int = 0
    changed: int = 0
    removed: int = 0
    unequal: int = 0
    is_full: bool = False
    grades: dict[str, int] = field(default_factory=dict)
    trends: dict[str, int] = field(default_factory=dict)
    content: str = ""

    @property
    def scored(self) -> int:
        """The number of leads that have a score."""
        return self.open_leads - sum(self.left_out.values())

    @property
    def in_words(self) -> str:
        """What was found and done, in a sentence."""
        by = f"by version {self.model.name}" if self.model else "because no model serves the org"
        return (
            f"{self.scored:,} of {self.open_leads:,} open leads of org {self.org_id} have a score, {by}:"
            f" {self.rescored:,} were scored, {self.changed:,} rows written, {self.removed:,} removed"
        )

    @property
    def fault(self) -> str | None:
        """What a full scoring found wrong and has mended, None when nothing was."""
        if not self.unequal:
            return None
        return (
            f"{self.unequal:,} stored scores of org {self.org_id} differed from what the model says, although nothing"
            " that a score depends on had changed. This run has corrected them."
            " Find out who or what changed leadscore.lead_score"
        )


def score_org(connection: Connection, models: OrgModels, org_id: str, task: Task) -> Scoring:
    """Score the org's open leads, and return what was found and done.

    The month of the history must be there (`tables.create_month_of_history`). Raises InvalidInput when the org was
    scored as of a later time, Damaged when its model is, SourceMismatch, DatabaseUnavailable.
    """
    with explaining(f"scoring the leads of org {org_id}", stored.REMEDY), connection.transaction():
        connection.execute("; ".join(f"SET LOCAL {name} = {value}" for name, value in PLANNER.items()).encode())
        lock_scores(connection, [org_id])
        task = _in_order(connection, org_id, task)
        last = stored.last_run(connection, org_id)
        model = models.of(org_id)
        if model is None:
            scoring = _without_model(connection, org_id, task)
        else:
            since = stored.scored_before(connection, org_id, task.as_of) or task.as_of - DAY
            bins = bins_of(models.registry, org_id, model)
            found = read_open_leads(connection, org_id, model, task.window, landmarks_since=since if bins else None)
            scoring, rows = _by_model(connection, org_id, model, task, found)
            is_repeat = last is not None and last.as_of >= task.as_of
            _write_history(connection, models.registry, rows, since, is_repeat=is_repeat)
            if bins and not is_repeat:
                count_inputs(connection, org_id, model.name, task.as_of, bins=bins, rows=found.at_landmarks)
        stored.record_run(connection, _run(scoring, task))
        return scoring


def _in_order(connection: Connection, org_id: str, task: Task) -> Task:
    """Return the task, no earlier than the org's last scoring, or forget later ones. Raises InvalidInput."""
    last = stored.last_run(connection, org_id)
    if last is None or task.as_of >= last.as_of:
        return task
    if task.replaces_later:
        stored.forget_later(connection, org_id, task.as_of)
        return task
    if task.is_present:
        return replace(task, window=msgspec.structs.replace(task.window, as_of=last.as_of))
    raise InvalidInput(
        f"the leads of org {org_id} were scored as of {last.as_of.astimezone(UTC):%Y-%m-%d %H:%M} UTC, which is"
        f" later than {task.as_of:%Y-%m-%d %H:%M}; leave as_of out, or set replaces_later to replace those scores"
    )


def _without_model(connection: Connection, org_id: str, task: Task) -> Scoring:
    """Remove the scores of an org that no model serves."""
    count, left_out = count_open_leads(connection, org_id, task.window)
    lead_ids = [*stored.stored_scores(connection, org_id)]
    stored.remove_scores(connection, org_id, lead_ids)
    return Scoring(org_id, task.as_of, count, left_out, removed=len(lead_ids), is_full=task.is_full)


def _by_model(
    connection: Connection, org_id: str, model: OrgModel, task: Task, found: LeadsToScore
) -> tuple[Scoring, ScoreRows]:
    """Write the scores that changed; return what was found and done, and the rows for the history."""
    before, setting = stored.stored_scores(connection, org_id), stored.setting(connection, org_id)
    cuts = cut_points_of(connection, org_id, setting, model, task.window)
    reasons = stored.stored_reasons(connection, org_id) if task.is_full else None
    changes = compare(model, found.leads, before, cuts, task.policy, reasons=reasons)
    removed = sorted(before.keys() - set(found.leads.ids))
    rows = ScoreRows(org_id, model, task.as_of, found.leads, changes)
    stored.replace_scores(connection, org_id, [*removed, *rows.replaced(before)], rows.scores())
    if setting.cut_points is None:
        stored.save_cut_points(connection, org_id, setting._replace(cut_points=cuts))
    scoring = Scoring(
        org_id,
        task.as_of,
        found.open_leads,
        found.left_out,
        model,
        rescored=changes.rescored,
        changed=int(changes.is_changed.sum()),
        removed=len(removed),
        unequal=changes.unequal,
        is_full=task.is_full,
        grades=dict(sorted(Counter(each.grade for each in changes.labels).items())),
        trends=dict(sorted(Counter(each.trend for each in changes.labels).items())),
        content=changes.content(found.leads),
    )
    return scoring, rows


def _write_history(
    connection: Connection, registry: Registry, rows: ScoreRows, since: datetime, *, is_repeat: bool
) -> None:
    """Write what changed and the landmarks since the scoring before; in a repeat at its time, what changed only."""
    said = rows.said(since, with_landmarks_alone=not is_repeat)
    history = rows.history(said, shadows(registry, rows.org_id, rows.model, rows.leads, said.places))
    if is_repeat:
        stored.forget_said(connection, rows.org_id, rows.as_of, [row.lead_id for row in history])
    stored.add_history(connection, [row.values for row in history])


def _run(scoring: Scoring, task: Task) -> dict[str, Any]:
    """Return the row of `scoring_run`."""
    model = scoring.model
    return {
        "org_id": scoring.org_id,
        "as_of": scoring.as_of,
        "run_id": task.run_id,
        "model_version": model.name if model else None,
        "model_scope": model.scope if model else None,
        "base_value": model.version.scorer.base_value if model else None,
        "feature_names": list(model.version.manifest.contract.names) if model else [],
        "open_leads": scoring.open_leads,
        "scored": scoring.scored,
        "changed": scoring.changed,
        "removed": scoring.removed,
        "left_out": scoring.left_out,
        "is_full": scoring.is_full,
    }
