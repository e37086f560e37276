"""Split, fit and write a candidate version with its whole provenance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from leadscore.arrays import Flags, Floats, evenly_spread
from leadscore.engine.scorer import Scorer
from leadscore.evaluation import has_both_outcomes
from leadscore.features import Contract
from leadscore.forest import Forest
from leadscore.formats import FORMAT
from leadscore.pooling import StandsOn
from leadscore.registry.safetensors import compressed, encode_arrays
from leadscore.registry.store import Registry
from leadscore.registry.version import (
    BASE_VALUES_FILE,
    ENGINE_FILE,
    ESTIMATOR_FILE,
    FOREST_FILE,
    INPUT_BINS_FILE,
    POOLED_VALUES_FILE,
    Importance,
    Manifest,
    Split,
    encode_forest,
)
from leadscore_assets.dataset import ORG_COLUMN, FeatureRows, count_leads
from leadscore_assets.training.base_values import base_values_bytes
from leadscore_assets.training.estimator import estimator_bytes, estimator_of, flatten
from leadscore_assets.training.fit import fit
from leadscore_assets.training.input_bins import input_bins_bytes
from leadscore_assets.training.one_core import on_one_core
from leadscore_assets.training.provenance import code_version, library_versions
from leadscore_assets.training.shapes import COARSE, FINE
from leadscore_assets.training.snapshot import SNAPSHOT_FILE, snapshot_bytes
from leadscore_assets.training.split import HOLDOUT_SHARE, training_rows
from leadscore_assets.training.teacher import VALUES, Teacher
from leadscore_assets.training.teaching import Lesson
from leadscore_assets.training.teaching_strength import teaching_of

IMPORTANCE_ROWS = 100


@dataclass(frozen=True)
class Built:
    """The result of a training, which depends only on the rows, the contract, the code and the teacher, if any."""

    files: dict[str, bytes]
    parameters: dict[str, Any]
    importance: tuple[Importance, ...]
    split: Split
    stands_on: StandsOn | None


def build(features: FeatureRows, teacher: Teacher | None = None) -> Built:
    """Make a forest of the rows outside the holdout, and return the files and figures of a version.

    With a `teacher` it is the teacher's forest, taught by the rows; else one of their own. Raises ValueError when the
    training side has one class only; the gate's refusal comes before that.
    """
    if not has_both_outcomes(features.outcomes()[~features.holdout_mask()]):
        raise ValueError("the leads outside the holdout have one outcome only; a forest needs both")
    with on_one_core():
        return _built(features, _grown(features) if teacher is None else _taught(features, teacher))


def _built(features: FeatureRows, made: _Made) -> Built:
    scorer, is_holdout = made.forest.scorer, features.holdout_mask()
    return Built(
        files={
            FOREST_FILE: encode_forest(made.forest),
            ENGINE_FILE: encode_arrays(scorer.to_arrays()),
            ESTIMATOR_FILE: estimator_bytes(made.estimator),
            SNAPSHOT_FILE: compressed(snapshot_bytes(features.rows, features.contract)),
            **made.files,
            # what arrives for an org is not compared with what other orgs' leads are like
            **(
                {BASE_VALUES_FILE: base_values_bytes(scorer, features)}
                if ORG_COLUMN in features.rows
                else {INPUT_BINS_FILE: input_bins_bytes(scorer, features)}
            ),
        },
        parameters=made.parameters,
        importance=importances(scorer, features.contract, features.matrix()[is_holdout]),
        split=_split(features, is_holdout),
        stands_on=made.stands_on,
    )


class _Made(NamedTuple):
    """A forest, the same as an estimator, what made it, and files that only its kind has."""

    forest: Forest
    estimator: RandomForestClassifier
    parameters: dict[str, Any]
    files: dict[str, bytes]
    stands_on: StandsOn | None = None


def _grown(features: FeatureRows) -> _Made:
    """Return a forest that was grown on the rows outside the holdout; a pooled one with how it is to be taught."""
    rows, outcomes, leads = training_rows(features)
    is_pooled = ORG_COLUMN in features.rows
    fitted = fit(rows, outcomes, leads, COARSE if is_pooled else FINE)
    forest, parameters = flatten(fitted.estimator), fitted.parameters
    if is_pooled:
        org_ids = pd.factorize(features.rows[ORG_COLUMN], sort=True)[0][~features.holdout_mask()]
        parameters["teaching"] = teaching_of(forest, rows, outcomes, leads, org_ids).as_parameters()
    return _Made(forest, fitted.estimator, parameters, {})


def _taught(features: FeatureRows, teacher: Teacher) -> _Made:
    """Return the teacher's forest taught by the rows outside the holdout, and the copy of what it said before."""
    rows, outcomes, leads = training_rows(features)
    lesson = Lesson.of(teacher.forest, rows, outcomes, leads)
    forest = lesson.taught(teacher.strength)
    parameters = teacher.parameters | {"teaching_strength": teacher.strength, "log_odds_step": lesson.step}
    values = encode_arrays({VALUES: teacher.forest.value.astype(np.float32)})
    return _Made(
        forest,
        estimator_of(forest, rows.shape[1]),
        parameters,
        {POOLED_VALUES_FILE: compressed(values)},
        teacher.stands_on,
    )


def train(
    registry: Registry,
    org_id: str,
    features: FeatureRows,
    *,
    teacher: Teacher | None = None,
    run_id: str | None = None,
) -> Manifest:
    """Build a version of the rows, publish it as a candidate with its whole provenance, and return its manifest."""
    built = build(features, teacher)

    def describe(version: str, hashes: dict[str, str]) -> Manifest:
        return Manifest(
            format=FORMAT,
            org_id=org_id,
            version=version,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            run_id=run_id,
            contract=features.contract.to_store,
            contract_fingerprint=features.contract.fingerprint,
            window=features.window,
            counts=features.counts,
            split=built.split,
            parameters=built.parameters,
            importance=built.importance,
            code_version=code_version(),
            libraries=library_versions(),
            files=hashes,
            stands_on=built.stands_on,
        )

    return registry.publish(org_id, built.files, describe)


def training_side(features: FeatureRows) -> tuple[int, int]:
    """Return how many leads stand on the training side, and how many of them converted."""
    return count_leads(features.rows[~features.holdout_mask()])


def _split(features: FeatureRows, is_holdout: Flags) -> Split:
    lead_ids = features.rows["lead_id"]
    return Split(
        holdout_share=HOLDOUT_SHARE,
        training_records=int(lead_ids[~is_holdout].nunique()),
        training_rows=int((~is_holdout).sum()),
        holdout_records=int(lead_ids[is_holdout].nunique()),
        holdout_rows=int(is_holdout.sum()),
    )


def importances(scorer: Scorer, contract: Contract, rows: Floats) -> tuple[Importance, ...]:
    """Return each feature's mean absolute contribution over up to 100 of `rows`, evenly spread; highest first."""
    sample = rows[evenly_spread(len(rows), IMPORTANCE_ROWS)]
    means = np.abs(scorer.contributions(sample)).mean(axis=0) if len(sample) else np.zeros(len(contract.names))
    ranked = sorted(zip(contract.names, means.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Importance(name, importance) for name, importance in ranked)
