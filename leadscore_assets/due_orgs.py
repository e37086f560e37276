"""Which orgs are due for a training: those with enough records, and new outcomes since their last training."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from leadscore.errors import Damaged
from leadscore.gate import policy_from
from leadscore.pooling import POOLED
from leadscore.records import Window
from leadscore.registry.store import Registry
from leadscore.requirements import requirement_of_records
from leadscore.settings import Settings
from leadscore_assets.changed_orgs import REMEDY, withdrawn_orgs
from leadscore_assets.source import orgs as source
from leadscore_assets.source.database import Connection, connect
from leadscore_assets.source.identities import changed_orgs, identities
from leadscore_assets.source.tables import infos

CHANGED = f"the id may have been given to another customer; {REMEDY}"


def training_needs(settings: Settings, registry: Registry, window: Window) -> list[source.TrainingNeed]:
    """Return, for each org of the CRM, whether it is due at the window's `as_of`, and the reason.

    With POOLED_MODEL the pooled model comes last. An org that has the pooled model's id is left out.
    """
    with connect(settings, read_only=True) as connection:
        trained_as_of = refused_as_of(infos(connection, "lead_features")) | judged_as_of(registry)
        min_records = requirement_of_records(policy_from(settings).requirements).needed
        needs = _of_orgs(connection, window, trained_as_of, min_records)
        changed = {*changed_orgs(identities(connection), [need.org_id for need in needs]), *withdrawn_orgs(registry)}
        needs = [replace(need, is_due=False, reason=CHANGED) if need.org_id in changed else need for need in needs]
        if settings.pooled_model:
            needs.append(_of_the_pool(connection, window, trained_as_of.get(POOLED), min_records))
    return needs


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
    records, new_outcomes = sum(need.records for need in needs), sum(need.new_outcomes for need in needs)
    return source.need_of(POOLED, records, new_outcomes, trained, min_records)


def judged_as_of(registry: Registry) -> dict[str, datetime]:
    """Return the `as_of` of each org's newest judged version; an unfinished training does not count."""
    moments = {}
    for org_id in [*registry.orgs(), POOLED]:
        for version in registry.versions(org_id):
            with suppress(Damaged):
                if registry.judgement(org_id, version):
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
