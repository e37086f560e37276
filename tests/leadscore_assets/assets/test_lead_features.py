"""lead_features: rows that break the contract are set aside."""

from __future__ import annotations

from typing import Any

from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.source.database import connect
from tests.leadscore_assets.run_results import metadata_of


def spoil(settings: Settings, listings: str) -> None:
    """Give listings a price of -1, which many CRMs write for "on request"."""
    with connect(settings) as connection:
        connection.execute(f"UPDATE annonce SET price = -1 WHERE {listings}")


def test_bad_rows_are_set_aside_and_counted(train: Any, crm_settings: Settings, registry: Registry) -> None:
    """A listing with a negative price costs its leads' rows, not the org's training."""
    spoil(
        crm_settings,
        "org_id = 'sound' AND id IN (SELECT annonce_id FROM dossier WHERE org_id = 'sound' AND annonce_id IS NOT NULL"
        " AND created_at > '2026-02-01' ORDER BY id LIMIT 3)",
    )

    result = train("sound")

    assert result.success
    [version] = registry.versions("sound")
    counts = registry.manifest("sound", version).counts
    assert set(counts.set_aside) == {"property_price below 0"}
    assert counts.set_aside_rows == counts.set_aside["property_price below 0"] > 0
    shown = metadata_of(result, "lead_features")
    assert (shown["set_aside_rows"], shown["lost_records"]) == (counts.set_aside_rows, counts.lost_records)
    assert counts.read_rows == metadata_of(result, "conversion_records")["dagster/row_count"]
    assert counts.read_records == metadata_of(result, "conversion_records")["records"]


def test_the_asset_has_the_rows_with_their_share_and_the_records_lost(train: Any, crm_settings: Settings) -> None:
    spoil(crm_settings, "org_id = 'sound'")
    shown = metadata_of(train("sound"), "lead_features")
    assert [dict(record.data) for record in shown["set_aside"].records] == [
        {"reason": "property_price below 0", "rows": 1409, "share": "85.3%"}
    ]
    assert (shown["set_aside_rows"], shown["lost_records"], shown["records"]) == (1409, 309, 53)
