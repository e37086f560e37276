"""What the registry says of an org's health: whose model scores its leads, and the verdict on its last training.

What cannot have changed since the stored row was written is taken from there: a version's files never change, so a
refresh of a thousand unchanged orgs opens their pointers and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from leadscore.errors import Damaged
from leadscore.gate import Decision, Judgement
from leadscore.registry.active_model import ActiveModel
from leadscore.registry.org_state import Standing, holds_since, standing
from leadscore.registry.store import Pointer, Registry
from leadscore_assets.health.tables import Model, OrgHealth


class Verdict(msgspec.Struct, frozen=True):
    """The newest judgement of an org's versions: the fields of Model of these names."""

    judged_version: str | None = None
    verdict: str | None = None
    verdict_reasons: list[str] = []
    judged_at: datetime | None = None
    held_since: datetime | None = None


def model_of(
    registry: Registry, org_id: str, pooled: Pointer | Damaged | None, known: OrgHealth | None, now: datetime
) -> Model:
    """Return which model scores the org's leads, and its last verdict; `known` is the org's stored row.

    `pooled` is what `org_state.pooled_pointer` gives.
    """
    before = known.model if known else None
    found, trained_at, since = standing(registry, org_id, pooled), None, now
    try:
        trained_at = _trained_at(registry, found.model, before)
        since = _since(registry, org_id, found, before, now)
        verdict = _last_verdict(registry, org_id, before)
    except (Damaged, OSError) as error:
        found, verdict = Standing("damaged", found.model, _in_words(error)), Verdict()
        since = before.state_since if before and before.state == "damaged" else now
    pointer = found.model.pointer if found.model else None
    return Model(
        state=found.state,
        state_since=since,
        problem=found.problem,
        model_version=pointer.version if pointer else None,
        model_scope=found.model.scope if found.model else None,
        activated_at=datetime.fromisoformat(pointer.activated_at) if pointer else None,
        trained_at=trained_at,
        **msgspec.structs.asdict(verdict),
    )


def _in_words(error: Damaged | OSError) -> str:
    return error.message if isinstance(error, Damaged) else f"a file cannot be read ({error.strerror})"


def refused_by(model: Model, decision: Decision, run_at: datetime) -> Model:
    """Return `model` with the refusal of a run that was at `run_at` and ended without a version."""
    refusal = Verdict(None, decision.verdict, [reason.text for reason in decision.reasons], run_at)
    return msgspec.structs.replace(model, **msgspec.structs.asdict(refusal))


def _trained_at(registry: Registry, model: ActiveModel | None, before: Model | None) -> datetime | None:
    """Return when the version was trained. Raises Damaged when its manifest is not the one that was activated."""
    if model is None:
        return None
    version = model.pointer.version
    if before and before.trained_at and (before.model_version, before.model_scope) == (version, model.scope):
        return before.trained_at
    manifest = registry.manifest(model.owner, version, model.pointer.manifest_sha256)
    return datetime.fromisoformat(manifest.created_at)


def _since(registry: Registry, org_id: str, found: Standing, before: Model | None, now: datetime) -> datetime:
    """Return since when the state holds: as it was known, else as the history has it, else from now on."""
    if before and before.state == found.state:
        return before.state_since
    if found.state in ("active", "withdrawn"):
        return holds_since(registry.history(org_id)) or now
    return now


def _last_verdict(registry: Registry, org_id: str, before: Model | None) -> Verdict:
    newest = registry.newest_judged(org_id)
    if before and newest and before.judged_version == newest:
        return Verdict(newest, before.verdict, before.verdict_reasons, before.judged_at, before.held_since)
    judgements = _judgements(registry, org_id)
    version, last = next(judgements, (None, None))
    if version is None or last is None:
        return Verdict()
    judged_at = datetime.fromisoformat(last.judged_at)
    held_since = judged_at if last.decision.verdict == "hold" else None
    for _, earlier in judgements:
        if held_since is None or earlier.decision.verdict != "hold":
            break
        held_since = datetime.fromisoformat(earlier.judged_at)
    reasons = [reason.text for reason in last.decision.reasons]
    return Verdict(version, last.decision.verdict, reasons, judged_at, held_since)


def _judgements(registry: Registry, org_id: str) -> Iterator[tuple[str, Judgement]]:
    """Yield the org's judged versions with their judgements, newest first, but no damaged and no withheld one.

    A version that was only tried, or whose data is old, says nothing of what becomes of the org's trainings.
    """
    for version in registry.versions(org_id):
        try:
            judgement = registry.judgement(org_id, version)
        except Damaged:
            continue
        if judgement and not judgement.withheld:
            yield version, judgement
