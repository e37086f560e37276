"""What a step made is the same for Dagster as a result and as an event, except for tables and pictures."""

from __future__ import annotations

import dagster as dg

from leadscore_assets.assets.org_training import Made
from leadscore_assets.training.provenance import code_version

TABLE = dg.MetadataValue.table([dg.TableRecord({"age": 1})], dg.TableSchema([dg.TableColumn("age", "int")]))


def test_an_event_has_the_figures_and_the_versions_that_dagster_needs_for_freshness() -> None:
    made = Made(7, {"records": 3, "verdict": "hold", "by_age": TABLE, "curve": dg.MetadataValue.md("~")}, "content")
    result = made.result()
    assert (result.value, dict(result.metadata or {})) == (7, dict(made.metadata))
    event = made.event(dg.AssetKey("evaluation"), "acme", {dg.AssetKey("trained_model"): "20260101"})
    assert (event.partition, {name: value.value for name, value in event.metadata.items()}) == (
        "acme",
        {"records": 3, "verdict": "hold"},
    )
    assert event.tags == {
        "dagster/data_version": "content",
        "dagster/code_version": code_version(),
        "dagster/input_data_version/trained_model": "20260101",
        "dagster/input_event_pointer/trained_model": "NULL",
    }
