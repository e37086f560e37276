"""Which orgs are due: what the CRM knows now, against what the last training knew."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from leadscore.pooling import POOLED
from leadscore.records import window_from
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.due_orgs import judged_as_of, refused_as_of, training_needs
from leadscore_assets.resources import Crm


def test_the_pool_is_due_again_once_any_org_has_a_new_outcome(train: Any, pooled_settings: Settings) -> None:
    """It counts from the pool's own last training, whenever the orgs were trained."""
    earlier = {"ops": {"conversion_records": {"config": {"as_of": "2026-05-20"}}}}
    registry = Registry(pooled_settings.model_path)
    crm = Crm(pooled_settings)
    train(POOLED, settings=pooled_settings, run_config=earlier)
    [need] = [
        need
        for need in training_needs(pooled_settings, registry, window_from(pooled_settings))
        if need.org_id == POOLED
    ]
    assert need.is_due
    assert need.records == crm.conversion_records(POOLED, window_from(pooled_settings)).counts.records
    assert 0 < need.new_outcomes < need.records

    train(POOLED, settings=pooled_settings)
    [need] = [
        need
        for need in training_needs(pooled_settings, registry, window_from(pooled_settings))
        if need.org_id == POOLED
    ]
    assert not need.is_due
    assert need.reason == "no new outcomes since 2026-06-01 00:00 UTC"


def test_a_training_counts_when_nothing_could_be_fitted_to_its_rows() -> None:
    """Asking again before something is new would only fail again; a training of both outcomes ends with a version."""
    documents = {
        org_id: {"counts": {"records": 40, "converted_records": converted}, "window": {"as_of": "2026-06-01T00:00:00Z"}}
        for org_id, converted in (("none", 0), ("both", 7), ("all", 40))
    }
    assert refused_as_of(documents) == dict.fromkeys(("none", "all"), datetime(2026, 6, 1, tzinfo=UTC))


def test_a_damaged_judgement_hides_no_older_one(train: Any, crm_settings: Settings, registry: Registry) -> None:
    train("sound")
    train("sound")
    newest, _ = registry.versions("sound")
    (registry.root / "sound" / newest / "evaluation.json").write_bytes(b"{")
    assert judged_as_of(registry) == {"sound": datetime(2026, 6, 1, tzinfo=UTC)}
