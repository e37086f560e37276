"""retention: what is older than the settings say is removed once a day, and how much went of each kind."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from leadscore.errors import RegistryUnavailable
from leadscore.registry.old_versions import Keep
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.assets.lead_scores import lead_scores
from leadscore_assets.assets.live_performance import live_performance
from leadscore_assets.assets.org_asset import OWNERS
from leadscore_assets.failures import in_words
from leadscore_assets.retention import dagster_history, old_rows
from leadscore_assets.retention.old_versions import remove_of_all_orgs
from leadscore_assets.retention.removed import Removed
from leadscore_assets.retention.run_output import remove_old_output
from leadscore_assets.source.control_plane import check_same_registry
from leadscore_assets.source.database import connect
from leadscore_assets.training.provenance import code_version

NAME = "retention"
SHOWN_ORGS = 5

Part = Callable[[], list[Removed]]


@dg.asset(
    name=NAME,
    # apart from the assets of the orgs
    group_name="operations",
    owners=OWNERS,
    kinds={"python", "postgres"},
    tags={"stage": "operations"},
    code_version=code_version(),
)
def retention(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], registry: dg.ResourceParam[Registry]
) -> dg.MaterializeResult[None]:
    """What was removed because it is old: versions, rows of ours, and Dagster's history, with counts and bytes.

    Each kind has a setting that says how long it is kept. Nothing that serves an org is removed. A part that fails does
    not hold up the others; the run fails in the end, and says why.
    """
    now, failures, figures = datetime.now(UTC), list[str](), dict[str, int]()
    for part in _parts(context, settings, registry, now):
        try:
            removed = part()
        except Exception as error:
            failures.append(in_words(error))
            context.log.warning("a part of the retention failed: %s", failures[-1])
            continue
        for kind in removed:
            context.log.info("removed %s", kind)
            name = kind.what.replace(" ", "_")
            figures |= {name: kind.items, f"{name}_bytes": kind.freed_bytes}
    if failures:
        raise dg.Failure(
            f"{len(failures)} parts of the retention failed, and what they keep grows: {'; '.join(failures)}",
            figures,
            allow_retries=False,
        )
    return dg.MaterializeResult(metadata=figures)


def _parts(
    context: dg.AssetExecutionContext, settings: Settings, registry: Registry, now: datetime
) -> tuple[Part, ...]:
    """Return the parts, in the order in which they are done."""

    def before(days: float) -> datetime:
        return now - timedelta(days=days)

    output = Path(context.instance.storage_directory())
    return (
        lambda: [_versions(context, settings, registry, now)],
        lambda: _rows(settings, now),
        lambda: _dagster_history(settings, now),
        lambda: [remove_old_output(output, before(settings.keep_run_logs_days))],
    )


def _versions(context: dg.AssetExecutionContext, settings: Settings, registry: Registry, now: datetime) -> Removed:
    """Remove the files of old versions. Raises RegistryUnavailable when that failed for an org."""
    check_same_registry(settings, registry)
    keep = Keep(settings.keep_versions, settings.keep_activated_days)
    removed, failures = remove_of_all_orgs(registry, keep, now, context.log)
    if failures:
        said = [f"{org_id} ({why})" for org_id, why in failures.items()][:SHOWN_ORGS]
        raise RegistryUnavailable(
            f"the old versions of {len(failures)} orgs could not be removed: {'; '.join(said)}. Removed were {removed}"
        )
    return removed


def _rows(settings: Settings, now: datetime) -> list[Removed]:
    with connect(settings) as connection:
        return [
            old_rows.remove_old_records(connection, now - timedelta(days=settings.keep_records_days), now),
            old_rows.remove_old_trainings(connection, now - timedelta(days=settings.keep_events_days)),
            old_rows.remove_old_batches(connection, now - timedelta(days=settings.keep_events_days)),
            old_rows.remove_old_evidence(connection, now - timedelta(days=settings.score_history_days)),
        ]


def _dagster_history(settings: Settings, now: datetime) -> list[Removed]:
    """Remove old history from Dagster's tables, if they are in this database."""
    daily_assets = [asset.key.path[-1] for asset in (lead_scores, live_performance)]
    before = dagster_history.Before(
        logs=now - timedelta(days=settings.keep_run_logs_days),
        daily_events=now - timedelta(days=settings.keep_daily_events_days),
        events=now - timedelta(days=settings.keep_events_days),
        daily_assets=[*daily_assets, NAME],
    )
    with connect(settings) as connection:
        if not dagster_history.has_dagster_tables(connection):
            return []
        return [
            *dagster_history.remove_old_events(connection, before),
            dagster_history.remove_old_checks(connection, before),
            dagster_history.remove_old_runs(connection, before),
        ]
