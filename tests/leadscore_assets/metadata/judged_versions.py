"""Versions and judgements of chosen figures, for what people see of an org's history."""

from __future__ import annotations

from datetime import UTC, datetime

from leadscore.comparison import BASE_RATE, Comparison, Difference, Estimate
from leadscore.evaluation import ConfusionMatrix, EvaluationReport, Metrics
from leadscore.features import CONTRACT
from leadscore.formats import FORMAT
from leadscore.gate import Decision, Judgement, Reason, Verdict
from leadscore.records import RecordCounts, Window
from leadscore.registry.store import Registry
from leadscore.registry.version import Manifest, Split

ORG = "acme"


def manifest(version: str, files: dict[str, str]) -> Manifest:
    """Return a version's manifest of 1,200 records."""
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
    """Add a version that was not judged."""
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
