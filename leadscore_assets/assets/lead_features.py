"""lead_features: the records' rows, checked and typed against the feature contract."""

import dagster as dg

from leadscore.features import CONTRACT
from leadscore.left_out import rows_in_words
from leadscore.settings import Settings
from leadscore_assets.assets.org_asset import org_asset
from leadscore_assets.dataset import ConversionRecords, FeatureRows
from leadscore_assets.metadata.figures import records_metadata, row_schema
from leadscore_assets.training.contract_check import check_rows


@org_asset("data", {"python", "pandas"}, {"dagster/column_schema": row_schema(CONTRACT)})
def lead_features(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    conversion_records: ConversionRecords,
) -> dg.MaterializeResult[FeatureRows]:
    """The rows that fulfil the feature contract.

    Rows that break it are set aside and counted by reason, never repaired.
    """
    features = check_rows(conversion_records, CONTRACT)
    if features.counts.set_aside:
        context.log.warning("%s; these rows were set aside", rows_in_words(features.counts))
    return dg.MaterializeResult(
        value=features,
        metadata=records_metadata(settings, context.partition_key, features.counts, features.window),
        data_version=dg.DataVersion(features.counts.fingerprint),
    )
