"""What the core's tests share: a small forest, versions made of it, and reports and judgements of chosen figures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leadscore.comparison import Baseline, Comparison, Difference, Estimate
from leadscore.evaluation import ConfusionMatrix, EvaluationReport, Metrics
from leadscore.features import CONTRACT
from leadscore.forest import LEAF, Forest
from leadscore.formats import FORMAT
from leadscore.gate import Decision, Judgement, Reason, Verdict
from leadscore.records import RecordCounts, Window
from leadscore.registry.safetensors import encode_arrays
from leadscore.registry.store import Registry
from leadscore.registry.version import ENGINE_FILE, FOREST_FILE, Importance, Manifest, Split, encode_forest

ORG = "acme"
OWN = Baseline("own", "20260315060000")


def _forest(value_on_the_right: float = 0.75) -> Forest:
    """Make one tree: lead_source_score <= 1.5 gives 0.25, more gives `value_on_the_right`."""
    return Forest(
        feature=np.array([0, LEAF, LEAF], np.int16),
        threshold=np.array([1.5, 0, 0], np.float32),
        left=np.array([1, LEAF, LEAF], np.int32),
        right=np.array([2, LEAF, LEAF], np.int32),
        missing_goes_left=np.array([True, False, False]),
        value=np.array([(0.25 + value_on_the_right) / 2, 0.25, value_on_the_right]),
        cover=np.array([8.0, 4.0, 4.0]),
        roots=np.array([0], np.int32),
    )


def _manifest(org_id: str, version: str, files: dict[str, str], **changed: Any) -> Manifest:
    known: dict[str, Any] = {
        "format": FORMAT,
        "org_id": org_id,
        "version": version,
        "created_at": "2026-03-15T06:00:00+00:00",
        "run_id": "run-1",
        "contract": CONTRACT,
        "contract_fingerprint": CONTRACT.fingerprint,
        "window": Window(datetime(2026, 3, 15, tzinfo=UTC), 183, 90, ("WON",), (0, 1, 3)),
        "counts": RecordCounts(200, 80, 500, {"still_open": 7}, "c0ffee", {"null": 1}, "f00d"),
        "split": Split(0.2, 160, 400, 40, 100),
        "parameters": {"n_estimators": 1},
        "importance": (Importance("lead_source_score", 0.25),),
        "code_version": "abc",
        "libraries": {"numpy": "2"},
        "files": files,
    }
    return Manifest(**(known | changed))


def _publish(registry: Registry, org_id: str = ORG, forest: Forest | None = None) -> str:
    forest = forest or _forest()
    files = {
        FOREST_FILE: encode_forest(forest),
        ENGINE_FILE: encode_arrays(forest.scorer.to_arrays()),
        "model.joblib": b"an estimator",
    }
    return registry.publish(org_id, files, lambda version, hashes: _manifest(org_id, version, hashes)).version


def _report(
    version: str = "20260315060000",
    *,
    records: int = 200,
    converted_records: int = 80,
    holdout_records: int = 40,
    holdout_converted_records: int = 16,
    roc_auc: float | None = 0.75,
    brier_score: float = 0.25,
) -> EvaluationReport:
    metrics = Metrics(0.5, 0.5, 0.5, roc_auc, 0.5, brier_score, 0.6, 0.5, ConfusionMatrix(1, 1, 1, 1))
    counts = (records, converted_records, holdout_records, holdout_converted_records)
    return EvaluationReport(version, *counts, 100, metrics, (), (), (), ())


def _comparison(
    *,
    against: Baseline = OWN,
    roc_auc: tuple[float, float] = (0.75, 0.75),
    ranks_better: float = 0.5,
    brier_score: tuple[float, float] = (0.25, 0.25),
    fits_better: float = 0.5,
    log_loss: tuple[float, float] = (0.5, 0.5),
    shared_window: float = 1.0,
    when_judged: float | None = None,
) -> Comparison:
    """Compare figures given as (candidate's, baseline's), with intervals of an eighth's width."""
    return Comparison(
        baseline=against.stored,
        leads=40,
        resamples=1_000,
        roc_auc=_difference(*roc_auc, roc_auc[0] - roc_auc[1], ranks_better),
        brier_score=_difference(*brier_score, brier_score[1] - brier_score[0], fits_better),
        log_loss=_difference(*log_loss, log_loss[1] - log_loss[0], 0.5),
        shared_window=shared_window,
        baseline_when_judged=None if when_judged is None else _estimate(when_judged),
    )


def _estimate(value: float) -> Estimate:
    return Estimate(value, value - 0.0625, value + 0.0625)


def _difference(candidate: float, baseline: float, gain: float, probability_better: float) -> Difference:
    ours, theirs, gained = map(_estimate, (candidate, baseline, gain))
    return Difference(ours, theirs, gained, probability_better)


def _judge(
    registry: Registry,
    version: str,
    verdict: Verdict = "activate",
    org_id: str = ORG,
    withheld: tuple[Reason, ...] = (),
) -> Judgement:
    champion = registry.active(org_id)
    judgement = Judgement(
        report=_report(version),
        champion=_report(champion.version) if champion else None,
        champion_problem=None,
        decision=Decision(verdict, (Reason("some_code", f"Because it is to {verdict}", 0.75, 0.5),)),
        manifest_sha256=registry.manifest_sha256(org_id, version),
        judged_at="2026-03-15T06:00:01+00:00",
        run_id=None,
        withheld=withheld,
    )
    registry.record_judgement(org_id, version, judgement)
    return judgement


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Give a registry in a folder that does not exist yet."""
    return Registry(tmp_path / "models")


@pytest.fixture(scope="session")
def make_forest() -> Callable[..., Forest]:
    """Give `make_forest(value_on_the_right=0.75)`, a forest of one split."""
    return _forest


@pytest.fixture
def arrays() -> dict[str, Any]:
    """Give the arrays of a forest."""
    return _forest().to_arrays()


@pytest.fixture(scope="session")
def make_manifest() -> Callable[..., Manifest]:
    """Give `make_manifest(org_id, version, files, **changed)`."""
    return _manifest


@pytest.fixture(scope="session")
def publish() -> Callable[..., str]:
    """Give `publish(registry, org_id="acme", forest=None)`, which returns the version."""
    return _publish


@pytest.fixture(scope="session")
def make_report() -> Callable[..., EvaluationReport]:
    """Give `make_report(version, **figures)`."""
    return _report


@pytest.fixture(scope="session")
def make_comparison() -> Callable[..., Comparison]:
    """Give `make_comparison(**figures)`; `against=BASE_RATE` compares with the base rate."""
    return _comparison


@pytest.fixture(scope="session")
def judge() -> Callable[..., Judgement]:
    """Give `judge(registry, version, verdict="activate", org_id="acme", withheld=())`, which returns what it stores.

    The version is judged against the one that is active.
    """
    return _judge
