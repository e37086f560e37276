"""lead_scores: one org's scoring as Dagster shows it, and what its configuration may ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from leadscore.errors import InvalidInput
from leadscore.pooling import POOLED
from leadscore.settings import Settings
from leadscore_assets.assets.lead_scores import ScoringConfig
from leadscore_assets.definitions import build_defs
from tests.leadscore_assets.run_results import data_version, failure_text, metadata_of
from tests.leadscore_assets.scored_org import NOW, ORG, Scored


def materialize(settings: Settings, org_id: str = ORG, **config: Any) -> dg.ExecuteInProcessResult:
    job = build_defs(settings).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("orgs", [org_id])
        return job.execute_in_process(
            instance=instance,
            partition_key=org_id,
            asset_selection=[dg.AssetKey("lead_scores")],
            run_config={"ops": {"lead_scores": {"config": {"as_of": NOW.isoformat(), **config}}}},
            raise_on_error=False,
        )


def test_the_partition_shows_counts_grades_and_the_first_calls(scored: Scored) -> None:
    result = materialize(scored.settings)
    shown = metadata_of(result, "lead_scores")
    rows = scored.value("SELECT count(*) FROM leadscore.lead_score")
    assert shown["dagster/row_count"] == shown["changed_rows"] == rows
    assert shown["open_leads"] == rows + sum(shown["left_out"].values())
    assert (shown["version"], shown["model_scope"]) == (scored.model.name, "own")
    first = shown["first_calls"].records[0].data
    assert (first["rank"], first["grade"]) == (1, "A")
    assert "points" in first["reasons"]
    assert shown["call_list"].endswith(f"/api/v1/leads?org_id={ORG}")


def test_the_same_scores_have_the_same_data_version(scored: Scored) -> None:
    first = data_version(materialize(scored.settings), "lead_scores")
    again = materialize(scored.settings)
    assert data_version(again, "lead_scores") == first
    assert metadata_of(again, "lead_scores")["changed_rows"] == 0
    scored.train_another()
    assert data_version(materialize(scored.settings), "lead_scores") != first


def test_a_full_scoring_says_which_rows_were_wrong(scored: Scored, capfd: pytest.CaptureFixture[str]) -> None:
    scored.score()
    scored.connection.execute(
        "UPDATE leadscore.lead_score SET contributions[2] = 0.5"
        " WHERE lead_id = (SELECT min(lead_id) FROM leadscore.lead_score)"
    )
    assert metadata_of(materialize(scored.settings, is_full=True), "lead_scores")["wrong_rows"] == 1
    assert "1 stored scores of org north differed from what the model says" in capfd.readouterr().err
    assert metadata_of(materialize(scored.settings, is_full=True), "lead_scores")["wrong_rows"] == 0


def test_the_pooled_models_partition_has_no_leads_of_its_own(scored: Scored) -> None:
    result = materialize(replace(scored.settings, pooled_model=True), POOLED)
    assert result.success
    assert metadata_of(result, "lead_scores") == {"note": "the leads are scored in the partitions of their orgs"}


def test_an_earlier_time_fails_in_words(scored: Scored) -> None:
    scored.score(days=1)
    result = materialize(scored.settings)
    assert not result.success
    assert "leave as_of out, or set replaces_later" in failure_text(result, "lead_scores")
    assert materialize(scored.settings, replaces_later=True).success


def test_a_time_that_is_none_is_refused(scored: Scored) -> None:
    with pytest.raises(InvalidInput, match="as_of must be a date or a time in ISO 8601"):
        ScoringConfig(as_of="soon").task(scored.settings, "run")
    with pytest.raises(InvalidInput, match="as_of must be a past time"):
        ScoringConfig(as_of="2999-01-01").task(scored.settings, "run")
