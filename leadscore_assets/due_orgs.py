"""Which orgs are due for a training: those with enough data, and new outcomes since their last training.

Enough data is what the gate demands of a training, and what readiness says: an org that is not ready is not trained, so
that its run does not fail. Asked for by hand, it is trained, and its run says why it is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import astuple, replace
from datetime import datetime
from typing import Any

import msgspec

from leadscore.errors import Damaged
from leadscore.gate import Policy, policy_from, refuse_counts
from leadscore.left_out import CORRECT_VALUES, rows_in_words
from leadscore.pooling import POOLED
from leadscore.records import RecordCounts, Window
from leadscore.registry.store import Registry
from leadscore.requirements import SplitCounts, requirement_of_records
from leadscore.settings import Settings
from leadscore_assets.changed_orgs import REMEDY, withdrawn_orgs
from leadscore_assets.partitions import valid_org_ids
from leadscore_assets.source import orgs as source
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.source.identities import changed_orgs, identities
from leadscore_assets.source.tables import infos

CHANGED = f"the id may have been given to another customer; {REMEDY}"


def training_needs(settings: Settings, registry: Registry, window: Window) -> list[source.TrainingNeed]:
    """Return, for each org of the CRM, whether it is due at the window's `as_of`, and the reason.

    With POOLED_MODEL the pooled model comes first, because orgs begin with it. An org that has the pooled model's id
    is left out.
    """
    with connect(settings, read_only=True) as connection:
        last_runs, policy = infos(connection, "lead_features"), policy_from(settings)
        trained_as_of = refused_as_of(last_runs) | judged_as_of(registry)
        min_records = requirement_of_records(policy.requirements).needed
        needs = _of_orgs(connection, window, trained_as_of, min_records)
        changed = {*changed_orgs(identities(connection), [need.org_id for need in needs]), *withdrawn_orgs(registry)}
        needs = [replace(need, is_due=False, reason=CHANGED) if need.org_id in changed else need for need in needs]
        if settings.pooled_model:
            needs.insert(0, _of_the_pool(connection, window, trained_as_of.get(POOLED), min_records))
    return [_if_ready(need, policy, last_runs.get(need.org_id)) for need in needs]


def due_partitions(needs: Iterable[source.TrainingNeed], log: logging.Logger) -> list[str]:
    """Return the orgs that are due and can be partitions, the pooled model first; log why each is due or not."""
    due = []
    for need in needs:
        log.info("%s is %s: %s", need.org_id, "due" if need.is_due else "skipped", need.reason)
        if need.is_due:
            due.append(need.org_id)
    return [*([POOLED] if POOLED in due else []), *valid_org_ids((org_id for org_id in due if org_id != POOLED), log)]


def _if_ready(need: source.TrainingNeed, policy: Policy, last_run: dict[str, Any] | None) -> source.TrainingNeed:
    """Return the need of an org that is ready as it is, and that of another as not due, with the reason."""
    if need.reason == CHANGED:
        return need
    if refusal := refuse_counts(need.counts, policy):
        return replace(need, is_due=False, reason=refusal.text)
    if need.is_due and last_run and (obstacle := _obstacle(last_run, need, policy)):
        return replace(need, is_due=False, reason=obstacle)
    return need


def _obstacle(last_run: dict[str, Any], need: source.TrainingNeed, policy: Policy) -> str | None:
    """Return why the CRM's records do not suffice although there are enough: the last run set too many aside."""
    left = msgspec.convert(last_run["counts"], RecordCounts)
    needed = requirement_of_records(policy.requirements).needed
    if left.records >= needed or left.read_records < needed:
        return None
    return (
        f"{need.records} records would be enough, but in the last run {rows_in_words(left, is_past=True)}, and"
        f" {left.records} of {left.read_records} records were left ({needed} needed). {CORRECT_VALUES}; then train the"
        " org by hand; the run checks the values again."
    )


def _of_orgs(
    connection: Connection, window: Window, trained_as_of: Mapping[str, datetime], min_records: int
) -> list[source.TrainingNeed]:
    needs = source.training_needs(connection, window, trained_as_of, min_records)
    return [need for need in needs if need.org_id != POOLED]


def _of_the_pool(
    connection: Connection, window: Window, trained: datetime | None, min_records: int
) -> source.TrainingNeed:
    """Return whether the pooled model is due, from the records and new outcomes of all orgs since its last training."""
    trained_as_of = dict.fromkeys(source.orgs(connection), trained) if trained else {}
    needs = _of_orgs(connection, window, trained_as_of, min_records)
    columns = zip((0, 0, 0, 0), *(astuple(need.counts) for need in needs), strict=True)
    counts = SplitCounts(*map(sum, columns))
    return source.need_of(POOLED, counts, sum(need.new_outcomes for need in needs), trained, min_records)


def judged_as_of(registry: Registry) -> dict[str, datetime]:
    """Return the `as_of` of each org's newest judged version.

    An unfinished training does not count, nor does one that was only tried, or looked back in time.
    """
    moments = {}
    for org_id in [*registry.orgs(), POOLED]:
        for version in registry.versions(org_id):
            with suppress(Damaged):
                judgement = registry.judgement(org_id, version)
                if judgement and not judgement.withheld:
                    moments[org_id] = registry.manifest(org_id, version).window.as_of
                    break
    return moments


def refused_as_of(features: dict[str, dict[str, Any]]) -> dict[str, datetime]:
    """Return the `as_of` of the orgs whose stored features have one outcome only.

    Their training ended without a version, and would end so again before there are new outcomes.
    """
    return {
        org_id: datetime.fromisoformat(document["window"]["as_of"])
        for org_id, document in features.items()
        if document["counts"]["converted_records"] in {0, document["counts"]["records"]}
    }
