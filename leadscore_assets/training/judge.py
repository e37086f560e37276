"""Judging a candidate: its report and the champion's on the same holdout leads, and the gate's decision."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from leadscore.artifact import Artifact
from leadscore.errors import Damaged, SourceMismatch, VersionNotFound
from leadscore.evaluation import EvaluationReport, Holdout, evaluate
from leadscore.gate import Judgement, Policy, Unevaluable, decide
from leadscore.registry import Registry
from leadscore_assets.training.features import FeatureRows, feature_matrix
from leadscore_assets.training.split import holdout_mask


def judge(
    registry: Registry, org_id: str, version: str, features: FeatureRows, policy: Policy, *, run_id: str | None = None
) -> Judgement:
    """Judge a version against the org's champion, store the judgement with it, and return it.

    A version is judged once: when that was done before, the stored judgement is returned. Raises SourceMismatch when
    `features` are not the rows that it was trained on, Damaged when its files are not as written.
    """
    stored = registry.judgement(org_id, version)
    if stored is not None:
        return stored
    candidate = registry.load(org_id, version)
    _check_same_records(candidate, features)
    report = report_on(candidate, features)
    champion = champion_report(registry, org_id, features)
    judgement = Judgement(
        report=report,
        champion=champion if isinstance(champion, EvaluationReport) else None,
        champion_problem=champion if isinstance(champion, Unevaluable) else None,
        decision=decide(report, champion, policy),
        manifest_sha256=registry.manifest_sha256(org_id, version),
        judged_at=datetime.now(UTC).isoformat(timespec="seconds"),
        run_id=run_id,
    )
    registry.record_judgement(org_id, version, judgement)
    return judgement


def _check_same_records(candidate: Artifact, features: FeatureRows) -> None:
    trained_on = candidate.manifest.counts.fingerprint
    if trained_on != features.counts.fingerprint:
        raise SourceMismatch(
            f"version {candidate.manifest.version} was trained on the records {trained_on[:12]}, but lead_features"
            f" holds {features.counts.fingerprint[:12]}; materialize trained_model again, then evaluation"
        )


def holdout_of(features: FeatureRows) -> Holdout:
    """Return who is in the holdout, at which age, and with which outcome."""
    rows = features.rows[holdout_mask(features.rows["lead_id"])]
    return Holdout(
        lead_ids=rows["lead_id"].to_numpy(dtype=str),
        landmark_days=rows["landmark_days"].to_numpy(dtype=np.int64),
        converted=rows["converted"].to_numpy(dtype=bool),
    )


def report_on(artifact: Artifact, features: FeatureRows) -> EvaluationReport:
    """Return how good `artifact` is on the holdout of `features`, computed by the version's own contract."""
    rows = features.rows[holdout_mask(features.rows["lead_id"])]
    probabilities = artifact.forest.probabilities(feature_matrix(rows, artifact.manifest.contract))
    return evaluate(artifact.manifest.version, probabilities, holdout_of(features), features.counts)


def champion_report(registry: Registry, org_id: str, features: FeatureRows) -> EvaluationReport | Unevaluable | None:
    """Return the active version's report on the holdout of `features`, why there is none, or None without one."""
    pointer = registry.active(org_id)
    if pointer is None:
        return None
    try:
        champion = registry.load(org_id, pointer.version, pointer.manifest_sha256)
    except (Damaged, VersionNotFound) as error:
        return Unevaluable(pointer.version, error.message)
    gone = sorted(set(champion.manifest.contract.names) - set(features.rows.columns))
    if gone:
        return Unevaluable(pointer.version, f"its features {', '.join(gone)} are no longer extracted")
    return report_on(champion, features)
