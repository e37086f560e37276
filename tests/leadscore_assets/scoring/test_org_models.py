"""The model that scores an org's leads is the one that the server serves: its own, else the pooled one, moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leadscore.errors import Damaged
from leadscore.pooling import POOLED
from leadscore.registry.activation import roll_back, withdraw
from leadscore_assets.scoring.org_models import OrgModels
from leadscore_assets.training.train import train
from tests.leadscore_assets.scored_org import ORG, Scored


@pytest.fixture
def pooled(scored: Scored) -> str:
    """Give the version of a pooled model that is active; its one org has a base rate."""
    features = scored.features()
    rows = features.rows.assign(crm_org_id=ORG)
    version = train(scored.registry, POOLED, replace(features, rows=rows)).version
    roll_back(scored.registry, POOLED, version, by="test", reason="a test", is_forced=True)
    return version


def test_the_orgs_own_version_comes_first(scored: Scored, pooled: str) -> None:
    model = OrgModels(scored.registry, is_pooling=True).of(ORG)
    assert model is not None
    assert (model.scope, model.name == pooled) == ("own", False)
    assert model.base_rate == model.version.manifest.counts.base_rate


def test_the_pooled_model_scores_at_the_orgs_base_rate(scored: Scored, pooled: str) -> None:
    (scored.registry.root / ORG / "active.json").unlink()
    models = OrgModels(scored.registry, is_pooling=True)
    known, unknown = models.of(ORG), models.of("another")
    assert known is not None
    assert unknown is not None
    assert (known.scope, known.name) == ("pooled", pooled)
    assert known.key != unknown.key
    assert known.base_rate == pytest.approx(known.version.scorer.base_value)
    assert OrgModels(scored.registry, is_pooling=False).of(ORG) is None


def test_a_withdrawn_org_does_not_get_the_base_rate_of_whoever_had_its_id(scored: Scored, pooled: str) -> None:
    withdraw(scored.registry, ORG, by="test", reason="a test")
    models = OrgModels(scored.registry, is_pooling=True)
    withdrawn, unknown = models.of(ORG), models.of("another")
    assert withdrawn is not None
    assert unknown is not None
    assert withdrawn.key == unknown.key


def test_the_pooled_model_is_read_once(scored: Scored, pooled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    models, reads = OrgModels(scored.registry, is_pooling=True), list[str]()
    load = scored.registry.load_for_scoring
    monkeypatch.setattr(
        scored.registry, "load_for_scoring", lambda owner, *rest: (reads.append(owner), load(owner, *rest))[1]
    )
    assert all(models.of(org_id) for org_id in ("a", "b", "c"))
    assert reads == [POOLED]


def test_a_damaged_version_scores_nothing(scored: Scored) -> None:
    [engine] = (scored.registry.root / ORG).glob("*/engine.safetensors")
    engine.write_bytes(engine.read_bytes()[:-1] + b"x")
    with pytest.raises(Damaged):
        scored.models.of(ORG)


def test_it_scores_as_the_loaded_version_does(scored: Scored) -> None:
    rows, model = scored.features().matrix()[:50], scored.model
    loaded = scored.registry.load(ORG, model.name)
    assert np.array_equal(model.version.scorer.probabilities(rows), loaded.scorer.probabilities(rows))
