"""What Dagster finds when it loads us: the graph, its descriptions, and who starts runs."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from leadscore.errors import SourceMismatch
from leadscore.features import CONTRACT
from leadscore_assets import definitions

GRAPH = {
    "conversion_records": set(),
    "lead_features": {"conversion_records"},
    "trained_model": {"lead_features"},
    "evaluation": {"lead_features", "trained_model"},
    "active_model": {"evaluation"},
    "lead_scores": {"active_model"},
    "live_performance": {"lead_scores"},
    "retention": set(),
}


def test_the_assets_stand_in_the_datas_order(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()

    found = {
        key.path[-1]: {parent.path[-1] for parent in graph.get(key).parent_keys} for key in graph.get_all_asset_keys()
    }
    assert found == GRAPH


@pytest.mark.parametrize("asset", ["conversion_records", "lead_features"])
def test_a_table_has_the_contracts_columns(defs: dg.Definitions, asset: str) -> None:
    schema = defs.resolve_asset_graph().get(dg.AssetKey(asset)).metadata["dagster/column_schema"]

    assert [column.name for column in schema.columns] == ["lead_id", "landmark_days", "converted", *CONTRACT.names]


def test_steps_share_one_process(defs: dg.Definitions) -> None:
    """An interpreter per step would cost many times what the steps do."""
    assert defs.resolve_job_def("train").executor_def.name == "in_process"


def test_a_records_sql_that_is_not_there_is_refused_when_dagster_loads_us(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RECORDS_SQL", str(tmp_path / "none.sql"))

    with pytest.raises(SourceMismatch, match="Correct RECORDS_SQL, or unset it"):
        definitions.defs()
