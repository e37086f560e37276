"""Split, fit and write a candidate version with its whole provenance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from leadscore.arrays import Flags, Floats, evenly_spread
from leadscore.engine.scorer import Scorer
from leadscore.evaluation import has_both_outcomes
from leadscore.features import Contract
from leadscore.formats import FORMAT
from leadscore.registry.safetensors import compressed, encode_arrays
from leadscore.registry.store import Registry
from leadscore.registry.version import (
    BASE_VALUES_FILE,
    ENGINE_FILE,
    ESTIMATOR_FILE,
    FOREST_FILE,
    INPUT_BINS_FILE,
    Importance,
    Manifest,
    Split,
    encode_forest,
)
from leadscore_assets.dataset import ORG_COLUMN, FeatureRows, count_leads
from leadscore_assets.training.base_values import base_values_bytes
from leadscore_assets.training.fit import Fitted, estimator_bytes, fit, flatten
from leadscore_assets.training.input_bins import input_bins_bytes
from leadscore_assets.training.one_core import on_one_core
from leadscore_assets.training.provenance import code_version, library_versions
from leadscore_assets.training.snapshot import SNAPSHOT_FILE, lead_numbers, snapshot_bytes
from leadscore_assets.training.split import HOLDOUT_SHARE

IMPORTANCE_ROWS = 100


@dataclass(frozen=True)
class Built:
    """The result of a training, which depends only on the rows, the contract and the code."""

    files: dict[str, bytes]
    parameters: dict[str, Any]
    importance: tuple[Importance, ...]
    split: Split


def build(features: FeatureRows) -> Built:
    """Fit a forest to the rows outside the holdout, and return the files and figures of a version.

    Raises ValueError when the training side has one class only; the gate's refusal comes before that.
    """
    with on_one_core():
        return _built(features)


def _built(features: FeatureRows) -> Built:
    is_holdout = features.holdout_mask()
    fitted = _fit_training_side(features, is_holdout)
    forest = flatten(fitted.estimator)
    scorer = forest.scorer
    is_pooled = ORG_COLUMN in features.rows
    return Built(
        files={
            FOREST_FILE: encode_forest(forest),
            ENGINE_FILE: encode_arrays(scorer.to_arrays()),
            ESTIMATOR_FILE: estimator_bytes(fitted.estimator),
            SNAPSHOT_FILE: compressed(snapshot_bytes(features.rows, features.contract)),
            # what arrives for an org is not compared with what other orgs' leads are like
            **(
                {BASE_VALUES_FILE: base_values_bytes(scorer, features)}
                if is_pooled
                else {INPUT_BINS_FILE: input_bins_bytes(scorer, features)}
            ),
        },
        parameters=fitted.parameters,
        importance=importances(scorer, features.contract, features.matrix()[is_holdout]),
        split=_split(features, is_holdout),
    )


def train(registry: Registry, org_id: str, features: FeatureRows, *, run_id: str | None = None) -> Manifest:
    """Build a version of the rows, publish it as a candidate with its whole provenance, and return its manifest."""
    built = build(features)

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
        )

    return registry.publish(org_id, built.files, describe)


def training_side(features: FeatureRows) -> tuple[int, int]:
    """Return how many leads stand on the training side, and how many of them converted."""
    return count_leads(features.rows[~features.holdout_mask()])


def _fit_training_side(features: FeatureRows, is_holdout: Flags) -> Fitted:
    outcomes = features.outcomes()[~is_holdout]
    if not has_both_outcomes(outcomes):
        raise ValueError("the leads outside the holdout have one outcome only; a forest needs both")
    return fit(features.matrix()[~is_holdout], outcomes, lead_numbers(features.rows)[~is_holdout])


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
