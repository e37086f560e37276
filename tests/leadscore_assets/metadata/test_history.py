"""An org's versions over time: in their order, with intervals, and odd ones told as such."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from leadscore.comparison import BASE_RATE, Comparison, Difference, Estimate
from leadscore.evaluation import ConfusionMatrix, EvaluationReport, Metrics
from leadscore.features import CONTRACT
from leadscore.formats import FORMAT
from leadscore.gate import Decision, Judgement, Reason, Verdict
from leadscore.records import RecordCounts, Window
from leadscore.registry.store import Pointer, Registry
from leadscore.registry.version import Manifest, Split
from leadscore_assets.metadata.history import DAMAGED, MOST_VERSIONS, NOT_JUDGED, past_versions, table_rows
from leadscore_assets.metadata.pictures import versions_picture

ORG = "acme"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def manifest(version: str, files: dict[str, str]) -> Manifest:
    return Manifest(
        format=FORMAT,
        org_id=ORG,
        version=version,
        created_at="2026-03-15T06:00:00+00:00",
        run_id=None,
        contract=CONTRACT,
        contract_fingerprint=CONTRACT.fingerprint,
        window=Window(datetime(2026, 3, 15, tzinfo=UTC), 183, 90, ("WON",), (0, 1, 3)),
        counts=RecordCounts(1200, 80, 500, {}, "c0ffee"),
        split=Split(0.2, 160, 400, 40, 100),
        parameters={},
        importance=(),
        code_version="abc",
        libraries={},
        files=files,
    )


def published(registry: Registry) -> str:
    return registry.publish(ORG, {"model.joblib": b"an estimator"}, manifest).version


def judged(registry: Registry, verdict: Verdict = "hold", *, auc: Estimate | None = None) -> str:
    """Add a judged version; with `auc` its comparison is stored too."""
    version = published(registry)
    metrics = Metrics(0.5, 0.5, 0.5, 0.75, 0.5, 0.2, 0.6, 0.5, ConfusionMatrix(1, 1, 1, 1))
    both = Difference(auc, auc, auc, 0.5) if auc else None
    judgement = Judgement(
        report=EvaluationReport(version, 200, 80, 40, 16, 100, metrics, (), (), (), ()),
        champion=None,
        champion_problem=None,
        decision=Decision(verdict, (Reason("code", "Because", 1, 0),)),
        manifest_sha256=registry.manifest_sha256(ORG, version),
        judged_at="2026-03-15T06:00:01+00:00",
        run_id=None,
        comparison=Comparison(BASE_RATE.stored, 40, 1000, both, both, both) if both else None,
    )
    registry.record_judgement(ORG, version, judgement)
    return version


def test_versions_stand_in_their_order_with_their_decisions(registry: Registry) -> None:
    first, second, third = judged(registry, "activate"), judged(registry, "hold"), published(registry)
    with registry.exclusive(ORG):
        pointer = Pointer(first, None, "then", "a test", "a test", registry.manifest_sha256(ORG, first))
        registry.swap_pointer(ORG, pointer, registry.history(ORG))

    found = past_versions(registry, ORG)

    assert [past.version for past in found] == [first, second, third]
    assert [past.decision for past in found] == ["activate", "hold", NOT_JUDGED]
    assert [past.is_active for past in found] == [True, False, False]
    assert [row[0] for row in table_rows(found)] == [third, second, first]


def test_figures_have_their_intervals_where_they_were_stored(registry: Registry) -> None:
    judged(registry)
    judged(registry, auc=Estimate(0.7, 0.6, 0.8))

    newest, oldest = table_rows(past_versions(registry, ORG))

    assert newest[1:5] == ("2026-03-15", "1,200", "0.700 (0.600 to 0.800)", "0.700 (0.600 to 0.800)")
    assert oldest[3:5] == ("0.750", "0.200")


def test_a_damaged_version_is_told_as_such_and_hides_no_other(registry: Registry) -> None:
    damaged, sound = judged(registry), judged(registry)
    (registry.root / ORG / damaged / "evaluation.json").write_bytes(b"[]")

    found = past_versions(registry, ORG)

    assert [(past.version, past.decision) for past in found] == [(damaged, DAMAGED), (sound, "hold")]
    assert table_rows(found)[1] == (damaged, "", "", "", "", DAMAGED, "")
    assert versions_picture(found).value.startswith("![Versions over time](data:image/png;base64,")


def test_only_the_last_versions_are_shown(registry: Registry) -> None:
    versions = [published(registry) for _ in range(MOST_VERSIONS + 2)]

    assert [past.version for past in past_versions(registry, ORG)] == versions[2:]


def test_the_same_versions_give_the_same_picture(registry: Registry) -> None:
    judged(registry, auc=Estimate(0.7, 0.6, 0.8))
    found = past_versions(registry, ORG)

    assert versions_picture(found) == versions_picture(found)


def test_an_org_without_versions_has_no_history(registry: Registry) -> None:
    assert past_versions(registry, ORG) == []
