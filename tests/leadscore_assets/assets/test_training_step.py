"""A run of one org holds the claim on it from its first step to its last, and records how its training ended."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import dagster as dg
import pytest

from leadscore.registry.store import Registry
from leadscore.settings import Settings
from leadscore_assets.assets import TRAINING
from leadscore_assets.assets.training_step import STEPS
from leadscore_assets.definitions import build_defs
from leadscore_assets.source.database import connect
from leadscore_assets.trainings.claims import TrainingClaims
from leadscore_assets.trainings.ended_trainings import EndedTraining, last_ended
from tests.leadscore_assets.run_results import failure_text


def held_claims(settings: Settings) -> list[Any]:
    with connect(settings, read_only=True) as connection:
        return connection.execute("SELECT org_id, holder FROM leadscore.training_claim").fetchall()


def ended(settings: Settings, org_id: str) -> EndedTraining | None:
    with connect(settings, read_only=True) as connection:
        return last_ended(connection, org_id)


def test_the_steps_are_the_trainings_assets_in_their_order() -> None:
    assert tuple(asset.key.path[-1] for asset in TRAINING) == STEPS


@pytest.mark.parametrize(
    ("org_id", "status"), [("sound", "activated"), ("small", "insufficient_data"), ("one-class", "insufficient_data")]
)
def test_each_training_says_how_it_ended_and_frees_the_org(
    train: Any, crm_settings: Settings, registry: Registry, org_id: str, status: str
) -> None:
    run_id = train(org_id).run_id
    found = ended(crm_settings, org_id)
    assert found is not None
    assert (found.run_id, found.status, found.asked_by) == (run_id, status, "Dagster UI")
    assert found.version == next(iter(registry.versions(org_id)), None)
    assert found.reasons
    assert found.started_at is not None
    assert held_claims(crm_settings) == []


def test_a_run_that_is_no_training_is_not_counted_and_frees_the_org(train: Any, crm_settings: Settings) -> None:
    train("sound", only=["conversion_records", "lead_features"])
    train("sound", only=["trained_model", "evaluation"])
    assert ended(crm_settings, "sound") is None
    assert held_claims(crm_settings) == []


def test_a_step_that_fails_is_the_end_of_the_training_and_dagster_shows_it(
    train: Any, crm_settings: Settings, registry: Registry, instance: dg.DagsterInstance
) -> None:
    (registry.root / "sound").mkdir(parents=True)
    (registry.root / "sound" / "active.json").write_bytes(b"")
    train("sound")
    found = ended(crm_settings, "sound")
    assert found is not None
    assert (found.status, found.version) == ("failed", None)
    assert "roll back to a version with force" in found.reasons
    key = dg.AssetCheckKey(dg.AssetKey("active_model"), "training_ended")
    [record, *_] = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert (record.partition, record.status.value) == ("sound", "FAILED")
    assert held_claims(crm_settings) == []


def test_an_org_that_another_run_trains_is_waited_for_and_then_refused(
    train: Any, crm_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingClaims.take, "__defaults__", (0.1,))
    other = TrainingClaims(crm_settings, "other-run")
    other.take("sound")
    result = train("sound")
    other.close()
    said = "a training or another run of this org is queued or running"
    assert said in failure_text(result, "conversion_records")
    found = ended(crm_settings, "sound")
    assert found is not None
    assert (found.status, found.reasons.startswith(said)) == ("failed", True)
    assert held_claims(crm_settings) == [("sound", "other-run")]


def test_a_run_that_lost_its_claim_publishes_nothing(
    train: Any, crm_settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was stopped for a minute in the middle of its work, while another trained the org."""
    trained_module = import_module("leadscore_assets.assets.trained_model")  # the package has the asset by this name
    sound = trained_module.check_same_registry

    def lose(settings: Settings, registry: Registry) -> None:
        with connect(crm_settings) as connection:
            connection.execute("UPDATE leadscore.training_claim SET holder = 'other-run', fence = fence + 1")
        sound(settings, registry)

    monkeypatch.setattr(trained_module, "check_same_registry", lose)
    result = train("sound")
    assert "other-run trains it by now. It publishes and activates nothing" in failure_text(result, "trained_model")
    assert registry.versions("sound") == []
    assert held_claims(crm_settings) == [("sound", "other-run")]


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_later_step_goes_on_after_a_long_pause_unless_another_has_taken_the_claim(
    train: Any, crm_settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch, *, is_taken: bool
) -> None:
    """As when the rows of a large org take longer to store and to load than a claim holds."""
    resume, other = TrainingClaims.resume, TrainingClaims(crm_settings, "other-run")

    def after_a_long_pause(self: TrainingClaims, org_id: str) -> None:
        with connect(crm_settings) as connection:
            connection.execute("UPDATE leadscore.training_claim SET expires_at = clock_timestamp()")
        if is_taken:
            other.take(org_id)
        resume(self, org_id)

    monkeypatch.setattr(TrainingClaims, "resume", after_a_long_pause)
    result = train("sound")
    other.close()
    assert result.success is not is_taken
    assert bool(registry.versions("sound")) is not is_taken
    if is_taken:
        assert "claim on the training of org sound has expired" in failure_text(result, "lead_features")


def test_a_training_asked_for_by_name_is_recorded_so(crm_settings: Settings, instance: dg.DagsterInstance) -> None:
    job = build_defs(crm_settings).resolve_job_def("train")
    job.execute_in_process(
        instance=instance, partition_key="small", tags={"leadscore/asked_by": "HTTP"}, raise_on_error=False
    )
    found = ended(crm_settings, "small")
    assert found is not None
    assert found.asked_by == "HTTP"


def test_a_training_that_is_continued_after_a_failure_says_how_it_ended(
    train: Any,
    crm_settings: Settings,
    registry: Registry,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Re-executed from the failure, the run does the failed step and those after it."""
    evaluation = import_module("leadscore_assets.assets.evaluation")
    with monkeypatch.context() as patched:
        patched.setattr(evaluation, "policy_from", lambda _: 1 / 0)
        failed = train("sound")
    found = ended(crm_settings, "sound")
    assert found is not None
    assert found.status == "failed"
    job = build_defs(crm_settings).resolve_job_def("train")
    again = job.execute_in_process(
        instance=instance,
        partition_key="sound",
        asset_selection=[dg.AssetKey("evaluation"), dg.AssetKey("active_model")],
        tags={"dagster/root_run_id": failed.run_id, "dagster/is_resume_retry": "true"},
    )
    found = ended(crm_settings, "sound")
    assert found is not None
    assert (found.run_id, found.status) == (again.run_id, "activated")
    assert found.version == registry.active("sound").version  # type: ignore[union-attr]  # it is there
    train("sound", only=["evaluation", "active_model"])
    assert ended(crm_settings, "sound") == found, "a run that continues no training is none"
