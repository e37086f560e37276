"""The check of an org's last training fails when it failed, and not when it held its version or refused the data."""

from __future__ import annotations

import dagster as dg
import msgspec
import pytest

from leadscore.training_status import TrainingStatus
from leadscore_assets.metadata.training_checks import event_of, training_ended_result
from leadscore_assets.trainings.ended_trainings import EndedTraining


def ended(status: TrainingStatus) -> EndedTraining:
    return EndedTraining(run_id="run-1", org_id="acme", asked_by="test", status=status, reasons="PostgreSQL is away.")


@pytest.mark.parametrize(
    ("status", "passed"), [("activated", True), ("held", True), ("insufficient_data", True), ("failed", False)]
)
def test_only_a_training_that_could_not_be_done_fails_it(status: TrainingStatus, passed: bool) -> None:
    found = event_of(dg.AssetKey("active_model"), "training_ended", "acme", training_ended_result(ended(status)))
    assert (found.passed, found.severity, found.partition) == (passed, dg.AssetCheckSeverity.ERROR, "acme")
    if not passed:
        said = "the last training failed: PostgreSQL is away. What the org had stays active"
        assert (found.description, found.metadata["run_id"].value) == (said, "run-1")


@pytest.mark.parametrize("reasons", ["no space is left", "no space is left."])
def test_a_reason_ends_with_one_full_stop(reasons: str) -> None:
    failed = msgspec.structs.replace(ended("failed"), reasons=reasons)
    said = "the last training failed: no space is left. What the org had stays active"
    assert training_ended_result(failed)["description"] == said


def test_an_org_that_was_never_trained_passes() -> None:
    assert training_ended_result(None)["passed"]
