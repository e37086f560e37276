"""trained_model: where nothing can be fitted, the run says so and no version is written."""

from __future__ import annotations

from typing import Any

import dagster as dg

from leadscore.registry.store import Registry
from tests.leadscore_assets.run_results import failure_text


def test_an_org_with_one_class_is_refused_before_anything_is_fitted(train: Any, registry: Registry) -> None:
    """No version is written, and the failure says that nothing can be told apart."""
    result = train("one-class")

    assert not result.success
    assert "but a model needs leads of both outcomes" in failure_text(result, "trained_model")
    assert registry.versions("one-class") == []


def test_an_org_without_leads_is_refused_with_the_same_words(
    train: Any, instance: dg.DagsterInstance, registry: Registry
) -> None:
    instance.add_dynamic_partitions("orgs", ["nobody"])

    result = train("nobody")

    assert not result.success
    assert "0 of 100 records" in failure_text(result, "trained_model")
    assert registry.versions("nobody") == []


def test_a_damaged_pointer_fails_a_training_before_a_version_is_fitted(train: Any, registry: Registry) -> None:
    (registry.root / "sound").mkdir(parents=True)
    (registry.root / "sound" / "active.json").write_bytes(b"")

    result = train("sound")

    assert not result.success
    assert "roll back to a version with force and a reason" in failure_text(result, "trained_model")
    assert registry.versions("sound") == []
