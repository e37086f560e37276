"""All trainings of a database publish to the registry of its control plane."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from leadscore.errors import ControlPlaneHeld
from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.source.control_plane import held


def failure(result: Any, step: str) -> Any:
    [event] = [event for event in result.all_events if event.is_step_failure and event.step_key == step]
    return event.step_failure_data.user_failure_data


def test_a_training_with_another_registry_publishes_nothing(crm_settings: Settings, train: Any, tmp_path: Path) -> None:
    other = replace(crm_settings, model_path=tmp_path / "other models")
    with held(crm_settings):
        result = train("sound", settings=other)
        assert failure(result, "trained_model").metadata["code"].value == ControlPlaneHeld.code
        assert "MODEL_PATH" in failure(result, "trained_model").description
        assert Registry(other.model_path).orgs() == []
        assert train("sound").success
    assert Registry(crm_settings.model_path).active("sound")
