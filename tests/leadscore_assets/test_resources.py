"""The CRM as assets get it: the pool is read only when the setting asks for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from leadscore.pooling import POOLED
from leadscore.registry.store import Registry
from leadscore.settings import Settings


def test_without_the_setting_the_pool_is_not_trained(train: Any, pooled_settings: Settings) -> None:
    result = train(POOLED, settings=replace(pooled_settings, pooled_model=False))

    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "POOLED_MODEL" in str(failure.step_failure_data.user_failure_data.description)
    assert Registry(pooled_settings.model_path).versions(POOLED) == []
