"""A candidate version: of the rows outside the holdout, with what made it, and its features by importance."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leadscore.features import CONTRACT
from leadscore.pooling import POOLED, StandsOn
from leadscore.registry.activation import roll_back
from leadscore.registry.safetensors import decode_arrays
from leadscore.registry.store import Registry
from leadscore.registry.version import ENGINE_FILE, FOREST_FILE
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.training.split import is_held_out
from leadscore_assets.training.teacher import teacher_for
from leadscore_assets.training.train import IMPORTANCE_ROWS, build, importances, train, training_side
from tests.leadscore_assets.made_pool import ORGS, activate_pool, org_features, pooled_features
from tests.leadscore_assets.stump import stump

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


def test_no_held_out_lead_of_any_org_teaches_the_pool_or_a_version_that_stands_on_it(tmp_path: Path) -> None:
    """Whatever the held-out leads of all orgs do, every file that scores comes out the same, byte for byte."""

    def files(change: Callable[[FeatureRows], FeatureRows], name: str) -> dict[str, bytes]:
        registry = Registry(tmp_path / name)
        pool = activate_pool(registry, change(pooled_features()))
        versions = {POOLED: pool}
        for org_id in ORGS:
            features = change(org_features(org_id))
            teacher = teacher_for(registry, org_id, features, logging.getLogger("a test"))
            assert teacher is not None
            assert teacher.stands_on.version == pool
            versions[org_id] = train(registry, org_id, features, teacher=teacher).version
        return {
            f"{org_id} {file}": registry.file(org_id, version, file)
            for org_id, version in versions.items()
            for file in (FOREST_FILE, ENGINE_FILE, "model.joblib")
        }

    def contrary(features: FeatureRows) -> FeatureRows:
        rows = features.rows.copy()
        held_out = rows["is_held_out"] == 1
        assert set(rows["lead_id"][held_out]) == {lead for lead in rows["lead_id"] if is_held_out(lead)}
        rows.loc[held_out, "appointments_count"] = 7.0
        rows.loc[held_out, "converted"] = 1 - rows.loc[held_out, "converted"]
        return replace(features, rows=rows)

    assert files(lambda features: features, "as they are") == files(contrary, "contrary")


def test_a_taught_version_names_the_pooled_version_and_has_its_trees(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    pool, features = activate_pool(registry), org_features("north")
    teacher = teacher_for(registry, "north", features, logging.getLogger("a test"))
    manifest = train(registry, "north", features, teacher=teacher)
    assert manifest.stands_on == StandsOn(pool, registry.manifest_sha256(POOLED, pool))
    assert teacher is not None
    assert manifest.parameters["teaching_strength"] == teacher.strength
    assert registry.load("north", manifest.version).scope == "taught"
    assert registry.load(POOLED, pool).scope == "pooled"
    assert (
        roll_back(registry, "north", manifest.version, by="a test", reason="a test", is_forced=True).stands_on == pool
    )
    own, pooled = (
        decode_arrays(registry.file(owner, version, FOREST_FILE), FOREST_FILE)
        for owner, version in (("north", manifest.version), (POOLED, pool))
    )
    assert [name for name, array in own.items() if not np.array_equal(array, pooled[name])] == ["value"]


def test_a_pool_that_is_trained_again_changes_no_orgs_version(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    activate_pool(registry)
    features = org_features("north")
    teacher = teacher_for(registry, "north", features, logging.getLogger("a test"))
    version = train(registry, "north", features, teacher=teacher).version
    before = registry.load("north", version).scorer.probabilities(features.matrix())
    activate_pool(registry, pooled_features(("south", "east", "west")))
    assert registry.load("north", version).scorer.probabilities(features.matrix()).tolist() == before.tolist()


def test_one_class_outside_the_holdout_is_refused(make_features: Make) -> None:
    features = make_features(leads=40)
    rows = features.rows.assign(converted=features.rows["is_held_out"])
    with pytest.raises(ValueError, match="one outcome only"):
        build(replace(features, rows=rows))


def test_importance_is_the_mean_size_of_a_features_contributions_and_names_break_ties() -> None:
    by_minutes = stump(1, 60).scorer
    rows = np.zeros((3 * IMPORTANCE_ROWS, len(CONTRACT.names)))
    first, *others = importances(by_minutes, CONTRACT, rows)
    assert (first.feature, first.importance) == (CONTRACT.names[1], pytest.approx(0.2))
    assert [entry.feature for entry in others] == sorted(set(CONTRACT.names) - {CONTRACT.names[1]})
    assert {entry.importance for entry in (*others, *importances(by_minutes, CONTRACT, rows[:0]))} == {0}
