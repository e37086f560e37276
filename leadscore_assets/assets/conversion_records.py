"""conversion_records: the org's leads with a known outcome, as of the moments at which they could have been scored."""

from datetime import datetime

import dagster as dg
from pydantic import Field

from leadscore.errors import InvalidInput
from leadscore.features import CONTRACT
from leadscore.records import window_from
from leadscore.settings import TIME, Settings, parse_time
from leadscore_assets.assets.org_asset import org_asset
from leadscore_assets.dataset import ConversionRecords
from leadscore_assets.failures import clear_failures
from leadscore_assets.metadata.figures import records_metadata, row_schema
from leadscore_assets.resources import Crm


class ExtractionConfig(dg.Config):
    """What one run may ask for; anything left out comes from the settings."""

    as_of: str | None = Field(
        default=None, description="Train as if it were this time (ISO 8601, UTC), so that a training can be repeated."
    )
    training_window_days: int | None = Field(
        default=None, ge=1, le=3_650, description="Leads created in this many days before `as_of` are records."
    )


@org_asset("data", {"postgres", "sql"}, {"dagster/column_schema": row_schema(CONTRACT)})
def conversion_records(
    context: dg.AssetExecutionContext,
    config: ExtractionConfig,
    settings: dg.ResourceParam[Settings],
    crm: dg.ResourceParam[Crm],
) -> dg.MaterializeResult[ConversionRecords]:
    """The org's leads whose outcome is known.

    Each gives one row for each age at which it was still open, and features count only what had happened by that age.
    Leads without a known outcome are left out and counted.
    """
    with clear_failures():
        window = window_from(settings, _as_of(config), config.training_window_days)
        records = crm.conversion_records(context.partition_key, window, log=context.log)
    context.log.info("%d records in %d rows", records.counts.records, records.counts.rows)
    return dg.MaterializeResult(
        value=records, metadata=records_metadata(settings, context.partition_key, records.counts, records.window)
    )


def _as_of(config: ExtractionConfig) -> datetime | None:
    if config.as_of is None:
        return None
    try:
        return parse_time(config.as_of)
    except ValueError as error:
        raise InvalidInput(f"as_of is {config.as_of!r}; it must be {TIME.says}") from error
