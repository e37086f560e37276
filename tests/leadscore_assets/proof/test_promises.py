"""What versions promised is read from their judgements; of the pooled model nothing is told to an org."""

from __future__ import annotations

import msgspec

from leadscore.gate import policy_from
from leadscore.pooling import StandsOn
from leadscore_assets.proof.promises import UNKNOWN, Promises
from leadscore_assets.training.judge import judge
from tests.leadscore_assets.scored_org import ORG, Scored


def test_the_figures_are_those_of_the_holdout(scored: Scored) -> None:
    version, features = scored.model.name, scored.features()
    promises = Promises(scored.registry)
    assert promises.of(ORG, version, "own") == UNKNOWN
    judging = judge(scored.registry, ORG, version, features, policy_from(scored.settings))
    scored.registry.record_judgement(ORG, version, judging.judgement, {})
    metrics = judging.judgement.report.metrics
    assert promises.of(ORG, version, "own") == (
        metrics.brier_score,
        metrics.roc_auc,
        judging.judgement.decision.verdict,
    )
    assert promises.of(ORG, version, "pooled") == UNKNOWN


def test_a_shadow_is_the_orgs_own_or_one_that_it_taught(scored: Scored) -> None:
    promises, own = Promises(scored.registry), scored.model.version.manifest
    taught = scored.registry.publish(
        ORG,
        {name: scored.registry.file(ORG, own.version, name) for name in own.files},
        lambda version, hashes: msgspec.structs.replace(
            own, version=version, files=hashes, stands_on=StandsOn("20260101000000", "c0ffee")
        ),
    )
    assert promises.scope(ORG, own.version) == "own"
    assert promises.scope(ORG, taught.version) == "taught"
    assert promises.scope(ORG, "20200101000000") == "own"


def test_a_version_that_is_gone_or_damaged_promised_nothing_that_is_known(scored: Scored) -> None:
    promises = Promises(scored.registry)
    assert promises.of(ORG, "20200101000000", "own") == UNKNOWN
    assert not promises.asks_otherwise(ORG, "20200101000000", "own", scored.window())
    (scored.registry.root / ORG / scored.model.name / "evaluation.json").write_text("{")
    assert promises.of(ORG, scored.model.name, "own") == UNKNOWN


def test_a_version_asks_otherwise_when_its_conversion_window_is_another(scored: Scored) -> None:
    promises, window = Promises(scored.registry), scored.window()
    assert not promises.asks_otherwise(ORG, scored.model.name, "own", window)
    other = msgspec.structs.replace(window, conversion_window_days=30)
    assert promises.asks_otherwise(ORG, scored.model.name, "own", other)
