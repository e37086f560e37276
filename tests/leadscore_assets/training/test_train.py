"""A candidate version: of the rows outside the holdout, with what made it, and its features by importance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leadscore.features import CONTRACT
from leadscore.forest import LEAF, Forest
from leadscore.registry.store import Registry
from leadscore.registry.version import FOREST_FILE
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.training.train import IMPORTANCE_ROWS, build, importances, train, training_side

Make = Callable[..., FeatureRows]


def test_a_version_is_a_candidate_that_says_what_it_was_made_of(make_features: Make, tmp_path: Path) -> None:
    features, registry = make_features(leads=80), Registry(tmp_path / "models")
    manifest = train(registry, "acme", features, run_id="run-7")
    assert registry.manifest("acme", manifest.version) == manifest
    assert registry.active("acme") is None
    assert (manifest.run_id, manifest.window, manifest.counts) == ("run-7", features.window, features.counts)
    split = manifest.split
    assert split.training_records + split.holdout_records == features.counts.records
    assert split.training_rows + split.holdout_rows == features.counts.rows
    assert training_side(features)[0] == split.training_records
    assert manifest.importance[0].feature == "appointments_count"


def test_held_out_rows_play_no_part_in_the_forest(make_features: Make) -> None:
    features = make_features(leads=80)
    rows = features.rows.copy()
    rows.loc[rows["is_held_out"] == 1, ["appointments_count", "converted"]] = [3.0, 0]
    before, after = build(features), build(replace(features, rows=rows))
    assert before.files[FOREST_FILE] == after.files[FOREST_FILE]
    assert before.parameters == after.parameters


def test_one_class_outside_the_holdout_is_refused(make_features: Make) -> None:
    features = make_features(leads=40)
    rows = features.rows.assign(converted=features.rows["is_held_out"])
    with pytest.raises(ValueError, match="one outcome only"):
        build(replace(features, rows=rows))


def test_importance_is_the_mean_size_of_a_features_contributions_and_names_break_ties() -> None:
    stump = Forest(
        feature=np.array([1, LEAF, LEAF], np.int16),
        threshold=np.array([60, 0, 0], np.float32),
        left=np.array([1, LEAF, LEAF], np.int32),
        right=np.array([2, LEAF, LEAF], np.int32),
        missing_goes_left=np.array([True, False, False]),
        value=np.array([0.4, 0.2, 0.6]),
        cover=np.array([8.0, 4.0, 4.0]),
        roots=np.array([0], np.int32),
    ).scorer
    rows = np.zeros((3 * IMPORTANCE_ROWS, len(CONTRACT.names)))
    first, *others = importances(stump, CONTRACT, rows)
    assert (first.feature, first.importance) == (CONTRACT.names[1], pytest.approx(0.2))
    assert [entry.feature for entry in others] == sorted(set(CONTRACT.names) - {CONTRACT.names[1]})
    assert {entry.importance for entry in (*others, *importances(stump, CONTRACT, rows[:0]))} == {0}
