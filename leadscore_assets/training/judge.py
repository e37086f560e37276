"""Judges a candidate: compares it with the champion on the same holdout leads, and lets the gate decide.

An org that the pooled model serves has no champion, and its candidate is compared with the pooled model, as the org is
served by it. Which leads are held out depends on their ids alone, so neither model was trained on the holdout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from leadscore.arrays import Floats
from leadscore.comparison import BASE_RATE, Baseline, Comparison, Estimate, compare
from leadscore.errors import Damaged, SourceMismatch, UnsupportedFormat, VersionNotFound, VersionRemoved
from leadscore.evaluation import EvaluationReport, Holdout, evaluate, has_both_outcomes
from leadscore.gate import Judgement, Policy, Unevaluable, decide, withheld
from leadscore.left_out import causes_of
from leadscore.pooling import is_of_the_org, moved
from leadscore.records import Window
from leadscore.registry.active_model import ActiveModel, active_model, as_served_to
from leadscore.registry.store import Registry
from leadscore.registry.version import LoadedVersion, Manifest
from leadscore_assets.dataset import FeatureRows, feature_matrix
from leadscore_assets.training.one_core import on_one_core
from leadscore_assets.training.teacher import kept_teacher


@dataclass(frozen=True)
class Judged:
    """A version on the holdout: its probabilities, shape (rows,), its report, and the window that it was trained on.

    `as_baseline` is what a candidate is compared with when it is compared with this version. `when_judged` is the
    ROC-AUC that the org's own active version had on its own holdout, when it was judged. `is_taught` when it is the
    pooled model taught by the org's leads.
    """

    as_baseline: Baseline
    probabilities: Floats
    report: EvaluationReport
    window: Window
    when_judged: Estimate | None = None
    is_taught: bool = False


class Judging(NamedTuple):
    """A judgement that is not stored yet, with what it was made from; the last two have the shape (holdout rows,).

    `champion` holds the probabilities that the org's own active version gives; None where it has none. `untaught` holds
    what the pooled version that the candidate stands on would give; None where it stands on none.
    """

    judgement: Judgement
    candidate: LoadedVersion
    features: FeatureRows
    champion: Floats | None
    untaught: Floats | None = None


def judge(
    registry: Registry,
    org_id: str,
    version: str,
    features: FeatureRows,
    policy: Policy,
    *,
    run_id: str | None = None,
    is_pooling: bool = False,
    is_trial: bool = False,
) -> Judging:
    """Judge a version against the one that scores the org's leads now; the registry is only read.

    With `is_pooling` that may be the pooled model. `is_trial` withholds the version from activation. Raises
    SourceMismatch when `features` are not the rows that the version was trained on, Damaged when its files are not as
    written.
    """
    artifact = registry.load(org_id, version)
    _check_same_records(artifact, features)
    candidate, baseline = judged(artifact, features), judged_baseline(registry, org_id, features, is_pooling=is_pooling)
    champion = baseline if isinstance(baseline, Judged) and baseline.as_baseline.kind == "own" else None
    with on_one_core():
        comparison = compared(candidate, baseline, features)
    problem = baseline if isinstance(baseline, Unevaluable) else None
    judgement = Judgement(
        report=candidate.report,
        champion=champion.report if champion else None,
        champion_problem=problem,
        decision=decide(candidate.report, comparison, problem, policy, causes_of(features.counts)),
        manifest_sha256=registry.manifest_sha256(org_id, version),
        judged_at=datetime.now(UTC).isoformat(timespec="seconds"),
        run_id=run_id,
        comparison=comparison,
        withheld=withheld(artifact.manifest.window.as_of, _as_of_active(registry, org_id), is_trial=is_trial),
    )
    untaught = untaught_probabilities(registry, org_id, artifact.manifest, features)
    return Judging(judgement, artifact, features, champion.probabilities if champion else None, untaught)


def untaught_probabilities(registry: Registry, org_id: str, manifest: Manifest, features: FeatureRows) -> Floats | None:
    """Return what the pooled version that a version stands on would say of the holdout, shape (rows,); None for none.

    It is moved to the org's base rate, as it would serve the org.
    """
    teacher = kept_teacher(registry, org_id, manifest)
    if teacher is None:
        return None
    values = moved(teacher.forest.value, manifest.parameters["log_odds_step"])
    ends = teacher.forest.ends(feature_matrix(features.rows[features.holdout_mask()], manifest.contract))
    probabilities: Floats = values[ends].mean(axis=1)
    return probabilities


def _as_of_active(registry: Registry, org_id: str) -> datetime | None:
    """Return the `as_of` of the org's own active version; None where there is none, or it can no longer be read."""
    pointer = registry.active(org_id)
    try:
        return registry.manifest(org_id, pointer.version).window.as_of if pointer else None
    except UnsupportedFormat:
        raise
    except (Damaged, VersionNotFound):
        return None  # leads cannot be scored by it either, so any version that passes replaces it


