"""lead_features: rows that break the contract are set aside."""

from __future__ import annotations

from typing import Any

from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from tests.leadscore_assets.run_results import metadata_of


def test_bad_rows_are_set_aside_and_counted(train: Any, crm_settings: Settings, registry: Registry) -> None:
    """A listing with a negative price costs its leads' rows, not the org's training."""
    with connect(crm_settings) as connection:
        connection.execute(
            "UPDATE annonce SET price = -1 WHERE org_id = 'sound' AND id IN"
            " (SELECT annonce_id FROM dossier WHERE org_id = 'sound' AND annonce_id IS NOT NULL"
            "  AND created_at > '2026-02-01' ORDER BY id LIMIT 3)"
        )

    result = train("sound")

    assert result.success
    assert metadata_of(result, "lead_features")["set_aside_rows"] > 0
    [version] = registry.versions("sound")
    counts = registry.manifest("sound", version).counts
    assert set(counts.set_aside) == {"property_price_out_of_range"}
    assert (
        counts.rows + counts.set_aside["property_price_out_of_range"]
        == metadata_of(result, "conversion_records")["dagster/row_count"]
    )
