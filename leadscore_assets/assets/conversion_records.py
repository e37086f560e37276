"""conversion_records: the org's leads with a known outcome, as they looked at the ages at which they were open."""

from datetime import datetime

import dagster as dg
from pydantic import Field

from leadscore.features import CONTRACT
from leadscore.readiness import LONGEST_WINDOW_DAYS
from leadscore.records import parse_as_of, window_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.assets.org_asset import org_asset
from leadscore_assets.changed_orgs import check_same_customer
from leadscore_assets.dataset import ConversionRecords
from leadscore_assets.failures import clear_failures
from leadscore_assets.metadata.figures import records_metadata, row_schema
from leadscore_assets.resources import Crm


class ExtractionConfig(dg.Config):
    """Configuration of one run; by default, the settings apply."""

    as_of: str | None = Field(
        default=None, description="Time as of which to train (ISO 8601, UTC), to repeat a past training."
    )
    training_window_days: int | None = Field(
        default=None,
        ge=1,
        le=LONGEST_WINDOW_DAYS,
        description="Only leads created in this many days before `as_of` are used.",
    )


@org_asset("data", {"postgres", "sql"}, {"dagster/column_schema": row_schema(CONTRACT)})
def conversion_records(
    context: dg.AssetExecutionContext,
    config: ExtractionConfig,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
    crm: dg.ResourceParam[Crm],
) -> dg.MaterializeResult[ConversionRecords]:
    """The org's leads whose outcome is known.

    Each lead gives one row for each age at which it was still open, and the features count only what had happened by
    that age. Leads without a known outcome are left out, and counted by reason.
    """
    with clear_failures():
        check_same_customer(settings, registry, context.partition_key)
        window = window_from(settings, _as_of(config), config.training_window_days)
        records = crm.conversion_records(context.partition_key, window, log=context.log)
    if records.counts.unknown_statuses:
        context.log.warning(
            "%d moves lead to statuses that no setting names, and leave a lead open: %s; add them to"
            " CONVERSION_STATUSES, LOST_STATUSES or OPEN_STATUSES",
            sum(records.counts.unknown_statuses.values()),
            ", ".join(f"{status} ({moves:,})" for status, moves in records.counts.unknown_statuses.items()),
        )
    context.log.info("extracted %d records in %d rows", records.counts.records, records.counts.rows)
    return dg.MaterializeResult(
        value=records, metadata=records_metadata(settings, context.partition_key, records.counts, records.window)
    )


def _as_of(config: ExtractionConfig) -> datetime | None:
    return None if config.as_of is None else parse_as_of(config.as_of)