def _check_same_records(candidate: LoadedVersion, features: FeatureRows) -> None:
    trained_on = candidate.manifest.counts.fingerprint
    if trained_on != features.counts.fingerprint:
        raise SourceMismatch(
            f"version {candidate.manifest.version} was trained on records with the fingerprint {trained_on[:12]}, but"
            f" lead_features has {features.counts.fingerprint[:12]}; materialize trained_model again, then evaluation"
        )


def holdout_of(features: FeatureRows) -> Holdout:
    """Return who is in the holdout, at which age, and with which outcome."""
    rows = features.rows[features.holdout_mask()]
    return Holdout(
        lead_ids=rows["lead_id"].to_numpy(dtype=str),
        landmark_days=rows["landmark_days"].to_numpy(dtype=np.int64),
        converted=rows["converted"].to_numpy(dtype=bool),
    )


def judged(artifact: LoadedVersion, features: FeatureRows) -> Judged:
    """Return how good `artifact` is on the holdout of `features`, computed by the version's own contract."""
    rows = features.rows[features.holdout_mask()]
    probabilities = artifact.scorer.probabilities(feature_matrix(rows, artifact.manifest.contract))
    report = evaluate(artifact.manifest.version, probabilities, holdout_of(features), features.counts)
    baseline, is_taught = Baseline("own", report.version), artifact.scope == "taught"
    return Judged(baseline, probabilities, report, artifact.manifest.window, is_taught=is_taught)


def judged_baseline(
    registry: Registry, org_id: str, features: FeatureRows, *, is_pooling: bool
) -> Judged | Unevaluable | None:
    """Return the version that scores the org's leads now, on the holdout of `features`, as the org is served by it.

    Where it cannot be evaluated, return why; None where no version scores them. Raises Damaged when the org's own
    pointer is, UnsupportedFormat when a newer release wrote what is asked for.
    """
    own = registry.active(org_id)
    try:
        model = active_model(
            org_id, lambda owner: own if owner == org_id else registry.active(owner), is_pooling=is_pooling
        )
    except UnsupportedFormat:
        raise
    except Damaged as error:
        return Unevaluable("of unknown version", error.message, "pooled")
    if model is None:
        return None
    version = _evaluable(registry, model, features)
    if isinstance(version, Unevaluable):
        return version
    served = judged(as_served_to(org_id, version, registry.org_record(org_id)), features)
    is_own = is_of_the_org(model.scope)
    when_judged = _roc_auc_when_judged(registry, model) if is_own else None
    baseline = Baseline("own" if is_own else "pooled", model.pointer.version)
    return replace(served, as_baseline=baseline, when_judged=when_judged)


def _roc_auc_when_judged(registry: Registry, model: ActiveModel) -> Estimate | None:
    """Return the ROC-AUC with which a version was judged; None where nothing was compared, or it cannot be read."""
    try:
        judgement = registry.judgement(model.owner, model.pointer.version)
    except UnsupportedFormat:
        raise  # a newer release can read it; to judge without it would lower the bar
    except Damaged:
        return None  # the version scores leads all the same, and its holdout of then cannot be had again
    return judgement.comparison.roc_auc.candidate if judgement and judgement.comparison else None


def _evaluable(registry: Registry, model: ActiveModel, features: FeatureRows) -> LoadedVersion | Unevaluable:
    """Return the version that is active, or why it cannot be evaluated on `features`."""
    pointer = model.pointer
    try:
        version = registry.load(model.owner, pointer.version, pointer.manifest_sha256)
    except UnsupportedFormat:
        raise  # a newer release can evaluate it; to judge without it would lower the bar
    except (Damaged, VersionNotFound, VersionRemoved) as error:
        return Unevaluable(pointer.version, error.message, model.scope)
    gone = sorted(set(version.manifest.contract.names) - set(features.rows.columns))
    if gone:
        return Unevaluable(pointer.version, f"its features {', '.join(gone)} are no longer extracted", model.scope)
    return version


def compared(candidate: Judged, baseline: Judged | Unevaluable | None, features: FeatureRows) -> Comparison | None:
    """Compare with `baseline` or, without one, with the base rate; None when the holdout has one class only.

    The base rate is the share of converted rows outside the holdout: what a model could know before it is judged.
    """
    holdout = holdout_of(features)
    if not has_both_outcomes(holdout.converted):
        return None
    if isinstance(baseline, Judged):
        return compare(
            candidate.probabilities,
            baseline.probabilities,
            holdout,
            against=baseline.as_baseline,
            shared_window=candidate.window.share_seen_in(baseline.window),
            is_taught=candidate.is_taught,
            baseline_when_judged=baseline.when_judged if candidate.window.asks_as(baseline.window) else None,
        )
    base_rate = float(features.outcomes()[~features.holdout_mask()].mean())
    return compare(candidate.probabilities, np.full(len(holdout.converted), base_rate), holdout, against=BASE_RATE)
