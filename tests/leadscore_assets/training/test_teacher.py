"""An org begins with the active pooled version, unless that is missing, damaged, of another kind, or unlike the org."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from leadscore.errors import Damaged, UnsupportedFormat
from leadscore.features import CONTRACT
from leadscore.formats import FORMAT
from leadscore.pooling import POOLED
from leadscore.registry.store import Registry
from leadscore.registry.version import FOREST_FILE, POOLED_VALUES_FILE
from leadscore_assets.dataset import FeatureRows
from leadscore_assets.training import teacher
from leadscore_assets.training.teacher import Teacher, kept_teacher, teacher_for
from leadscore_assets.training.train import train
from tests.leadscore_assets.made_pool import activate_pool, org_features, pooled_features

LOG = logging.getLogger("teacher")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def found(registry: Registry, features: FeatureRows | None = None, org_id: str = "north") -> Teacher | None:
    return teacher_for(registry, org_id, features or org_features("north"), LOG)


def test_the_teacher_is_the_active_pooled_version(registry: Registry) -> None:
    version = activate_pool(registry)
    activate_later = train(registry, POOLED, org_features("south")).version  # a candidate teaches nobody
    given = found(registry)
    assert given is not None
    assert given.stands_on.version == version != activate_later
    assert given.stands_on.manifest_sha256 == registry.manifest_sha256(POOLED, version)
    manifest = registry.manifest(POOLED, version)
    assert given.strength == manifest.parameters["teaching"]["strength"]
    assert given.parameters["shape"] == "coarse"
    rows = org_features("north").matrix()
    assert (
        given.forest.probabilities(rows).tolist() == registry.load(POOLED, version).scorer.probabilities(rows).tolist()
    )


def test_without_a_pooled_version_an_org_learns_alone_and_the_log_says_so(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert found(registry) is None
    assert "has no active version, so the org learns from its own leads alone" in caplog.text


def test_the_pooled_model_has_no_teacher(registry: Registry) -> None:
    activate_pool(registry)
    assert found(registry, org_id=POOLED) is None


def test_an_org_with_many_records_learns_alone(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    activate_pool(registry)
    features = org_features("north")
    monkeypatch.setattr(teacher, "OWN_FROM_RECORDS", features.counts.records + 1)
    assert found(registry) is not None
    monkeypatch.setattr(teacher, "OWN_FROM_RECORDS", features.counts.records)
    assert found(registry) is None


OTHER_QUESTIONS: dict[str, Callable[[FeatureRows], FeatureRows]] = {
    "features": lambda asked: replace(
        asked, contract=msgspec.structs.replace(CONTRACT, features=CONTRACT.features[:-1])
    ),
    "conversion window": lambda asked: in_window(asked, conversion_window_days=30),
    "conversion statuses": lambda asked: in_window(asked, conversion_statuses=("SOLD",)),
    "landmarks": lambda asked: in_window(asked, landmark_days=(0, 7)),
    "sql": lambda asked: replace(asked, counts=msgspec.structs.replace(asked.counts, sql_sha256="f00d")),
}


def in_window(features: FeatureRows, **changed: object) -> FeatureRows:
    """Return the rows as those of a changed window."""
    return replace(features, window=msgspec.structs.replace(features.window, **changed))


@pytest.mark.parametrize("other", OTHER_QUESTIONS)
def test_a_pooled_version_that_asks_otherwise_teaches_nobody(
    registry: Registry, other: str, caplog: pytest.LogCaptureFixture
) -> None:
    activate_pool(registry)
    assert found(registry, OTHER_QUESTIONS[other](org_features("north"))) is None
    assert "was trained with other features, other outcomes or another SQL of the records" in caplog.text


def test_a_pooled_version_of_another_time_or_length_of_the_window_teaches(registry: Registry) -> None:
    activate_pool(registry)
    features = org_features("north")
    later = features.window.as_of + timedelta(days=30)
    assert found(registry, in_window(features, as_of=later, training_window_days=90)) is not None


def test_a_pooled_version_from_before_leads_may_have_got_other_ids_teaches_nobody(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """A lead's id says whether it is held out, so the pooled forest may have learned from leads that are so now."""
    registry.record_other_lead_ids()  # there is no pooled version yet that it could concern
    assert registry.org_record(POOLED).lead_ids_since is None
    activate_pool(registry)
    assert found(registry) is not None
    registry.record_other_lead_ids()
    assert found(registry) is None
    assert "leads may have got other ids since the pooled version" in caplog.text
    since = registry.org_record(POOLED).lead_ids_since
    assert since is not None
    activate_pool(registry, in_window(pooled_features(), as_of=since + timedelta(seconds=1)))
    assert found(registry) is not None


def test_a_pooled_version_that_cannot_be_read_is_no_fault_of_the_org(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    version = activate_pool(registry)
    (registry.root / POOLED / version / FOREST_FILE).write_bytes(b"a forest no more")
    assert found(registry) is None
    assert "the pooled model cannot be read, so the org learns from its own leads alone" in caplog.text


def test_a_pooled_version_of_a_newer_release_is_told(registry: Registry) -> None:
    activate_pool(registry)
    path = registry.root / POOLED / "active.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": FORMAT + 1}))
    with pytest.raises(UnsupportedFormat):
        found(registry)


def test_an_org_that_does_as_no_other_does_learns_alone(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    activate_pool(registry)
    features = org_features("north", leads=400)
    contrary = features.rows.assign(converted=1 - features.rows["converted"])
    assert found(registry, features) is not None
    assert found(registry, replace(features, rows=contrary)) is None
    assert "says less of others of them than the base rate" in caplog.text


def test_a_version_keeps_the_copy_of_its_teacher(registry: Registry) -> None:
    activate_pool(registry)
    given = found(registry)
    manifest = train(registry, "north", org_features("north"), teacher=given)
    kept = kept_teacher(registry, "north", manifest)
    assert given is not None
    assert kept is not None
    assert kept._replace(forest=given.forest) == given
    for name, array in given.forest.to_arrays().items():
        assert np.array_equal(kept.forest.to_arrays()[name], array), name


def test_a_version_without_a_teacher_keeps_none(registry: Registry) -> None:
    assert kept_teacher(registry, "north", train(registry, "north", org_features("north"))) is None


def test_a_copy_of_something_else_is_damaged(registry: Registry) -> None:
    activate_pool(registry)
    manifest = train(registry, "north", org_features("north"), teacher=found(registry))
    swapped = msgspec.structs.replace(manifest, files=manifest.files)
    folder = registry.root / "north" / manifest.version
    (folder / POOLED_VALUES_FILE).write_bytes((folder / FOREST_FILE).read_bytes())
    with pytest.raises(Damaged):
        kept_teacher(registry, "north", swapped)
