"""lead_features: the records' rows, checked and typed against the feature contract."""

import dagster as dg

from leadscore.features import CONTRACT
from leadscore.left_out import rows_in_words
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.assets.org_asset import org_asset
from leadscore_assets.assets.org_training import Made, OrgTraining
from leadscore_assets.assets.training_step import training_step
from leadscore_assets.dataset import ConversionRecords, FeatureRows
from leadscore_assets.metadata.figures import records_metadata, row_schema
from leadscore_assets.training.contract_check import check_rows


@org_asset("data", {"python", "pandas"}, {"dagster/column_schema": row_schema(CONTRACT)})
def lead_features(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[Registry],
    conversion_records: ConversionRecords,
) -> dg.MaterializeResult[FeatureRows]:
    """The rows that fulfil the feature contract.

    Rows that break it are set aside and counted by reason, never repaired.
    """
    with training_step(context, settings, registry) as step:
        return checked(step.training, conversion_records).result()


def checked(training: OrgTraining, records: ConversionRecords) -> Made[FeatureRows]:
    """Return the records' rows that fulfil the feature contract."""
    features = check_rows(records, CONTRACT)
    if features.counts.set_aside:
        training.log.warning("%s; these rows were set aside", rows_in_words(features.counts))
    metadata = records_metadata(training.settings, training.org_id, features.counts, features.window)
    return Made(features, metadata, features.counts.fingerprint)
