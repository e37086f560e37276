"""conversion_records: the org's leads with a known outcome, as they looked at the ages at which they were open."""

import hashlib

import dagster as dg
import pandas as pd
from pydantic import Field

from leadscore.features import CONTRACT
from leadscore.readiness import LONGEST_WINDOW_DAYS
from leadscore.records import Window, parse_as_of, window_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.assets.org_asset import org_asset
from leadscore_assets.assets.org_training import Made, OrgTraining
from leadscore_assets.assets.training_step import training_step
from leadscore_assets.changed_orgs import check_same_customer
from leadscore_assets.dataset import ConversionRecords
from leadscore_assets.metadata.figures import records_metadata, row_schema


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

    def window(self, settings: Settings) -> Window:
        """Return the window that the run asks for; what it leaves open is as of now, and by the settings."""
        as_of = None if self.as_of is None else parse_as_of(self.as_of)
        return window_from(settings, as_of, self.training_window_days)


@org_asset("data", {"postgres", "sql"}, {"dagster/column_schema": row_schema(CONTRACT)})
def conversion_records(
    context: dg.AssetExecutionContext,
    config: ExtractionConfig,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
) -> dg.MaterializeResult[ConversionRecords]:
    """The org's leads whose outcome is known.

    Each lead gives one row for each age at which it was still open, and the features count only what had happened by
    that age. Leads without a known outcome are left out, and counted by reason.
    """
    with training_step(context, settings, registry) as step:
        return extracted(step.training, config.window(settings)).result()


def extracted(training: OrgTraining, window: Window) -> Made[ConversionRecords]:
    """Return the org's records in the window. Raises OrgChanged, SourceMismatch, DatabaseUnavailable."""
    check_same_customer(training.settings, training.registry, training.org_id)
    records = training.crm.conversion_records(training.org_id, window, log=training.log)
    if records.counts.unknown_statuses:
        training.log.warning(
            "%d moves lead to statuses that no setting names, and leave a lead open: %s; add them to"
            " CONVERSION_STATUSES, LOST_STATUSES or OPEN_STATUSES",
            sum(records.counts.unknown_statuses.values()),
            ", ".join(f"{status} ({moves:,})" for status, moves in records.counts.unknown_statuses.items()),
        )
    training.log.info("extracted %d records in %d rows", records.counts.records, records.counts.rows)
    metadata = records_metadata(training.settings, training.org_id, records.counts, records.window)
    return Made(records, metadata, _hash_of(records.rows))


def _hash_of(rows: pd.DataFrame) -> str:
    """Return a hash of the rows' values, in their order."""
    return hashlib.sha256(pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes()).hexdigest()
