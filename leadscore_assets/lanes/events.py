"""Records events of an org in Dagster from within a step that takes many orgs."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from leadscore_assets.last_materialization import Target, about_materialization, last_materialization

Event = dg.AssetMaterialization | dg.AssetCheckEvaluation


STATEMENT_TIMEOUT_SECONDS = 60
RECYCLE_SECONDS = 600


def keep_a_connection(instance: dg.DagsterInstance) -> None:
    """Let the instance keep its connection for events, as its webserver does.

    It would make several for each event otherwise, which cost an org's training in a batch a tenth of its CPU.
    """
    instance.event_log_storage.optimize_for_webserver(
        statement_timeout=STATEMENT_TIMEOUT_SECONDS * 1_000, pool_recycle=RECYCLE_SECONDS, max_overflow=1
    )


def log_events(context: dg.OpExecutionContext, events: Iterable[Event]) -> None:
    """Record the events of an org in their order, each check as one of the asset's last materialization by then."""
    last: dict[dg.AssetKey, Target | None] = {}
    for event in events:
        if isinstance(event, dg.AssetMaterialization):
            last.pop(event.asset_key, None)
            context.log_event(event)
            continue
        if event.asset_key not in last:
            last[event.asset_key] = last_materialization(context.instance, event.asset_key, event.partition or "")
        about = about_materialization(event, last[event.asset_key])
        context.log_event(about)  # type: ignore[arg-type]  # it takes every event of an asset
