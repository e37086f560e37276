"""What all lanes share, by the one that scores: the orgs that a shard takes, those that fail, and the progress."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from leadscore.pooling import POOLED
from leadscore_assets.lanes import scoring
from leadscore_assets.scoring.score_org import Scoring, score_org
from tests.leadscore_assets.lanes.test_scoring import SOUTH, run, two_orgs
from tests.leadscore_assets.run_results import failure_text
from tests.leadscore_assets.scored_org import ORG, Scored

__all__ = ["two_orgs"]  # a fixture


def test_shards_divide_the_orgs(two_orgs: Scored, instance: dg.DagsterInstance) -> None:
    scored_orgs = []
    for shard in range(3):
        run(two_orgs, instance, shard=shard, shards=3)
        scored_orgs.append(sorted(org_id for (org_id,) in two_orgs.rows("SELECT org_id FROM leadscore.scoring_run")))
    assert scored_orgs == [[ORG], [ORG, SOUTH], [ORG, SOUTH]]


def test_an_org_that_fails_is_named_and_harms_no_other(two_orgs: Scored, instance: dg.DagsterInstance) -> None:
    [engine] = (two_orgs.registry.root / ORG).glob("*/engine.safetensors")
    engine.write_bytes(b"damaged")
    result = run(two_orgs, instance)
    assert not result.success
    assert failure_text(result, "score_shard").startswith("1 of 2 orgs could not be scored: north (")
    assert two_orgs.rows("SELECT org_id FROM leadscore.scoring_run") == [(SOUTH,)]


def test_a_defect_that_one_org_meets_harms_no_other_and_shows_no_data(
    two_orgs: Scored, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(connection: Any, models: Any, org_id: str, task: Any) -> Scoring:
        if org_id == ORG:
            raise ValueError("jane@example.com")
        return score_org(connection, models, org_id, task)

    monkeypatch.setattr(scoring, "score_org", failing)
    result = run(two_orgs, instance)
    text = failure_text(result, "score_shard")
    assert text.startswith("1 of 2 orgs could not be scored: north (ValueError in test_lane.py, line ")
    assert "jane" not in text
    assert two_orgs.rows("SELECT org_id FROM leadscore.scoring_run") == [(SOUTH,)]


def test_an_org_that_nobody_knows_is_refused_before_anything_is_done(
    two_orgs: Scored, instance: dg.DagsterInstance
) -> None:
    before = instance.get_dynamic_partitions("orgs")
    result = run(two_orgs, instance, org_ids=[ORG, "nroth", POOLED])
    assert failure_text(result, "score_shard").startswith(
        "2 of the named orgs have no lead in the CRM, and were never scored: _pooled; nroth."
    )
    assert (instance.get_dynamic_partitions("orgs"), two_orgs.rows("SELECT * FROM leadscore.scoring_run")) == (
        before,
        [],
    )


def test_only_the_named_orgs_are_scored(two_orgs: Scored, instance: dg.DagsterInstance) -> None:
    run(two_orgs, instance, org_ids=[ORG])
    assert two_orgs.rows("SELECT org_id FROM leadscore.scoring_run") == [(ORG,)]


def test_the_log_tells_how_far_it_is(
    two_orgs: Scored, instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    run(two_orgs, instance)
    leads = two_orgs.value("SELECT count(*) FROM leadscore.lead_score")
    assert f"2 of 2 orgs, {leads} leads, {leads} rows written, 0 failed; about 0 s left" in capfd.readouterr().err
