"""lead_features: rows that break the contract are set aside, and every refusal says so in the same words."""

from __future__ import annotations

import logging
from typing import Any

import dagster as dg
import pytest

from leadscore.records import window_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.metadata.readiness_plan import plan_for
from leadscore_assets.source.database import connect
from tests.leadscore_assets.conftest import NOW
from tests.leadscore_assets.run_results import check, failure_text, metadata_of

REFUSAL = (
    "53 of 100 records with a known outcome. 1,409 of 1,652 rows have property_price below 0; these rows were set"
    " aside, so 309 of 362 records were lost. Correct the values in the CRM, or treat them as unknown"
    " (docs/training.md#values-outside-the-contract)."
)


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


@pytest.fixture
def spoilt(train: Any, crm_settings: Settings) -> dg.ExecuteInProcessResult:
    """Give a training of an org all of whose listings have a price of -1."""
    spoil(crm_settings, "org_id = 'sound'")
    result: dg.ExecuteInProcessResult = train("sound")
    return result


def test_a_refusal_says_which_values_cost_its_records_wherever_it_is_read(
    spoilt: dg.ExecuteInProcessResult, train: Any, registry: Registry
) -> None:
    [version] = registry.versions("sound")
    judgement = registry.judgement("sound", version)
    assert judgement is not None
    assert judgement.decision.text == REFUSAL
    assert metadata_of(spoilt, "evaluation")["reasons"] == REFUSAL
    minimum = check(spoilt, "minimum_records")
    assert (minimum.description, minimum.metadata["reasons"].value) == (f"Refused: {REFUSAL}", REFUSAL)
    assert failure_text(train("sound", only=["active_model"]), "active_model") == REFUSAL


def test_the_asset_and_readiness_have_the_rows_with_their_share_and_the_records_lost(
    spoilt: dg.ExecuteInProcessResult, crm_settings: Settings
) -> None:
    shown = metadata_of(spoilt, "lead_features")
    assert [dict(record.data) for record in shown["set_aside"].records] == [
        {"reason": "property_price below 0", "rows": 1409, "share": "85.3%"}
    ]
    assert (shown["set_aside_rows"], shown["lost_records"], shown["records"]) == (1409, 309, 53)
    with connect(crm_settings) as connection:
        connection.execute("UPDATE leadscore.materializations SET stored_at = '2026-06-01 02:00+00'")
    plan = plan_for(crm_settings, "sound", window_from(crm_settings, NOW), logging.getLogger("test"))
    assert plan is not None
    assert (plan.is_ready, plan.has_enough) == (False, True)
    assert plan.message == (
        "362 records with a known outcome would be enough, but in the last run, of 2026-06-01, 1,409 of 1,652 rows had"
        " property_price below 0, and 53 of 362 records were left (100 needed). Correct the values in the CRM, or treat"
        " them as unknown (docs/training.md#values-outside-the-contract); then train again; the run checks the values"
        " again."
    )
